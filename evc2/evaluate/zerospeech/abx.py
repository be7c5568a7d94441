"""ABX discriminability of phones: of A and B by one speaker, is it A that X by another speaker is like?

A and X are the same phone, B is another, all in one context (the phones before and after). A triplet scores 1 where X
is nearer to A, -1 where it is nearer to B, else 0. Scores are averaged over the items of a context and pair of
speakers, then over contexts, over pairs of speakers, over pairs of phones (both orders); the error in % is
100 * (1 - mean), the mean mapped to 0 .. 1. Source: Schatz et al., Evaluating speech features with the minimal-pair ABX
task, Interspeech 2013; ZeroSpeech 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evc2.evaluate.zerospeech.averages import Averager
from evc2.evaluate.zerospeech.corpus import Corpus
from evc2.evaluate.zerospeech.distances import in_threads, prepare
from evc2.evaluate.zerospeech.items import Items

_CELLS = 50_000
"""Cells that a thread is given at once; it does not depend on the number of threads, so neither does a result."""


@dataclass(frozen=True)
class Layout:
    """Items sorted by context, speaker and phone. See `kernels.score_blocks` for ``sides`` and ``groups``."""

    order: np.ndarray
    sides: np.ndarray
    groups: np.ndarray
    contexts: np.ndarray
    speakers: np.ndarray


def lay_out(items: Items, present: np.ndarray) -> Layout:
    """Sort those items that are present into groups of one phone, context and speaker, and these into sides."""
    chosen = np.flatnonzero(present)
    order = chosen[np.lexsort((items.phones[chosen], items.speakers[chosen], items.contexts[chosen]))]
    keys = np.stack([items.contexts[order], items.speakers[order], items.phones[order]])
    first = _starts(keys)
    groups = np.stack([keys[2, first], first, np.append(first[1:], len(order))], axis=1)
    side = _starts(keys[:2, first])
    sides = np.stack([side, np.append(side[1:], len(first))], axis=1)
    places = first[side]
    return Layout(order, sides.astype(np.int64), groups.astype(np.int64), keys[0, places], keys[1, places])


def _starts(keys: np.ndarray) -> np.ndarray:
    """Where in columns [K, n] another key begins."""
    if keys.shape[1] == 0:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)))


def make_blocks(layout: Layout, speaker: str) -> np.ndarray:
    """Pairs of sides [n, 2] of one context: that of A and B, that of X.

    Args:
        layout: the sorted items.
        speaker: "across": X is by another speaker; "within": by the same one.
    """
    if speaker == "within":
        return np.repeat(np.arange(len(layout.sides), dtype=np.int64)[:, None], 2, axis=1)
    blocks = []
    edges = np.append(_starts(layout.contexts[None]), len(layout.contexts))
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        own, other = (axis.reshape(-1) for axis in np.mgrid[start:stop, start:stop])
        blocks.append(np.stack([own, other], axis=1)[own != other])
    return np.concatenate(blocks).astype(np.int64) if blocks else np.zeros((0, 2), dtype=np.int64)


def _reordered(corpus: Corpus, order: np.ndarray) -> Corpus:
    parts = [corpus.ids[corpus.bounds[i] : corpus.bounds[i + 1]] for i in order]
    bounds = np.append(0, np.cumsum([len(part) for part in parts], dtype=np.int64)).astype(np.int64)
    ids = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return Corpus(ids, bounds, corpus.rows, corpus.missing)


def score(
    items: Items, corpus: Corpus, kind: str = "cosine", normalize: bool | None = None, speaker: str = "across",
    nj: int = 1,
) -> dict[str, float | int]:  # fmt: skip
    """ABX error of a task that consists of all triplets of its items.

    Args:
        items: the task.
        corpus: rows of its items, in their order; items without rows are left out.
        kind, normalize: the distance, see `distances.prepare`.
        speaker: "across" or "within".
        nj: threads.

    Returns:
        `error` in %; numbers of `phone_pairs`, `speaker_pairs`, `contexts` (with a triplet), `cells`, `triplets`,
        compared `pairs` and `items`.

    Raises:
        UserError: no triplet at all, or as `distances.prepare`.
    """
    from evc2.evaluate.zerospeech import kernels

    layout = lay_out(items, corpus.present)
    prepared = prepare(_reordered(corpus, layout.order), kind, normalize)
    blocks = make_blocks(layout, speaker)
    sizes = kernels.count_cells(blocks, layout.sides, layout.groups)
    blocks, sizes = blocks[sizes > 0], sizes[sizes > 0]
    # Contiguous parts of about _CELLS cells each; a part has at least one block.
    part = np.cumsum(sizes) // _CELLS
    edges = np.append(_starts(part[None]), len(blocks))
    parts = [slice(start, stop) for start, stop in zip(edges[:-1], edges[1:], strict=True)]

    def work(where: slice) -> tuple[slice, np.ndarray, int]:
        starts = np.append(0, np.cumsum(sizes[where])).astype(np.int64)
        cells = np.zeros((starts[-1], 5), dtype=np.int64)
        mine = np.ascontiguousarray(blocks[where])
        done = kernels.score_blocks(mine, starts[:-1], layout.sides, layout.groups, *prepared.arguments, cells)
        return where, cells[cells[:, 4] > 0], done

    averager = Averager(len(items.phone_names), len(items.speaker_names))
    triplets, pairs, contexts = 0, 0, np.zeros(len(items.context_names), dtype=np.bool_)
    for where, cells, done in in_threads(work, parts, nj):
        own, other = blocks[where][cells[:, 2]].T
        averager.add(cells[:, 0], cells[:, 1], layout.speakers[own], layout.speakers[other], cells[:, 3] / cells[:, 4])
        contexts[layout.contexts[own]] = True
        triplets, pairs = triplets + int(cells[:, 4].sum()), pairs + done
    counts = {"contexts": int(contexts.sum()), "triplets": triplets, "pairs": pairs, "items": len(layout.order)}
    return averager.result() | counts
