"""Distance and correlation of pitch contours."""

from __future__ import annotations

from evc2.evaluate.item import Item
from evc2.evaluate.registry import register
from evc2.feats.prosody import lf0_corr, lf0_rmse

SOURCE = "Sisman et al., An overview of voice conversion and its challenges, 2021 (F0 RMSE and PCC), on ln F0"


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
