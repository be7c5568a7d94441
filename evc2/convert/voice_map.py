"""A picture of speaker vectors: t-SNE to two dimensions, a colour a speaker, a marker a gender."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from evc2.convert.voices import unit
from evc2.errors import UserError
from evc2.fileio.atomic import atomic_path

PERPLEXITY = 30.0
LEAST = 5
SEED = 0
LEGEND_ROWS = 30
LONGEST_LEGEND = 120
MARKERS = {"f": "o", "m": "^", "": "s"}
GENDERS = {"f": "female", "m": "male", "": "not known"}


def check_plot(path: str | os.PathLike[str]) -> None:
    """UserError for a file that cannot be a picture, before minutes are spent on what it should show."""
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(f"--plot {path}: expected a file that ends with .png, .svg or .pdf")


def flatten(vectors: np.ndarray, seed: int = SEED) -> np.ndarray:
    """t-SNE: [N, D] -> [N, 2] (van der Maaten and Hinton, JMLR 2008). Equal input gives an equal result.

    The perplexity is 30, or a third of the other points where there are fewer than 91. UserError below 5 points, or
    without scikit-learn.
    """
    if len(vectors) < LEAST:
        raise UserError(f"--plot: expected at least {LEAST} vectors to draw, found {len(vectors)}")
    if find_spec("sklearn") is None:
        raise UserError("--plot needs the package scikit-learn: pip install scikit-learn")
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    # Not from principal components at random signs: those differ between machines.
    return TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(vectors.astype(np.float64))


def colours(number: int) -> list[tuple[float, float, float]]:
    """Colours around the circle of hues; neighbours differ in hue, every second one is darker."""
    hues = np.arange(number) / max(1, number)
    return [colorsys.hls_to_rgb(hue, (0.56, 0.36)[i % 2], (0.75, 0.95)[i % 2]) for i, hue in enumerate(hues)]


def figure(
    by_utt: Mapping[str, np.ndarray],
    by_speaker: Mapping[str, np.ndarray],
    utt2spk: Mapping[str, str],
    genders: Mapping[str, str] | None = None,
    title: str = "",
):
    """The picture as a matplotlib figure; arguments as for :func:`plot_voices`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    utts, speakers = list(by_utt), sorted(by_speaker)
    # The means lie among the utterances as vectors do: they are placed together with them, not averaged on the paper.
    # Means are shorter than what they are of, so all are brought to one length, or they would meet in the middle.
    vectors = [*(by_utt[utt] for utt in utts), *(by_speaker[speaker] for speaker in speakers)]
    places = flatten(np.stack([unit(vector) for vector in vectors]))
    columns = -(-len(speakers) // LEGEND_ROWS)
    fig = Figure(figsize=(8.2 + 1.5 * min(columns, 4), 7.4), dpi=110, layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots()
    handles = []
    for number, (speaker, colour) in enumerate(zip(speakers, colours(len(speakers)), strict=True)):
        marker = MARKERS[(genders or {}).get(speaker, "")]
        own = places[[i for i, utt in enumerate(utts) if utt2spk[utt] == speaker]]
        mean = places[len(utts) + number]
        axes.scatter(*own.T, color=[colour], marker=marker, s=34, alpha=0.8, linewidths=0)
        axes.scatter(*mean, color=[colour], marker=marker, s=150, edgecolors="black", linewidths=1.3, zorder=3)
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.5, "linewidth": 0}
        axes.annotate(speaker, mean, xytext=(7, 6), textcoords="offset points", fontsize=7, zorder=4, bbox=box)
        handles.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=speaker))
    present = [key for key in MARKERS if key in {(genders or {}).get(speaker, "") for speaker in speakers}]
    if genders:
        for key in present:
            handles.append(Line2D([], [], linestyle="", marker=MARKERS[key], color="0.4", label=GENDERS[key]))
    handles.append(Line2D([], [], linestyle="", marker=MARKERS[present[0]], color="0.8", markeredgecolor="black",
                          markersize=11, label="mean"))  # fmt: skip
    if len(speakers) <= LONGEST_LEGEND:
        fig.legend(handles=handles, loc="outside right upper", ncols=columns, fontsize=9, frameon=False)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title or f"t-SNE of {len(utts)} utterances of {len(speakers)} speakers", loc="left", fontsize=11)
    return fig


def plot_voices(
    path: str | os.PathLike[str],
    by_utt: Mapping[str, np.ndarray],
    by_speaker: Mapping[str, np.ndarray],
    utt2spk: Mapping[str, str],
    genders: Mapping[str, str] | None = None,
    title: str = "",
) -> None:
    """Draw the vectors to a .png, .svg or .pdf.

    Args:
        path: the file.
        by_utt: utterance -> [D]; may be empty, then the speakers' own are drawn alone.
        by_speaker: speaker -> [D], drawn large and with a name.
        utt2spk: utterance -> speaker.
        genders: speaker -> m or f, where known.
        title: above the picture.

    Raises:
        UserError: fewer than 5 vectors in all, or no scikit-learn.
    """
    fig = figure(by_utt, by_speaker, utt2spk, genders, title)
    with atomic_path(path) as temporary:
        fig.savefig(temporary)
