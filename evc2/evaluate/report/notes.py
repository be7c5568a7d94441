"""What a reader needs beside the figures: where they come from, what they mean, and what is missing."""

from __future__ import annotations

from evc2.evaluate.intervals import ENOUGH
from evc2.evaluate.report.figures import Figures, is_anchor
from evc2.evaluate.report.markup import Html, tag

SHOWN = 50
"""Problems that the page lists; scores.tsv has all of them."""

_FIRST = ("data", "date")

ABOUT_ANCHORS = {
    "zero_effort": "the source utterance, unchanged",
    "analysis_synthesis": "the natural target, analysed and made again by the vocoder: what the vocoder alone costs",
    "f0": "the source with its F0 brought to the mean and deviation of the target",
    "f0_power": "as f0, and the frame power likewise",
    "f0_power_mcep": "as f0_power, and the spectral envelope likewise",
}


def facts(figures: Figures) -> Html:
    """Data and date at once; commit, machine and command in a box to open."""
    about = dict(figures.scores.get("about", {}))
    counts = [f"{len(figures.systems)} systems", f"{len(figures.metrics)} metrics"]
    first = [*((name, about.pop(name)) for name in _FIRST if name in about), ("compared", ", ".join(counts))]
    more = tag("details", tag("summary", "How these figures were made"), _list(about.items())) if about else None
    return Html(_list(first) + (more or ""))


def _list(items: object) -> Html:
    pairs = [tag("div", tag("dt", name), tag("dd", str(text).strip("`"))) for name, text in items]
    return tag("dl", pairs, class_="facts")


def reading(figures: Figures) -> Html:
    """How to read the tables."""
    lines: list[object] = [
        "Values are means over utterances; beneath, their 95 % interval. It speaks of more utterances of these "
        "speakers, not of new speakers. All figures are in scores.json; RESULTS.md says how the intervals are made.",
        f"n counts the utterances scored; where a cell has fewer, it says so. An asterisk: fewer than {ENOUGH}, "
        "reported and not concluded from.",
        "Better and worse stand only where the interval of the paired difference excludes zero and there are enough "
        "utterances. Nothing is corrected for the number of comparisons: one in twenty would stand out by chance.",
    ]
    lines += [[tag("code", name), f": {ABOUT_ANCHORS[name]}."] for name in figures.systems if name in ABOUT_ANCHORS]
    if any(is_anchor(name) for name in figures.systems):
        lines.append("Anchors are yardsticks: a conversion that is worth its effort lies beyond the simple ones.")
    return tag("ul", [tag("li", line) for line in lines])


def definitions(figures: Figures) -> Html:
    """All metrics with unit, range, source and note."""
    parts = []
    for name, m in figures.metrics.items():
        better = f"{m['better']} is better" if m.get("better") else "neither end is better"
        words = [m.get("unit"), f"range {m['range']}" if m.get("range") else None, better]
        if m.get("of_a_set"):
            words.append("one value for a set of trials")
        lines = [tag("p", f"{m.get('definition', '')}.")]
        lines += [tag("p", str(m["note"]), class_="remark")] if m.get("note") else []
        lines += [tag("p", f"Source: {m['source']}.", class_="range")] if m.get("source") else []
        head = tag("dt", tag("code", name), " ", tag("span", ", ".join(filter(None, words)), class_="range"))
        parts.append(tag("div", head, tag("dd", lines)))
    return tag("dl", parts, class_="metrics")


def skipped(figures: Figures) -> Html | None:
    """Metrics that could not be used, with what they lack."""
    found = figures.scores.get("skipped_metrics") or {}
    lines = [tag("li", tag("code", name), f": {why}") for name, why in found.items()]
    return tag("ul", lines) if lines else None


def problems(figures: Figures) -> Html | None:
    """Wavs that were not, or not wholly, scored, and what else is to be known."""
    found = figures.scores.get("problems") or []
    lines = [tag("li", tag("code", p["system"]), f", {p['trial']}: {p['problem']}") for p in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(tag("li", f"and {len(found) - SHOWN} more, see scores.tsv"))
    for note in figures.scores.get("notes") or []:
        lines.append(tag("li", tag("code", note["system"]), f": {note['wavs']} wavs {note['note']}"))
    return tag("ul", lines) if lines else None
