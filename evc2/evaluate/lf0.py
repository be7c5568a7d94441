"""Distance and correlation of pitch contours."""

from __future__ import annotations

import numpy as np

from evc2.evaluate.item import Item
from evc2.evaluate.registry import register

MIN_FRAMES = 10
"""Fewer frames (50 ms) voiced in both say nothing about pitch."""

MIN_DEVIATION = 1e-3
"""A contour whose log-F0 deviates less (0.1 %) is flat: its correlation would be that of estimation noise."""

SOURCE = "Sisman et al., An overview of voice conversion and its challenges, 2021 (F0 RMSE and PCC), on ln F0"


def both_voiced(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln F0 of the frames voiced in both: x, y [K] in Hz, 0 where unvoiced -> two arrays [V]."""
    voiced = (x > 0) & (y > 0)
    return np.log(x[voiced]), np.log(y[voiced])


def lf0_rmse(x: np.ndarray, y: np.ndarray) -> float | None:
    """Root of the mean squared difference of ln F0 over frames voiced in both.

    Args:
        x, y: [K] F0 in Hz, aligned, 0 where unvoiced.

    Returns:
        nats (0.0578 is a semitone), 0 .. ln(800 / 71) = 2.4 by the range of the analysis; None with fewer than
        ``MIN_FRAMES`` such frames. Source: Sisman et al. 2021, with ln F0 in place of F0.
    """
    a, b = both_voiced(x, y)
    return None if len(a) < MIN_FRAMES else float(np.sqrt(np.mean((a - b) ** 2)))


def lf0_corr(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation of ln F0 over frames voiced in both.

    Args:
        x, y: [K] F0 in Hz, aligned, 0 where unvoiced.

    Returns:
        -1 .. 1; None with fewer than ``MIN_FRAMES`` such frames or a flat contour.
        Source: Sisman et al. 2021, with ln F0 in place of F0.
    """
    a, b = both_voiced(x, y)
    if len(a) < MIN_FRAMES or min(a.std(), b.std()) < MIN_DEVIATION:
        return None
    return float(np.corrcoef(a, b)[0, 1])


@register(
    "lf0_rmse",
    unit="nats",
    better="lower",
    needs=("wav", "reference"),
    digits=3,
    doc="root mean squared difference of ln F0 on frames voiced in both, along the DTW path of the MCD",
    source=SOURCE,
    range="0 .. 2.4",
)
def _lf0_rmse(item: Item) -> float | None:
    return lf0_rmse(*item.f0_pairs)


@register(
    "lf0_corr",
    unit="",
    better="higher",
    needs=("wav", "reference"),
    digits=3,
    doc="Pearson's correlation of ln F0 on frames voiced in both, along the DTW path of the MCD",
    source=SOURCE,
    range="-1 .. 1",
)
def _lf0_corr(item: Item) -> float | None:
    return lf0_corr(*item.f0_pairs)
