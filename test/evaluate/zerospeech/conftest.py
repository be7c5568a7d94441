"""Random ABX tasks, and a plain triple loop that scores them."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest


def plain_distance(x, y, kind, normalize):
    """Distance of rows [N, D] and [M, D] by plain Python loops."""
    n, m = len(x), len(y)
    if kind == "levenshtein":
        table = [[max(i, j) for j in range(m + 1)] for i in range(n + 1)]
        for i, j in itertools.product(range(1, n + 1), range(1, m + 1)):
            same = 0 if np.array_equal(x[i - 1], y[j - 1]) else 1
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + same)
        return table[n][m] / max(n, m) if normalize else table[n][m]
    cost = [[plain_frame(a, b, kind) for b in y] for a in x]
    best, steps = {}, {}
    for i, j in itertools.product(range(n), range(m)):
        before = [cell for cell in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if cell in best]
        chosen = min(before, key=best.get, default=None)  # the first of equals: the diagonal
        best[i, j] = cost[i][j] + (best[chosen] if chosen else 0.0)
        steps[i, j] = 1 + (steps[chosen] if chosen else 0)
    total = best[n - 1, m - 1]
    return total / steps[n - 1, m - 1] if normalize else total


def plain_frame(a, b, kind):
    if np.array_equal(a, b):
        return 0.0
    if kind == "cosine":
        size = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
        return 1.0 if size == 0 else math.acos(min(1.0, max(-1.0, float(a @ b) / size))) / math.pi
    eps = np.finfo(np.float64).eps
    p, q = (v / v.sum() if v.sum() else v for v in (a, b))
    p, q = (p + eps) / (p + eps).sum(), (q + eps) / (q + eps).sum()
    return 0.5 * float(np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p)))


def mean(values):
    return sum(values) / len(values)


def plain_abx(rows, items, kind="cosine", normalize=None, speaker="across"):
    """Error in % of items (name, onset, offset, phone, context, speaker) with rows by name; and its triplets."""
    normalize = kind == "cosine" if normalize is None else normalize
    known = {}

    def distance(i, j):
        if (i, j) not in known:
            known[i, j] = plain_distance(rows[items[i][0]], rows[items[j][0]], kind, normalize)
        return known[i, j]

    cells, triplets = {}, []
    for a, b, x in itertools.product(range(len(items)), repeat=3):
        (_, _, _, pa, ca, sa), (_, _, _, pb, cb, sb), (_, _, _, px, cx, sx) = items[a], items[b], items[x]
        wanted = sx == sa and a != x if speaker == "within" else sx != sa
        if pa == px != pb and ca == cb == cx and sa == sb and wanted:
            near, far = distance(a, x), distance(b, x)
            cells.setdefault((pa, pb, sa, sx, ca), []).append((near < far) - (near > far))
            triplets.append((a, b, x))
    speakers, phones = {}, {}
    for (p, q, s, t, _), scores in cells.items():
        speakers.setdefault((p, q, s, t), []).append(mean(scores))
    for (p, q, _, _), scores in speakers.items():
        phones.setdefault((p, q), []).append(mean(scores))
    score = (mean([mean(scores) for scores in phones.values()]) + 1) / 2
    return SimpleNamespace(
        error=100 * (1 - score), triplets=triplets, cells=len(cells), speaker_pairs=len({k[2:] for k in speakers}),
        phone_pairs=len(phones), contexts=len({k[4] for k in cells}), pairs=len(known),
    )  # fmt: skip


def random_task(seed, count=60, speakers=3, phones=3, contexts=2, codes=4, dense=False):
    """Rows by name and items: codes as one-hot rows, or dense positive rows that depend on the phone a little."""
    rng = np.random.default_rng(seed)
    rows, items = {}, []
    for k in range(count):
        s, p, c = rng.integers(speakers), rng.integers(phones), rng.integers(contexts)
        length, name = int(rng.integers(1, 5)), f"s{s}_{k:03d}"
        if dense:
            rows[name] = rng.random((length, 5)) + 0.5 * (np.arange(5) == p)
        else:
            rows[name] = np.eye(codes)[(p + rng.integers(0, 3, length)) % codes]
        items.append((name, float("nan"), float("nan"), f"p{p}", f"c{c}", f"s{s}"))
    return rows, items


@pytest.fixture(scope="session")
def abx():
    """Plain scores and random tasks."""
    return SimpleNamespace(plain=plain_abx, random=random_task)
