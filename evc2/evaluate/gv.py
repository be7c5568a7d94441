"""Global variance: whether the spectrum moves as much as speech does, and how near it is when that is set aside."""

from __future__ import annotations

from evc2.evaluate.item import Item
from evc2.evaluate.registry import register
from evc2.feats.distance import equal_variance, mcd, variance_ratio

SOURCE = (
    "Toda, Black and Tokuda, Voice conversion based on maximum-likelihood estimation of spectral parameter trajectory, "
    "IEEE TASLP 2007, eq. 30 (global variance)"
)


@register(
    "gv",
    unit="",
    better=None,
    needs=("wav", "reference"),
    digits=2,
    doc="variance over time of the mel-cepstra, output over reference, mean over the 24 coefficients: 1 as natural, "
    "below 1 smoothed",
    source=SOURCE,
    range="0 ..",
)
def _gv(item: Item) -> float:
    x, y = item.converted, item.reference
    return variance_ratio(x.mcep[x.speech], y.mcep[y.speech])


@register(
    "mcd_gv",
    unit="dB",
    better="lower",
    needs=("wav", "reference"),
    digits=2,
    doc="MCD (with DTW) after the output's mel-cepstra were given the reference's variance: plain MCD rewards "
    "smoothing, this does not",
    source=SOURCE,
    range="0 ..",
)
def _mcd_gv(item: Item) -> float:
    x, y = item.converted, item.reference
    a, b = x.mcep[x.speech], y.mcep[y.speech]
    return mcd(equal_variance(a, b), b)
