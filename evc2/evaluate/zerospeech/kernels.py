"""Compiled loops of ABX: distances of rows, warping, counts of triplets. Imported late, as numba is slow to load.

All functions are in this file, because numba's cache does not notice a change in another one. They release the
interpreter, so that threads of one process share the embeddings. A result depends on the two items only, not on the
number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

COSINE, KL, LEVENSHTEIN = 0, 1, 2
_SUMS = {"reassoc", "contract", "nsz"}  # sums may be vectorised; the order is then fixed by the width of the rows


def _compiled(**options: object) -> Callable[[Callable], Callable]:
    def wrap(function: Callable) -> Callable:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache can be written
            return njit(nogil=True, **options)(function)

    return wrap


@_compiled(fastmath=_SUMS)
def _dot(rows, a, b):
    total = 0.0
    for k in range(rows.shape[1]):
        total += rows[a, k] * rows[b, k]
    return total


@_compiled(fastmath=_SUMS)
def _gap(rows, logs, a, b):
    total = 0.0
    for k in range(rows.shape[1]):
        total += (rows[a, k] - rows[b, k]) * (logs[a, k] - logs[b, k])
    return total


@_compiled()
def _frame(kind, a, b, rows, logs, zero):
    """Distance of the symbols a and b, by rows prepared as `distances.prepare` says."""
    if a == b:
        return 0.0
    if kind == COSINE:
        if zero[a] or zero[b]:
            return 1.0
        return math.acos(min(1.0, max(-1.0, _dot(rows, a, b)))) / math.pi
    # 0.5 * (KL(p, q) + KL(q, p)) = 0.5 * sum((p - q) * (log p - log q)): no term is negative.
    return 0.5 * _gap(rows, logs, a, b)


@_compiled()
def all_frames(kind, rows, logs, zero):
    """Distances of all symbols: float64 [S, S]."""
    size = rows.shape[0]
    table = np.zeros((size, size))
    for a in range(size):
        for b in range(a + 1, size):
            table[a, b] = table[b, a] = _frame(kind, a, b, rows, logs, zero)
    return table


@_compiled()
def warp(cost, n, m, normalize):
    """Dynamic time warping: least sum of cost[:n, :m] along a path of steps down, right or diagonal.

    `cost` becomes the accumulated cost. With `normalize` the sum is divided by the number of cells of the path, which
    is found from the end: diagonal where that is as good, then right, then down.
    """
    for i in range(1, n):
        cost[i, 0] += cost[i - 1, 0]
    for j in range(1, m):
        cost[0, j] += cost[0, j - 1]
    for i in range(1, n):
        for j in range(1, m):
            cost[i, j] += min(cost[i - 1, j - 1], min(cost[i - 1, j], cost[i, j - 1]))
    total = cost[n - 1, m - 1]
    if not normalize:
        return total
    i, j, cells = n - 1, m - 1, 1
    while i > 0 and j > 0:
        up, left, diagonal = cost[i - 1, j], cost[i, j - 1], cost[i - 1, j - 1]
        if diagonal <= left and diagonal <= up:
            i -= 1
            j -= 1
        elif left <= up:
            j -= 1
        else:
            i -= 1
        cells += 1
    return total / (cells + i + j)


@_compiled()
def _edit(a, b, cost, normalize):
    """Edit distance of symbols a [N] and b [M], unit costs; with `normalize` divided by the longer length."""
    n, m = a.shape[0], b.shape[0]
    for j in range(m + 1):
        cost[0, j] = j
    for i in range(1, n + 1):
        cost[i, 0] = i
        for j in range(1, m + 1):
            change = cost[i - 1, j - 1] + (0.0 if a[i - 1] == b[j - 1] else 1.0)
            cost[i, j] = min(change, min(cost[i - 1, j], cost[i, j - 1]) + 1.0)
    return cost[n, m] / max(n, m) if normalize else cost[n, m]


@_compiled()
def _item(kind, normalize, a, b, rows, logs, zero, table, cost):
    """Distance of two items of symbols a [N] and b [M]."""
    if kind == LEVENSHTEIN:
        return _edit(a, b, cost, normalize)
    n, m = a.shape[0], b.shape[0]
    if table.shape[0]:
        for i in range(n):
            for j in range(m):
                cost[i, j] = table[a[i], b[j]]
    else:
        for i in range(n):
            for j in range(m):
                cost[i, j] = _frame(kind, a[i], b[j], rows, logs, zero)
    return warp(cost, n, m, normalize)


@_compiled()
def pair_distances(pairs, kind, normalize, ids, bounds, rows, logs, zero, table, longest):
    """Distances of items pairs [P, 2]: float64 [P]."""
    cost = np.empty((longest + 1, longest + 1))
    out = np.empty(pairs.shape[0])
    for k in range(pairs.shape[0]):
        a, b = pairs[k, 0], pairs[k, 1]
        first, second = ids[bounds[a] : bounds[a + 1]], ids[bounds[b] : bounds[b + 1]]
        out[k] = _item(kind, normalize, first, second, rows, logs, zero, table, cost)
    return out


@_compiled()
def _same_phone(groups, phone, start, stop):
    for g in range(start, stop):
        if groups[g, 0] == phone:
            return g
    return -1


@_compiled()
def count_cells(blocks, sides, groups):
    """How many cells (A and X's phone, B's phone) each block [n, 2] can have: int64 [n]."""
    out = np.zeros(blocks.shape[0], dtype=np.int64)
    for k in range(blocks.shape[0]):
        own, other = blocks[k, 0], blocks[k, 1]
        size = sides[own, 1] - sides[own, 0]
        for g in range(sides[other, 0], sides[other, 1]):
            if _same_phone(groups, groups[g, 0], sides[own, 0], sides[own, 1]) >= 0:
                out[k] += size - 1
    return out


@_compiled()
def score_blocks(blocks, starts, sides, groups, kind, normalize, ids, bounds, rows, logs, zero, table, longest, cells):
    """Sum up the triplets of blocks; each needed pair of items is compared once.

    Args:
        blocks: [n, 2] numbers of two sides: that of A and B, and that of X. The same one twice: within a speaker, and
            A is then not X.
        starts: [n] first cell of each block.
        sides: [sides, 2] first and last + 1 of the groups of a context and speaker.
        groups: [groups, 3] phone, first and last + 1 of its items, of one context and speaker.
        cells: written: int64 [cells, 5] phone of A and X, phone of B, block, sum of scores, number of triplets.

    Returns:
        How many pairs of items were compared.
    """
    cost = np.empty((longest + 1, longest + 1))
    compared = 0
    for k in range(blocks.shape[0]):
        own, other = blocks[k, 0], blocks[k, 1]
        within = own == other
        low, high = sides[own, 0], sides[own, 1]
        begin, end = groups[low, 1], groups[high - 1, 2]
        distances = np.empty(end - begin)
        cell = starts[k]
        for g in range(sides[other, 0], sides[other, 1]):
            mine = _same_phone(groups, groups[g, 0], low, high)
            if mine < 0:
                continue
            place = cell
            for h in range(low, high):
                if h != mine:
                    cells[place, 0], cells[place, 1], cells[place, 2] = groups[mine, 0], groups[h, 0], k
                    cells[place, 3] = cells[place, 4] = 0
                    place += 1
            if high - low > 1 and not (within and groups[mine, 2] - groups[mine, 1] < 2):
                for x in range(groups[g, 1], groups[g, 2]):
                    second = ids[bounds[x] : bounds[x + 1]]
                    for a in range(begin, end):
                        if within and a == x:
                            continue
                        first = ids[bounds[a] : bounds[a + 1]]
                        distances[a - begin] = _item(kind, normalize, first, second, rows, logs, zero, table, cost)
                        compared += 1
                    place = cell
                    for h in range(low, high):
                        if h == mine:
                            continue
                        for a in range(groups[mine, 1], groups[mine, 2]):
                            if within and a == x:
                                continue
                            near = distances[a - begin]
                            for b in range(groups[h, 1], groups[h, 2]):
                                far = distances[b - begin]
                                cells[place, 3] += (1 if near < far else 0) - (1 if near > far else 0)
                            cells[place, 4] += groups[h, 2] - groups[h, 1]
                        place += 1
            cell = place
    return compared
