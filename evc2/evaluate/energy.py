"""Energy: the correlation of its contours, and the difference of its level."""

from __future__ import annotations

import numpy as np

from evc2.evaluate.item import Item
from evc2.evaluate.registry import register
from evc2.feats.prosody import MIN_FRAMES

FLOOR_DB = 60.0
"""Frames further below the loudest one are held at this distance: else digital zeros in a pause would
outweigh all speech."""

MIN_DEVIATION = 0.05
"""A contour of ln power that deviates less (0.2 dB) is flat: its correlation would be that of estimation noise."""


def energy_corr(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation of two contours of frame power.

    Args:
        x, y: [K] natural log of the frame power, aligned. A constant added to one of them (another level) changes
            nothing.

    Returns:
        -1 .. 1; None with fewer than ``MIN_FRAMES`` frames or a flat contour. Source: Sisman et al., An overview of
        voice conversion and its challenges, IEEE/ACM TASLP 2021 (PCC, there of F0), on ln power.
    """
    if len(x) < MIN_FRAMES:
        return None
    depth = FLOOR_DB * np.log(10) / 10
    a, b = np.maximum(x, x.max() - depth), np.maximum(y, y.max() - depth)
    if min(a.std(), b.std()) < MIN_DEVIATION:
        return None
    return float(np.corrcoef(a, b)[0, 1])


@register(
    "energy_corr",
    unit="",
    better="higher",
    needs=("wav", "reference"),
    digits=3,
    doc="Pearson's correlation of the log power of output and reference along the DTW path of the MCD (speech only, "
    f"at most {FLOOR_DB:.0f} dB below the loudest frame); levels as such do not count",
    source="Sisman et al., An overview of voice conversion and its challenges, 2021 (PCC), on ln power",
    range="-1 .. 1",
)
def _energy_corr(item: Item) -> float | None:
    i, j = item.path
    return energy_corr(item.converted.power[i], item.reference.power[j])


def level_diff(x: np.ndarray, y: np.ndarray) -> float:
    """Difference of the mean power of two stretches of speech.

    Args:
        x, y: [K], [L] natural log of the frame power.

    Returns:
        Level of x minus level of y in dB, any number.
    """
    a, b = (float(np.log(np.mean(np.exp(z - z.max()))) + z.max()) for z in (x, y))
    return 10 / np.log(10) * (a - b)


@register(
    "level_diff",
    unit="dB",
    better=None,
    needs=("wav", "reference"),
    digits=1,
    doc="level of the output's speech minus that of the reference's: 0 as the reference, below 0 softer",
    source="mean power of the speech frames",
    range="any",
)
def _level_diff(item: Item) -> float:
    x, y = item.converted, item.reference
    return level_diff(x.power[x.speech], y.power[y.speech])
