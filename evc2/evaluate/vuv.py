"""Errors of voicing."""

from __future__ import annotations

import numpy as np

from evc2.evaluate.item import Item
from evc2.evaluate.registry import register


def vuv_error(x: np.ndarray, y: np.ndarray) -> float:
    """Share of frame pairs of which one is voiced and the other is not.

    Args:
        x, y: [K] F0 in Hz, aligned, 0 where unvoiced.

    Returns:
        percent, 0 .. 100. Source: Nakatani et al., A method for fundamental frequency estimation and voicing decision,
        2008, the voicing decision error.
    """
    return float(100 * np.mean((x > 0) != (y > 0)))


@register(
    "vuv",
    unit="%",
    better="lower",
    needs=("wav", "reference"),
    digits=1,
    doc="frame pairs along the DTW path of the MCD of which one is voiced and the other is not",
    source="Nakatani et al., A method for fundamental frequency estimation and voicing decision, 2008 (VDE)",
    range="0 .. 100",
)
def _vuv(item: Item) -> float:
    return vuv_error(*item.f0_pairs)
