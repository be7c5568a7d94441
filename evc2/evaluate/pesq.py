"""Perceptual quality of a copy against its original, optional: wide-band PESQ through the PyPI package `pesq`.

The package wraps the reference code of the ITU, which its owners license for evaluation only, and commercial use not at
all without a licence of theirs. So evc2 neither installs nor demands it: whoever may use it installs it.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from evc2.evaluate.item import Item, sample_pairs
from evc2.evaluate.registry import register

RATE = 16000


def pesq_missing() -> str | None:
    """How to get PESQ where it is not here; None where it is."""
    if find_spec("pesq") is None:
        return (
            "PESQ is not installed: pip install pesq (it is compiled, which needs a C compiler), after checking that "
            "the licence of the ITU's reference code in it allows your use"
        )
    return None


def pesq_wb(x: np.ndarray, y: np.ndarray) -> float | None:
    """Wide-band PESQ of a signal.

    Args:
        x: [n] the copy, at 16 kHz.
        y: [n] the original.

    Returns:
        1.0 .. 4.64; None where it finds no speech or too little (below a quarter of a second).

    Source: ITU-T Recommendation P.862.2 (2007).
    """
    import pesq

    if not np.any(x) or not np.any(y):
        return None
    try:
        return float(pesq.pesq(RATE, np.asarray(y, np.float32), np.asarray(x, np.float32), "wb"))
    except (pesq.NoUtterancesError, pesq.BufferTooShortError):
        return None
    except pesq.PesqError as error:
        raise ValueError(f"pesq: {error}") from None


@register(
    "pesq_wb",
    unit="",
    better="higher",
    needs=("wav", "reference"),
    digits=2,
    doc="wide-band PESQ of the output against the reference, a model of what listeners say about coded speech; for "
    "copies only: no value where the lengths differ by over 10 ms",
    source="ITU-T P.862.2 (2007), the ITU's reference code in the package pesq",
    range="1 .. 4.64",
    available=pesq_missing,
)
def _pesq_wb(item: Item) -> float | None:
    pair = sample_pairs(item.converted, item.reference, RATE)
    return None if pair is None else pesq_wb(*pair)
