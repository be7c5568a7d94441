"""Confusion matrices of the emotion judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evc2.evaluate.report.figures import direction_title, is_anchor
from evc2.evaluate.report.markup import Html, table_box, tag
from evc2.evaluate.summary import ALL

STEPS = 10
"""Shades of a cell, from white to full colour."""


def matrices_of(judge: Mapping[str, Any], directions: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Direction -> system -> counts [targets, judged]; all directions together are added up where they are missing."""
    found: dict[str, dict[str, np.ndarray]] = {
        direction: {name: np.asarray(counts, dtype=np.float64) for name, counts in systems.items()}
        for direction, systems in judge.get("systems", {}).items()
    }
    if ALL in directions and ALL not in found and found:
        total: dict[str, np.ndarray] = {}
        for systems in found.values():
            for name, counts in systems.items():
                total[name] = total[name] + counts if name in total else counts
        found[ALL] = total
    return {direction: found[direction] for direction in directions if direction in found}


def confusion_table(judge: str, direction: str, system: str, labels: Sequence[str], counts: np.ndarray) -> Html:
    """One matrix: a row a target emotion, a column an answer of the judge; rows without trials are left out.

    Args:
        counts: [targets, judged], both in the order of ``labels``.
    """
    title = f"{system}, judged by {judge}, {direction_title(direction)}"
    head = [tag("th", "target", scope="col"), *(tag("th", label, scope="col") for label in labels)]
    rows = []
    for label, row in zip(labels, counts, strict=True):
        total = row.sum()
        if total > 0:
            cells = [_cell(label == other, n, n / total) for other, n in zip(labels, row, strict=True)]
            rows.append(tag("tr", tag("th", label, scope="row"), cells))
    badge = [" ", tag("span", "anchor", class_="badge")] if is_anchor(system) else None
    right, all_ = float(np.trace(counts)), float(counts.sum())
    share = f"target heard in {right:g} of {all_:g} ({100 * right / all_:.0f} %)" if all_ else "no trials"
    table = table_box(
        title, tag("caption", title, class_="hidden"), tag("thead", tag("tr", head)), tag("tbody", rows),
        class_="confusion",
    )  # fmt: skip
    text = [tag("b", system, class_="name"), badge, " ", tag("span", share, class_="range")]
    return tag("figure", tag("figcaption", text), table, class_="matrix")


def _cell(right: bool, n: float, share: float) -> Html:
    shade = int(np.clip(round(share * STEPS), 0 if n == 0 else 1, STEPS))
    inside = [tag("span", f"{n:g}", class_="mean"), tag("span", f"{100 * share:.0f} %", class_="range")]
    return tag("td", inside if n else tag("span", "0", class_="none"), class_=f"s{shade}{' right' if right else ''}")


def confusion_blocks(
    confusions: Mapping[str, Any], directions: Sequence[str], systems: Sequence[str]
) -> dict[str, Html]:
    """Direction -> the matrices of all judges and systems, in the order of the table's rows."""
    blocks: dict[str, list[Html]] = {}
    for judge, content in confusions.items():
        order = {name: i for i, name in enumerate(systems)}
        for direction, found in matrices_of(content, directions).items():
            names = sorted(found, key=lambda name: order.get(name, -1))
            tables = [confusion_table(judge, direction, name, content["labels"], found[name]) for name in names]
            note = tag("p", content["about"], class_="remark") if content.get("about") else None
            block = [tag("h4", f"Judge: {judge}"), note, tag("div", tables, class_="matrices")]
            blocks.setdefault(direction, []).append(tag("div", block))
    return {direction: Html("".join(parts)) for direction, parts in blocks.items()}
