"""RESULTS.md: a table per direction, paired comparisons, and all that a reader needs to judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evc2.evaluate.analysis import BAND, TRIM_DB
from evc2.evaluate.directions import title
from evc2.evaluate.intervals import ENOUGH, Interval
from evc2.evaluate.registry import Metric
from evc2.evaluate.summary import ANCHORS, Comparison, Summary

_ABOUT_ANCHORS = {
    "zero_effort": "the source as it is",
    "natural": "the natural target itself: what a perfect conversion would reach",
    "analysis_synthesis": "the natural target through the vocoder: what the vocoder alone costs",
    "f0": "the source with its F0 moved to the target's statistics",
    "f0_power": "that, and the power likewise",
    "f0_power_mcep": "that, and the mean and deviation of the spectrum likewise",
}
_SHOWN = 20


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table, padded so that it also reads as plain text; the first ``left`` columns are flush left."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    widths = [max(3, *(len(row[k]) for row in cells)) for k in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (c.ljust(w) if k < left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 2) if k < left else "-" * (w + 1) + ":" for k, w in enumerate(widths))
    return "\n".join([line(cells[0]), f"|{rule}|", *(line(row) for row in cells[1:])])


def cell(interval: Interval, digits: int) -> str:
    """Mean and half the width of its interval; "-" where there is no value."""
    if interval.mean is None:
        return "-"
    text = f"{interval.mean:.{digits}f}"
    return text if interval.half is None else f"{text} ± {interval.half:.{digits}f}"


def direction_block(summary: Summary, direction: str, metrics: Sequence[Metric]) -> str:
    """A table of one direction: a row a system, a column a metric."""
    rows = []
    for system in summary.systems:
        intervals = [summary.interval(direction, system, metric.name) for metric in metrics]
        counts = [interval.n for interval in intervals]
        n = max(counts, default=0)
        # Metrics may lack trials of their own (no reference, no voiced frames): their count then stands in the cell.
        texts = [
            cell(i, m.digits) + (f" ({i.n})" if 0 < i.n < n else "") for i, m in zip(intervals, metrics, strict=True)
        ]
        rows.append([system, str(n) + ("" if n >= ENOUGH else "*"), *texts])
    return markdown_table(["system", "n", *(metric.title for metric in metrics)], rows)


def direction_blocks(summary: Summary, direction: str) -> list[str]:
    """The tables of one direction, one for each group of metrics, with its name where there are several."""
    groups: dict[str, list[Metric]] = {}
    for metric in summary.metrics:
        groups.setdefault(metric.group, []).append(metric)
    parts = []
    for name, metrics in groups.items():
        if len(groups) > 1:
            parts.append(f"{name.capitalize()}:")
        parts.append(direction_block(summary, direction, metrics))
    return parts


def baseline_lines(summary: Summary, direction: str) -> list[str]:
    """What natural speech has, for the metrics whose ideal value is not obvious: a list with one text, or none."""
    lines = []
    for metric in summary.metrics:
        found = summary.baseline(direction, metric.name)
        if found is not None:
            lines.append(f"- `{metric.name}` of {metric.baseline_doc}: {cell(found, metric.digits)} (n {found.n})")
    return ["\n".join(lines)] if lines else []


def comparison_block(comparisons: Sequence[Comparison], metric: Metric) -> str:
    """The table of paired differences of one direction."""
    rows = []
    for one in comparisons:
        d = one.difference
        mean = "-" if d.mean is None else f"{d.mean:+.{metric.digits}f}"
        interval = "-" if d.low is None else f"{d.low:+.{metric.digits}f} .. {d.high:+.{metric.digits}f}"
        count = str(d.n) + ("" if d.enough else "*")
        rows.append([one.system, one.other, count, mean, interval, one.verdict])
    unit = f" ({metric.unit})" if metric.unit else ""
    head = ["system", "minus", "n", f"{metric.name} difference{unit}", "95 % interval", "verdict"]
    return markdown_table(head, rows, left=2)


def blocks(summary: Summary, others: Sequence[str], compare_by: Sequence[Metric]) -> str:
    """All tables, direction by direction, then of all trials together."""
    parts = []
    pairs = summary.compared(others)
    for direction in summary.directions:
        parts += [
            f"## {title(direction)} ({summary.n_trials(direction)} trials)",
            *direction_blocks(summary, direction),
        ]
        parts += baseline_lines(summary, direction)
        if compare_by and pairs:
            parts.append("Paired, per utterance:")
        for metric in compare_by if pairs else ():
            found = [summary.compare(direction, system, other, metric) for system, other in pairs]
            parts.append(comparison_block(found, metric))
    return "\n\n".join(parts)


def results_markdown(
    summary: Summary,
    header: Mapping[str, str],
    others: Sequence[str],
    compare_by: Sequence[Metric],
    skipped: Mapping[str, str] | None = None,
) -> str:
    """The whole of RESULTS.md.

    Args:
        summary: the scores.
        header: what -> text: data, commit, hardware, date, command, training.
        others: systems to compare with.
        compare_by: the metrics of the paired comparisons.
        skipped: metric -> why it could not be used here.
    """
    facts = "\n".join(f"- {name}: {text}" for name, text in header.items())
    parts = ["# Results", facts, blocks(summary, others, compare_by), "## How to read this", _reading(summary)]
    parts += [_definitions(summary.metrics)]
    if skipped:
        parts.append("Metrics left out:\n\n" + "\n".join(f"- {name}: {why}" for name, why in skipped.items()))
    if summary.problems or summary.notes:
        parts.append(_problems(summary))
    return "\n\n".join(parts) + "\n"


def _reading(summary: Summary) -> str:
    lines = [
        "Values are means over utterances, ± half the width of their 95 % interval (BCa bootstrap over utterances, "
        f"{summary.draws} resamples, seed {summary.seed}; delete-a-group jackknife for values of a whole set, such as "
        "a Frechet distance); both ends and Student's interval are in scores.json. The "
        "utterances are the unit: an interval speaks of more utterances of these speakers, not of new speakers.",
        "`n` counts the utterances that were scored; a number in brackets counts those of one cell, where fewer.",
        f"`*`: fewer than {ENOUGH} utterances: reported, not concluded from. "
        "A verdict stands only where the interval of the paired difference excludes zero and there are enough of them.",
        f"Every wav is analysed alike: 16 kHz, 5 ms frames, the envelope held constant above {BAND / 1000:.0f} kHz "
        f"(where resampling leaves its mark), silence at both ends (more than {TRIM_DB:.0f} dB below the loudest "
        "frame) trimmed before anything is compared.",
    ]
    anchors = [name for name in ANCHORS if name in summary.systems]
    lines += [f"`{name}`: {_ABOUT_ANCHORS[name]}." for name in anchors]
    return "\n".join(f"- {line}" for line in lines)


def _definitions(metrics: Sequence[Metric]) -> str:
    lines = []
    for m in metrics:
        better = f"{m.better} is better" if m.better else "neither end is better"
        lines.append(
            f"- `{m.name}` ({', '.join(filter(None, [m.unit, m.range, better]))}): {m.doc}. Source: {m.source}."
            + (f" {note}." if m.note and (note := m.note()) else "")
        )
    return "\n".join(["Metrics:", "", *lines])


def _problems(summary: Summary) -> str:
    lines = [f"- {system}, {trial}: {problem}" for system, trial, problem in summary.problems[:_SHOWN]]
    if len(summary.problems) > _SHOWN:
        lines.append(f"- and {len(summary.problems) - _SHOWN} more, see scores.tsv")
    lines += [f"- {system}: {count} wavs {note}" for (system, note), count in summary.notes.items()]
    return "## Not scored, not wholly scored, or to be known\n\n" + "\n".join(lines)
