"""Distances between items of an ABX task: what is prepared once for the compiled loops.

cosine: arccos of the cosine similarity over pi, 0 for equal rows (two zero rows too), 1 where one row is zero.
kl: rows normalised to sum 1, machine epsilon added, normalised again; half the sum of both divergences. A row of zeros
becomes the uniform distribution (the official evaluator gives NaN). Both are summed along a warping path.
levenshtein: edit distance over rows as symbols, unit costs.
Source: ABXpy, as the evaluator of ZeroSpeech 2019 uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from evc2.errors import UserError, nearest
from evc2.evaluate.zerospeech.corpus import Corpus

KINDS = ("cosine", "kl", "levenshtein")
_TABLE = 2048
"""Most symbols whose distances are computed beforehand (32 MiB); units have few symbols, spectra have many."""
_PAIRS = 20_000
"""Pairs of items that a thread is given at once."""


def parse_kinds(text: str) -> list[str]:
    """Names of distances joined by commas, in any case; UserError for an unknown one."""
    kinds = [word.strip().lower().removeprefix("dtw_") for word in text.split(",") if word.strip()]
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"--distance: unknown '{kind}'{nearest(kind, KINDS)}; expected {', '.join(KINDS)}")
    if not kinds:
        raise UserError(f"--distance: expected one or more of {', '.join(KINDS)}")
    return list(dict.fromkeys(kinds))


@dataclass(frozen=True)
class Prepared:
    """A distance on a corpus; ``arguments`` are those of the compiled loops, from ``kind`` to ``longest``."""

    kind: str
    normalize: bool
    arguments: tuple

    def pairs(self, pairs: np.ndarray, nj: int = 1) -> np.ndarray:
        """Distances of items pairs [P, 2] by number: float64 [P]; nj threads."""
        from evc2.evaluate.zerospeech.kernels import pair_distances

        pairs = np.ascontiguousarray(pairs, dtype=np.int64)
        parts = [pairs[i : i + _PAIRS] for i in range(0, len(pairs), _PAIRS)]
        found = list(in_threads(lambda part: pair_distances(part, *self.arguments), parts, nj))
        return np.concatenate(found) if found else np.zeros(0)


def prepare(corpus: Corpus, kind: str, normalize: bool | None = None) -> Prepared:
    """Prepare a distance.

    Args:
        corpus: the items' rows.
        kind: cosine, kl or levenshtein.
        normalize: whether the cost is divided by the length of its path (of the longer item for levenshtein); None for
            the official way: cosine only.

    Raises:
        UserError: kl on rows with negative values.
    """
    from evc2.evaluate.zerospeech import kernels

    rows, empty = np.ascontiguousarray(corpus.rows), np.zeros((0, 0))
    zero, logs = np.zeros(len(rows), dtype=np.bool_), empty
    if kind == "cosine":
        size = np.sqrt(np.sum(np.square(rows), axis=1, keepdims=True))
        zero = size[:, 0] == 0
        rows = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    elif kind == "kl":
        if rows.size and rows.min() < 0:
            raise UserError("kl compares distributions, but these embeddings have negative values; choose cosine")
        total = rows.sum(axis=1, keepdims=True)
        rows = np.divide(rows, total, out=np.zeros_like(rows), where=total > 0) + np.finfo(np.float64).eps
        rows = rows / rows.sum(axis=1, keepdims=True)
        logs = np.log(rows)
    else:
        rows = empty
    number = KINDS.index(kind)
    table = kernels.all_frames(number, rows, logs, zero) if 0 < len(rows) <= _TABLE else empty
    longest = int(np.diff(corpus.bounds).max(initial=0))
    normal = kind == "cosine" if normalize is None else normalize
    return Prepared(kind, normal, (number, normal, corpus.ids, corpus.bounds, rows, logs, zero, table, longest))


def in_threads(work, parts: list, nj: int) -> Iterator:
    """Yield work(part) for each part in their order, by nj threads; not many results wait at a time."""
    if nj <= 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(nj) as pool:
        waiting: list = []
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > 2 * nj:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
