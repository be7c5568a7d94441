"""One wav of a trial: its name, picture and player."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evc2.evaluate.analysis import Analysis
from evc2.evaluate.report.figures import is_anchor
from evc2.evaluate.report.markup import Html, breakable, html, tag
from evc2.evaluate.report.picture import HOP_SECONDS, f0_path, f0_place, mel_place, spectrogram_png
from evc2.evaluate.report.sound import data_uri

UNITS = 100
"""Units of the drawing a second; the script that moves the play head knows it from the attribute data-units."""

HEIGHT = 110

NATURAL = ("source", "target")
"""Names of the natural wavs of a trial, shown before the systems."""


def axes() -> Html:
    """The two scales beside a picture, drawn once and used by every card: kHz on the left, F0 on the right."""
    left = [_label(30, mel_place(1000.0 * k), str(k), "end") for k in (1, 2, 4, 8)] + [_unit(30, "kHz", "end")]
    right = [_label(4, float(f0_place(hz)), str(hz), "start") for hz in (100, 200, 400, 800)] + [
        _unit(4, "Hz", "start")
    ]
    symbols = [_symbol("axis-khz", left), _symbol("axis-f0", right)]
    return tag("svg", symbols, class_="store", aria_hidden="true", focusable="false")


def _symbol(name: str, content: object) -> Html:
    return tag("symbol", content, id=name, viewBox=f"0 0 34 {HEIGHT}")


def _label(x: int, place: float, text: str, anchor: str) -> Html:
    y = min(HEIGHT - 2.0, max(9.0, HEIGHT * (1 - place) + 3.5))
    return tag("text", text, x=x, y=f"{y:.1f}", text_anchor=anchor)


def _unit(x: int, text: str, anchor: str) -> Html:
    return tag("text", text, x=x, y=HEIGHT - 2, text_anchor=anchor)


@dataclass
class Sound:
    """One wav of a trial, or why there is none.

    Attributes:
        names: what it is; several where systems gave the very same samples.
        flac: the file in the page.
        seconds: duration, silence included.
        analysis: gives the F0.
        decibels: [T, 80] spectrogram.
        problem: why nothing can be played.
    """

    names: list[str]
    flac: bytes = b""
    seconds: float = 0.0
    analysis: Analysis | None = None
    decibels: np.ndarray = field(default_factory=lambda: np.zeros((0, 80)))
    problem: str | None = None


def card(sound: Sound, trial: str, longest: float) -> Html:
    """A figure of one wav of a trial (its id is part of the player's spoken name).

    Args:
        sound: what to show.
        trial: id.
        longest: seconds of the longest wav of the trial: all pictures have this time scale.
    """
    title = " = ".join(sound.names)
    parts: list[object] = [tag("b", breakable(title), class_="name")]
    if any(is_anchor(name) for name in sound.names):
        parts += [" ", tag("span", "anchor", class_="badge")]
    if set(sound.names) & set(NATURAL):
        parts += [" ", tag("span", "natural", class_="badge")]
    if sound.analysis is None:
        problem = tag("p", sound.problem, class_="problem")
        return tag("figure", tag("figcaption", tag("span", parts)), problem, class_="card")
    facts = f"{sound.seconds:.2f} s{_f0_text(sound.analysis.f0)}"
    picture = _picture(title, facts, sound.analysis, sound.decibels, longest)
    uri = data_uri("audio/flac", sound.flac)
    audio = tag("audio", controls=True, preload="none", src=uri, aria_label=f"{title}, trial {trial}")
    caption = tag("figcaption", tag("span", parts), tag("span", facts, class_="range"))
    return tag("figure", caption, picture, audio, class_="card", data_seconds=f"{sound.seconds:.4f}")


def _f0_text(f0: np.ndarray) -> str:
    voiced = f0[f0 > 0]
    if not len(voiced):
        return ", no voiced frames"
    low, middle, high = np.percentile(voiced, (5, 50, 95))
    return f", F0 {middle:.0f} Hz ({low:.0f} to {high:.0f})"


def _picture(title: str, facts: str, analysis: Analysis, decibels: np.ndarray, longest: float) -> Html:
    width = max(1.0, longest * UNITS)
    # A column of the image stands for the time around its frame: half a column lies before time 0.
    image = tag(
        "image", href=data_uri("image/png", spectrogram_png(decibels)), x=f"{-HOP_SECONDS * UNITS / 2:g}", y=0,
        width=f"{len(decibels) * HOP_SECONDS * UNITS:g}", height=HEIGHT, preserveAspectRatio="none",
    )  # fmt: skip
    path = f0_path(analysis.f0, analysis.contract.frame_seconds, UNITS, HEIGHT)
    halves = "".join(f"M{k * UNITS / 2:g} 0V{HEIGHT}" for k in range(1, int(longest * 2) + 1))
    contour = [tag("path", d=path, class_=f"f0 {kind}") for kind in ("halo", "line")] if path else None
    drawing = tag(
        "svg", image, tag("path", d=halves, class_="grid") if halves else None, contour,
        tag("line", x1=0, x2=0, y1=0, y2=HEIGHT, class_="head"),
        viewBox=f"0 0 {width:g} {HEIGHT}", preserveAspectRatio="none", class_="spectrogram", role="img",
        aria_label=f"Spectrogram and F0 contour of {title}: {facts}", data_units=UNITS,
    )  # fmt: skip
    left, right = (
        tag("svg", tag("use", href=f"#{name}"), class_=f"axis {name}", aria_hidden="true", focusable="false",
            viewBox=f"0 0 34 {HEIGHT}")
        for name in ("axis-khz", "axis-f0")
    )  # fmt: skip
    return html(tag("div", left, drawing, right, class_="picture"))
