"""Puts the page together and writes it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from evc2.evaluate.report import notes
from evc2.evaluate.report.card import axes
from evc2.evaluate.report.confusion import confusion_blocks
from evc2.evaluate.report.figures import Figures, direction_title, is_anchor
from evc2.evaluate.report.markup import Html, html, tag
from evc2.evaluate.report.tables import baseline_list, comparison_table, summary_table
from evc2.evaluate.report.trials import trial_block
from evc2.evaluate.score import Clip, Wavs
from evc2.evaluate.summary import ALL
from evc2.fileio.atomic import write_text

RESULTS = ("means", "bars", "differences", "confusions")
"""Sections for which a direction is chosen."""

SCRIPTS = ("direction.js", "sort.js", "chart.js", "player.js")


def write_report(
    path: Path,
    scores: dict[str, Any],
    rows: Iterable[Mapping[str, str]],
    audio: Mapping[str, Mapping[str, Clip]],
    chosen: Sequence[str],
    f0_method: str = "dio",
) -> None:
    """Write the report of an evaluation: one page that opens from disk and asks for nothing else.

    Args:
        path: file to write, atomically.
        scores: content of scores.json.
        rows: rows of scores.tsv; only those of the chosen trials are kept.
        audio: trial -> "source", "target" or name of a system -> where its wav is.
        chosen: trials to show with players, in this order.
        f0_method: dio or harvest, for the contours.
    """
    figures = Figures(scores)
    kept: dict[str, dict[str, Mapping[str, str]]] = {trial: {} for trial in chosen}
    for row in rows:
        if row["trial"] in kept:
            kept[row["trial"]][row["system"]] = row
    wavs = Wavs(f0_method)
    trials = [
        trial_block(trial, kept[trial], audio.get(trial, {}), figures, wavs, first=k == 0)
        for k, trial in enumerate(kept)
    ]
    write_text(path, page(figures, trials))


def page(figures: Figures, trials: Sequence[Html]) -> str:
    """The whole page as text; ``trials`` are their blocks."""
    styles, scripts = _asset("page.css"), [_asset(name) for name in SCRIPTS]
    policy = (
        "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(styles)}; script-src {' '.join(map(_hash, scripts))}"
    )
    sections = [section for section in _sections(figures, trials) if section[2]]
    data = str(figures.scores.get("about", {}).get("data", ""))
    parts = {
        "policy": html(policy),
        "styles": styles,
        "title": html(f"Evaluation: {data.split(',')[0]}" if data else "Evaluation"),
        "facts": notes.facts(figures),
        "links": html([tag("a", title, href=f"#{name}") for name, title, _ in sections]),
        "chooser": _chooser(figures),
        "results": html([_section(*section) for section in sections if section[0] in RESULTS]),
        "rest": html([_section(*section) for section in sections if section[0] not in RESULTS]),
        "axes": axes() if trials else "",
        "data": _data(figures),
        "scripts": "\n".join(f"<script>{text}</script>" for text in scripts),
    }
    # One pass: what is filled in may itself contain something that looks like a place to fill.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


def _sections(figures: Figures, trials: Sequence[Html]) -> list[tuple[str, str, Html | None]]:
    matrices = confusion_blocks(figures.scores.get("confusions") or {}, figures.directions, figures.systems)
    pairs = {direction: comparison_table(figures, direction) for direction in figures.directions}
    means = {
        direction: html([summary_table(figures, direction), baseline_list(figures, direction)])
        for direction in figures.directions
    }
    contour = tag("label", tag("input", type="checkbox", id="contours", checked=True), " F0 contours")
    listen = [tag("p", _LISTEN), tag("p", contour, class_="tools"), *trials]
    return [
        ("means", "Means", _by_direction(figures, means)),
        ("bars", "Bars by direction", _asset_html("chart.html") if figures.metrics else None),
        ("differences", "Paired differences", _by_direction(figures, pairs, _PAIRED)),
        ("confusions", "Emotion as judged", _by_direction(figures, matrices, _JUDGED)),
        ("listen", "Listen", html(listen) if trials else None),
        ("reading", "How to read this", notes.reading(figures)),
        ("metrics", "Metrics", notes.definitions(figures)),
        ("skipped", "Metrics left out", notes.skipped(figures)),
        ("problems", "Not scored, or to be known", notes.problems(figures)),
    ]


_PAIRED = "System minus other, per utterance over the trials that both have; beneath, the 95 % interval of the mean."
_JUDGED = (
    "Rows: the emotion aimed at. Columns: what the judge heard. Number of wavs and share of the row; the answer aimed "
    "at is framed."
)
_LISTEN = (
    "Spectrograms reach to 8 kHz on the mel scale and 70 dB below the loudest point of each wav; those of a trial have "
    "one scale of time, and thin lines mark half seconds. The contour is F0 on the logarithmic scale at the right. One "
    "player sounds at a time; a click into a picture moves its player there."
)


def _section(name: str, title: str, content: Html) -> Html:
    return tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")


def _by_direction(figures: Figures, blocks: Mapping[str, Html | None], text: str | None = None) -> Html | None:
    """A block a direction, each under its own title; the chooser leaves one of them."""
    found = []
    for direction in figures.directions:
        if blocks.get(direction):
            count = figures.n_trials(direction)
            title = [direction_title(direction), tag("span", f" {count} trials", class_="range") if count else None]
            head = tag("h3", title)
            found.append(tag("div", head, blocks[direction], class_="direction", data_direction=direction))
    return html([tag("p", text) if text else None, *found]) if found else None


def _chooser(figures: Figures) -> Html:
    """Choice of the direction; the script shows it (without a script everything is shown)."""
    if len(figures.directions) < 2:
        return Html("")
    first = ALL if ALL in figures.directions else figures.directions[0]
    options = [
        tag("option", direction_title(name), value=name, selected=name == first)
        for name in sorted(figures.directions, key=lambda name: name != first)
    ]
    label = tag("label", "Direction ", tag("select", options, id="direction", autocomplete="off"))
    return tag("div", label, class_="chooser", hidden=True)


def _data(figures: Figures) -> str:
    """What the charts are drawn from, safe within a script element: no "<" remains."""
    cells = [
        [c["direction"], c["system"], c["metric"], c["n"], c["mean"], c["low"], c["high"]]
        for c in figures.scores.get("summaries", ())
    ]
    metrics = {
        name: {"title": figures.title(name), "digits": figures.digits(name), "better": m.get("better")}
        for name, m in figures.metrics.items()
    }
    content = {
        "directions": [[name, direction_title(name)] for name in figures.directions],
        "systems": [[name, is_anchor(name)] for name in figures.systems],
        "metrics": metrics,
        "cells": cells,
    }
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _asset_html(name: str) -> Html:
    return Html(_asset(name))


def _hash(text: str) -> str:
    """How a content security policy names an inline script or style that may be used."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
