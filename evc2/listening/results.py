"""The results of a listening test as LISTENING.md, listening.tsv and listening.json."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evc2.evaluate.intervals import ENOUGH, Interval
from evc2.fileio.atomic import write_json, write_text
from evc2.listening.figures import Mean, Preference
from evc2.listening.scales import SCALES
from evc2.listening.score import ALL, Scores

MISSING = "n/a"
TITLES = {"mos": "Naturalness (MOS, 1 to 5)", "similarity": "Speaker similarity", "xab": "Emotion preference (XAB)"}
COLUMNS = (
    "test", "figure", "system", "other", "emotion", "value", "low", "high", "unit", "listener_low", "listener_high",
    "utterance_low", "utterance_high", "answers", "listeners", "utterances", "wins", "losses", "ties", "p",
    "wilson_low", "wilson_high",
)  # fmt: skip


def write_results(out: str | os.PathLike[str], scores: Scores, command: str) -> str:
    """Write the three files into a folder; return the text of LISTENING.md."""
    folder = Path(out)
    text = markdown(scores, command)
    write_json(folder / "listening.json", as_json(scores, command))
    write_text(folder / "listening.tsv", tsv(scores))
    write_text(folder / "LISTENING.md", text)
    return text


def as_json(scores: Scores, command: str) -> dict:
    """All results as plain values."""
    head = {"test": scores.test, "command": command, "files": scores.files, "rule": scores.rule}
    cells = [
        {"test": c.test, "figure": c.figure, "system": c.system, "emotion": c.emotion, **c.value.to_dict()}
        for c in scores.cells
    ]
    return head | {
        "listeners": scores.listeners,
        "attention_checks": {name: {"passed": a, "asked": b} for name, (a, b) in scores.checks.items()},
        "answers": scores.counts,
        "replaced_answers": scores.repeated,
        "cells": cells,
        "preferences": [{"emotion": emotion, **p.to_dict()} for emotion, p in scores.preferences],
        "mos_differences": [
            {"system": a, "minus": b, "by_listener": left.to_dict(), "by_utterance": right.to_dict()}
            for a, b, left, right in scores.differences
        ],
        "krippendorff_alpha": {
            name: {"level": SCALES[name].level, "alpha": alpha} for name, alpha in scores.agreement.items()
        },
    }


def tsv(scores: Scores) -> str:
    """A row a figure; what a row has no value for is n/a."""
    rows = []
    for c in scores.cells:
        named = {"test": c.test, "figure": c.figure, "system": c.system, "emotion": c.emotion}
        rows.append(named | _mean_fields(c.value))
    for emotion, p in scores.preferences:
        low, high = p.wilson or (None, None)
        named = {"test": "xab", "figure": "preference", "system": p.first, "other": p.second, "emotion": emotion}
        counts = {"wins": p.wins, "losses": p.losses, "ties": p.ties, "p": p.p, "wilson_low": low, "wilson_high": high}
        rows.append(named | (_mean_fields(p.share) if p.share else {}) | counts)
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(_plain(row.get(name)) for name in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def _mean_fields(value: Mean) -> dict:
    low, high = value.bounds or (None, None)
    a, b = value.by_listener, value.by_utterance
    fields = {"value": value.mean, "low": low, "high": high, "unit": value.unit}
    fields |= {"listener_low": a.low, "listener_high": a.high, "utterance_low": b.low, "utterance_high": b.high}
    return fields | {"answers": value.answers, "listeners": value.listeners, "utterances": value.utterances}


def _plain(value: object) -> str:
    return MISSING if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _span(interval: Interval | None, digits: int = 2) -> str:
    return (
        MISSING
        if interval is None or interval.low is None
        else f"{interval.low:.{digits}f} .. {interval.high:.{digits}f}"
    )


def _shown(value: Mean | None) -> str:
    if value is None:
        return MISSING
    if value.bounds is None:
        return f"{value.mean:.2f}"
    return f"{value.mean:.2f} [{value.bounds[0]:.2f}, {value.bounds[1]:.2f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
             for row in [head, *rows]]  # fmt: skip
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:], ""]


def markdown(scores: Scores, command: str) -> str:
    """The results as a page to read."""
    left_out = Counter(why.split(":")[0] for why in scores.listeners.values() if why)
    reasons = f" ({', '.join(f'{why}: {n}' for why, n in sorted(left_out.items()))})" if left_out else ""
    checks = ", ".join(f"{name} {a} of {b}" for name, (a, b) in scores.checks.items() if b)
    lines = ["# Listening test", "", f"- test: {scores.test}"]
    lines += [f"- command: `{command}`"] if command else []
    lines += [
        f"- listeners: {len(scores.listeners)} answered, {scores.counted} count{reasons}",
        f"- rule: {scores.rule}",
        f"- attention checks passed, over all who answered: {checks or 'none were asked'}",
        f"- answers that count: {', '.join(f'{n} {name}' for name, n in scores.counts.items() if n)}",
        "",
        "Intervals are 95 %, by bootstrap. Answers of one listener, and answers to one utterance, go together, so "
        "whole listeners and whole utterances (trials) are drawn anew, each in turn; shown is the wider interval. "
        "One of no width says that the answers agree, not that the figure is certain.",
    ]
    if scores.counted < ENOUGH:
        lines.append(f"With fewer than {ENOUGH} listeners the figures are reported, not concluded from.")
    lines.append("")
    for name in ("mos", "similarity"):
        if scores.counts.get(name):
            lines += [f"## {TITLES[name]}", "", *_means(scores, name), *_alpha(scores, name)]
    if scores.counts.get("xab"):
        lines += [f"## {TITLES['xab']}", "", *_preferences(scores), *_alpha(scores, "xab")]
    return "\n".join(lines).rstrip() + "\n"


def _alpha(scores: Scores, name: str) -> list[str]:
    alpha = scores.agreement.get(name)
    text = MISSING if alpha is None else f"{alpha:.2f}"
    return [f"Agreement between listeners: Krippendorff's alpha {text} ({SCALES[name].level}).", ""]


def _means(scores: Scores, name: str) -> list[str]:
    cells = {(c.figure, c.system, c.emotion): c.value for c in scores.cells if c.test == name}
    systems = [s for s in scores.systems if any(key[1] == s for key in cells)]
    emotions = sorted({key[2] for key in cells} - {ALL})
    lines = []
    figures = [("mos", "MOS")] if name == "mos" else [("same", 'share "same speaker"'), ("mean", "mean (1 to 4)")]
    for figure, title in figures:
        rows = []
        for system in systems:
            whole = cells[figure, system, ALL]
            each = [_shown(cells.get((figure, system, emotion))) for emotion in emotions]
            spans = [_span(whole.by_listener), _span(whole.by_utterance)]
            counts = [str(whole.answers), str(whole.listeners), str(whole.utterances)]
            rows.append([system, _shown(whole), *spans, *counts, *each])
        head = ["system", title, "over listeners", "over utterances", "answers", "listeners", "utterances"]
        lines += _table([*head, *(f"to {emotion}" for emotion in emotions)], rows)
    if name == "mos" and scores.differences:
        rows = [
            [
                a,
                b,
                f"{left.mean:+.2f}" if left.mean is not None else MISSING,
                _span(left),
                _span(right),
                _verdict(left, right),
            ]
            for a, b, left, right in scores.differences
        ]
        head = ["system", "minus", "difference", "paired by listener", "paired by utterance", "verdict"]
        lines += _table(head, rows)
    return lines


def _verdict(left: Interval, right: Interval) -> str:
    """Only where both intervals are on one side of zero, and there are enough of both."""
    sure = left.enough and right.enough and left.excludes_zero and right.excludes_zero
    if not sure or (left.mean > 0) != (right.mean > 0):
        return ""
    return "better" if left.mean > 0 else "worse"


def _preferences(scores: Scores) -> list[str]:
    rows = []
    for emotion, p in scores.preferences:
        wilson = MISSING if p.wilson is None else f"{p.wilson[0]:.2f} .. {p.wilson[1]:.2f}"
        rows.append(
            [p.first, p.second, emotion, str(p.wins), str(p.losses), str(p.ties), _shown(p.share), wilson, _p(p)]
        )
    head = ["system", "against", "to", "preferred", "not", "cannot tell", "share", "Wilson", "p"]
    return [
        *_table(head, rows),
        "share: preferred among the decided answers; p: exact two-sided binomial test of equal chances. p and Wilson's "
        "interval take all answers as independent, which is optimistic when listeners answer several items; p is not "
        "corrected for the number of comparisons.",
        "",
    ]


def _p(p: Preference) -> str:
    return MISSING if p.p is None else "< 0.001" if p.p < 0.001 else f"{p.p:.3f}"
