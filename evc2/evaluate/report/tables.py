"""The tables of one direction: means with intervals, and paired differences."""

from __future__ import annotations

from typing import Any

from evc2.evaluate.report.figures import MINUS, Figures, direction_title, few, is_anchor
from evc2.evaluate.report.markup import Html, breakable, html, table_box, tag

ARROWS = {"lower": "\N{DOWNWARDS ARROW}", "higher": "\N{UPWARDS ARROW}"}
_BETTER = {"lower": "lower is better", "higher": "higher is better"}
_FIRST = {"lower": "ascending", "higher": "descending"}


def system_cell(system: str) -> Html:
    """The head of a row."""
    badge = [" ", tag("span", "anchor", class_="badge")] if is_anchor(system) else None
    return tag("th", tag("span", breakable(system), class_="name"), badge, scope="row", data_value=system)


def metric_head(figures: Figures, metric: str, sortable: bool = True) -> Html:
    """The head of a column; the script puts a button into it where the table can be sorted."""
    facts = figures.metrics.get(metric, {})
    unit, better = facts.get("unit") or "", facts.get("better")
    arrow = tag("span", ARROWS[better], aria_hidden="true") if better in ARROWS else None
    spoken = tag("span", f" ({_BETTER[better]})", class_="hidden") if better in _BETTER else None
    small = tag("small", unit, " " if unit and arrow else None, arrow, spoken)
    text = tag("span", metric, " ", small)
    sort = _FIRST.get(better, "descending") if sortable else None
    return tag("th", text, scope="col", data_sort=sort)


def summary_table(figures: Figures, direction: str) -> Html:
    """A row a system, a column a metric: mean, interval, and the number of trials where it is not the row's."""
    head = [tag("th", tag("span", "system"), scope="col", data_sort="ascending")]
    head += [tag("th", tag("span", "n"), scope="col", data_sort="descending")]
    head += [metric_head(figures, metric) for metric in figures.metrics]
    rows = []
    for system in figures.systems:
        cells = {metric: figures.cell(direction, system, metric) for metric in figures.metrics}
        n = max((cell.get("n", 0) for cell in cells.values()), default=0)
        row = [system_cell(system), tag("td", f"{n}{few(n)}", data_value=n)]
        row += [_value(figures, metric, cell, n) for metric, cell in cells.items()]
        rows.append(tag("tr", row, class_="anchor" if is_anchor(system) else None))
    name = f"Means, {direction_title(direction)}"
    return table_box(
        name, tag("caption", name, class_="hidden"), tag("thead", tag("tr", head)), tag("tbody", rows), class_="scores"
    )


def _value(figures: Figures, metric: str, cell: dict[str, Any], n: int) -> Html:
    mean, low, high = (cell.get(key) for key in ("mean", "low", "high"))
    if mean is None:
        return tag("td", "\N{EN DASH}")
    parts = [tag("span", figures.text(metric, mean), class_="mean")]
    if low is not None and high is not None:
        span = f"{figures.text(metric, low)} \N{HORIZONTAL ELLIPSIS} {figures.text(metric, high)}"
        parts.append(tag("span", span, class_="range"))
    if cell["n"] < n:
        parts.append(tag("span", f"n {cell['n']}{few(cell['n'])}", class_="range"))
    return tag("td", parts, data_value=repr(float(mean)))


def baseline_list(figures: Figures, direction: str) -> Html | None:
    """What natural speech has, for metrics whose ideal value is not obvious."""
    lines = []
    for one in figures.scores.get("baselines") or ():
        if one["direction"] != direction or one.get("mean") is None:
            continue
        metric = one["metric"]
        text = f" of {one.get('of') or 'natural speech'}: {figures.text(metric, one['mean'])}"
        if one.get("low") is not None and one.get("high") is not None:
            text += f" ({figures.text(metric, one['low'])} to {figures.text(metric, one['high'])})"
        lines.append(tag("li", tag("b", metric), f"{text}, n {one['n']}{few(one['n'])}"))
    return tag("ul", lines, class_="baselines") if lines else None


def comparison_table(figures: Figures, direction: str) -> Html | None:
    """A row a pair of systems, a column a metric: mean difference per trial, its interval, and the verdict."""
    pairs: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for one in figures.comparisons(direction):
        pairs.setdefault((one["system"], one["other"]), {})[one["metric"]] = one
    if not pairs:
        return None
    metrics = [metric for metric in figures.metrics if any(metric in found for found in pairs.values())]
    head = [tag("th", tag("span", "system minus other"), scope="col", data_sort="ascending")]
    head += [tag("th", tag("span", "n"), scope="col", data_sort="descending")]
    head += [metric_head(figures, metric) for metric in metrics]
    rows = []
    for (system, other), found in pairs.items():
        n = max(one["n"] for one in found.values())
        parts = [
            tag("span", breakable(system), class_="name"),
            tag("span", MINUS, " ", breakable(other), class_="range"),
        ]
        name = tag("th", parts, scope="row", data_value=f"{system} {other}")
        cells = [_difference(figures, metric, found.get(metric), n) for metric in metrics]
        rows.append(tag("tr", name, tag("td", f"{n}{few(n)}", data_value=n), cells))
    title = f"Paired differences, {direction_title(direction)}"
    return table_box(
        title, tag("caption", title, class_="hidden"), tag("thead", tag("tr", head)), tag("tbody", rows),
        class_="scores pairs",
    )  # fmt: skip


def _difference(figures: Figures, metric: str, one: dict[str, Any] | None, n: int) -> Html:
    if one is None or one["mean"] is None:
        return tag("td", "\N{EN DASH}")
    parts: list[object] = [tag("span", figures.text(metric, one["mean"], sign=True), class_="mean")]
    if one["low"] is not None and one["high"] is not None:
        low, high = (figures.text(metric, one[key], sign=True) for key in ("low", "high"))
        parts.append(tag("span", f"{low} \N{HORIZONTAL ELLIPSIS} {high}", class_="range"))
    if one["n"] < n:
        parts.append(tag("span", f"n {one['n']}{few(one['n'])}", class_="range"))
    if one["verdict"]:
        parts.append(tag("span", one["verdict"], class_=f"verdict {html(one['verdict'])}"))
    return tag("td", parts, data_value=repr(float(one["mean"])))
