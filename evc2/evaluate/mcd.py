"""Mel-cepstral distortion: the distance of two spectral envelopes, with and without time alignment."""

from __future__ import annotations

import numpy as np

from evc2.evaluate.item import Item, frame_pairs
from evc2.evaluate.registry import register
from evc2.feats import distance

SOURCE = "Kubichek, Mel-cepstral distance measure for objective speech quality assessment, 1993 (the distance in dB)"


def mcd_aligned(x: np.ndarray, y: np.ndarray) -> float:
    """Mean over frames of 10 sqrt(2) / ln 10 * |x_t - y_t|.

    Args:
        x, y: [K, 24] mel-cepstra without c0, frame k of x belonging to frame k of y.

    Returns:
        dB, 0 for equal envelopes, no upper bound.
        Source: Kubichek 1993.
    """
    return distance.mcd(x, y, dtw=False, has_c0=False)


@register(
    "mcd",
    unit="dB",
    better="lower",
    needs=("wav", "reference"),
    digits=2,
    doc="mel-cepstral distortion to the reference along the DTW path: 24 mel-cepstra without c0 (SPTK's scale, "
    "all-pass constant 0.42, 0 to 7 kHz), 10 sqrt(2) / ln 10 times their Euclidean distance, mean over the path; the "
    "same formula on WORLD's coded envelope gives about 1.4 times as much",
    source=SOURCE,
    range="0 ..",
)
def _mcd(item: Item) -> float:
    i, j = item.path
    return mcd_aligned(item.converted.mcep[i], item.reference.mcep[j])


@register(
    "mcd_nodtw",
    unit="dB",
    better="lower",
    needs=("wav", "reference"),
    digits=2,
    doc="the same without DTW: frame by frame where both are equally long; otherwise from the first frame of speech "
    "of each to the end of the shorter, so that wrong timing counts",
    source=SOURCE,
    range="0 ..",
)
def _mcd_nodtw(item: Item) -> float:
    x, y = item.converted, item.reference
    pairs = frame_pairs(x, y)
    if pairs is not None:
        return mcd_aligned(x.mcep[pairs[0]], y.mcep[pairs[1]])
    a, b = x.mcep[x.speech], y.mcep[y.speech]
    n = min(len(a), len(b))
    return mcd_aligned(a[:n], b[:n])
