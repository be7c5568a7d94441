"""What an evaluation leaves for other programs: scores.tsv, a row a trial and system, and scores.json."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from evc2.evaluate.judge import confusions
from evc2.evaluate.score import Row
from evc2.evaluate.summary import ALL, Summary

MISSING = "n/a"
"""Stands in scores.tsv for a value that does not exist."""

PLACE = ("trial", "system", "speaker", "source_speaker", "source_emotion", "emotion")
"""Columns of scores.tsv before the metrics."""


def write_rows(rows: Iterable[Row], file: TextIO, summary: Summary) -> None:
    """Write the rows as they come, and let the summary take them in."""
    names = [metric.name for metric in summary.metrics if metric.combine is None]
    file.write("\t".join([*PLACE, *names, "problem"]) + "\n")
    for row in rows:
        summary.add(row)
        values = [MISSING if row.values[name] is None else f"{row.values[name]:.6g}" for name in names]
        place = [getattr(row, name) or MISSING for name in PLACE]
        file.write("\t".join([*place, *values, (row.problem or "").replace("\t", " ")]) + "\n")


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of scores.tsv, values as text."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def as_json(
    summary: Summary, header: dict[str, str], others: Sequence[str], facts: dict[str, str], skipped: dict[str, str]
) -> dict[str, Any]:
    """Everything that scores.json holds."""
    metrics = {
        m.name: {
            "unit": m.unit, "better": m.better, "definition": m.doc, "source": m.source, "range": m.range,
            "digits": m.digits, "group": m.group, "of_a_set": m.combine is not None,
            "note": m.note() if m.note else None,
        }
        for m in summary.metrics
    }  # fmt: skip
    cells, comparisons, baselines = [], [], []
    for direction in summary.directions:
        for system in summary.systems:
            for metric in summary.metrics:
                values = summary.interval(direction, system, metric.name).to_dict()
                cells.append({"direction": direction, "system": system, "metric": metric.name, **values})
        for metric in summary.metrics:
            found = summary.baseline(direction, metric.name)
            if found is not None:
                about = {"direction": direction, "metric": metric.name, "of": metric.baseline_doc}
                baselines.append({**about, **found.to_dict()})
        for system, other in summary.compared(others):
            for metric in summary.metrics:
                comparisons.append(summary.compare(direction, system, other, metric).to_dict())
    return {
        "about": header,
        "training": facts,
        "systems": summary.systems,
        "trials": {direction: summary.n_trials(direction) for direction in [*summary.trials, ALL]},
        "metrics": metrics,
        "skipped_metrics": skipped,
        "summaries": cells,
        "comparisons": comparisons,
        "baselines": baselines,
        "confusions": confusions(summary),
        "problems": [{"system": s, "trial": t, "problem": p} for s, t, p in summary.problems],
        "notes": [{"system": s, "note": n, "wavs": count} for (s, n), count in summary.notes.items()],
    }
