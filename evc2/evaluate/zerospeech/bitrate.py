"""Bitrate of units: what it would take to send them, had the receiver their frequencies.

B = N / D * H with N rows of all files together, D seconds of all files together, and H the entropy in bits of the
distinct rows' relative frequencies (ZeroSpeech 2019). Rows are compared as exact values, so vectors that vary all the
time count as symbols of their own, and B is then about N / D * log2(N).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.zerospeech.embeddings import Symbols, matrix, require_some


@dataclass(frozen=True)
class Bitrate:
    """The bitrate and what it was made of."""

    bits_per_second: float
    rows: int
    seconds: float
    symbols: int
    entropy: float
    files: int
    missing: list[str]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return dict(vars(self))


def entropy(counts: np.ndarray) -> float:
    """Entropy in bits of frequencies [S], none of them zero."""
    share = counts / counts.sum()
    return float(-np.sum(share * np.log2(share))) + 0.0


def bitrate(embeddings: Mapping[str, np.ndarray], seconds: Mapping[str, float]) -> Bitrate:
    """Bitrate over the files of a list; those that have no embedding are left out, with their seconds.

    Args:
        embeddings: utterance -> rows [N, D].
        seconds: utterance -> its length; these are the files that count.

    Raises:
        UserError: none of them has an embedding, or rows of differing numbers of values.
    """
    symbols, counts, missing = Symbols(), np.zeros(0, dtype=np.int64), []
    total, duration = 0, 0.0
    for name, length in seconds.items():
        if name not in embeddings:
            missing.append(name)
            continue
        found = symbols.add(matrix(embeddings, name), name)
        counts = np.pad(counts, (0, len(symbols) - len(counts)))
        counts += np.bincount(found, minlength=len(counts))
        total, duration = total + len(found), duration + length
    files = len(seconds) - len(missing)
    require_some(files, missing, embeddings, "the list")
    bits = entropy(counts) if total else 0.0
    return Bitrate(total / duration * bits, total, duration, len(symbols), bits, files, missing)


def upper_bound(rates: Sequence[float], codes: Sequence[int]) -> float:
    """Most bits a second that codebooks can take: the sum of rates (codes a second) times log2 of their sizes.

    Args:
        rates: codes a second of each codebook.
        codes: sizes of the codebooks, or one size for all.

    Raises:
        UserError: numbers that are not positive, or as many sizes as fit no number of rates.
    """
    sizes = list(codes) * len(rates) if len(codes) == 1 else list(codes)
    if len(sizes) != len(rates) or any(rate <= 0 for rate in rates) or any(size < 1 for size in sizes):
        raise UserError(
            f"expected a positive rate and a size for each codebook (or one size for all), found rates "
            f"{', '.join(map(str, rates))} and sizes {', '.join(map(str, codes))}"
        )
    return float(sum(rate * np.log2(size) for rate, size in zip(rates, sizes, strict=True)))
