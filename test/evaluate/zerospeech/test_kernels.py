"""Distances of items against formulas and an exhaustive search of paths."""

import functools
import math

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech import kernels
from evc2.evaluate.zerospeech.corpus import Corpus
from evc2.evaluate.zerospeech.distances import parse_kinds, prepare
from evc2.evaluate.zerospeech.embeddings import Symbols


def corpus_of(*items):
    symbols = Symbols()
    parts = [symbols.add(np.asarray(item, dtype=np.float64), "x") for item in items]
    bounds = np.append(0, np.cumsum([len(part) for part in parts])).astype(np.int64)
    return Corpus(np.concatenate(parts), bounds, symbols.rows(), [])


def distance(kind, first, second, normalize=None):
    return float(prepare(corpus_of(first, second), kind, normalize).pairs(np.array([[0, 1]]))[0])


def paths(n, m):
    """All warping paths of an n x m matrix, as lists of cells."""
    if n == m == 1:
        return [[(0, 0)]]
    found = []
    for di, dj in ((1, 1), (1, 0), (0, 1)):
        if n - di >= 1 and m - dj >= 1:
            found += [[*path, (n - 1, m - 1)] for path in paths(n - di, m - dj)]
    return found


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (1, 4), (3, 1), (1, 1)])
def test_warping_against_all_paths(shape):
    for seed in range(30):
        cost = np.random.default_rng(seed).random(shape)
        sums = {tuple(path): sum(cost[cell] for cell in path) for path in paths(*shape)}
        best = min(sums, key=sums.get)
        assert kernels.warp(cost.copy(), *shape, False) == pytest.approx(sums[best], rel=1e-12)
        assert kernels.warp(cost.copy(), *shape, True) == pytest.approx(sums[best] / len(best), rel=1e-12)


def path_length(cost):
    """Cells of the path that is chosen among equally good ones: diagonal, else right, else down, from the end."""
    n, m = cost.shape
    best = [[min(sum(cost[c] for c in p) for p in paths(i + 1, j + 1)) for j in range(m)] for i in range(n)]

    def back(i, j):
        if i == 0 or j == 0:
            return 1 + i + j
        ways = [
            (best[i - 1][j - 1], 0, (i - 1, j - 1)),
            (best[i][j - 1], 1, (i, j - 1)),
            (best[i - 1][j], 2, (i - 1, j)),
        ]
        return 1 + back(*min(ways)[2])

    return back(n - 1, m - 1)


def test_ties_prefer_the_diagonal_seen_from_the_end():
    assert kernels.warp(np.array([[1.0, 0.0], [0.0, 1.0]]), 2, 2, True) == 1.0  # 2 by 2 cells, not by 3
    differ = 0
    for seed in range(60):
        cost = np.random.default_rng(seed).integers(0, 3, (3, 4)).astype(np.float64)
        total, length = kernels.warp(cost.copy(), 3, 4, False), path_length(cost)
        assert kernels.warp(cost.copy(), 3, 4, True) == total / length
        tied = {len(path) for path in paths(3, 4) if sum(cost[cell] for cell in path) == total}
        differ += len(tied) > 1
    assert differ > 10  # the rule mattered


def test_cosine_is_the_angle_over_pi():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(7), rng.standard_normal(7)
    angle = math.acos(x @ y / np.linalg.norm(x) / np.linalg.norm(y)) / math.pi
    assert distance("cosine", [x], [y]) == pytest.approx(angle, rel=1e-9)
    assert distance("cosine", [x], [x]) == 0.0
    # Rounding takes the similarity of multiples above 1 or below -1, where arccos is not defined.
    for seed in range(50):
        x = np.random.default_rng(seed).standard_normal(33)
        assert distance("cosine", [x], [3 * x]) == pytest.approx(0, abs=1e-7)
        assert distance("cosine", [x], [-3 * x]) == pytest.approx(1, abs=1e-7)


def test_cosine_of_zero_rows():
    zero, one = [0.0, 0.0], [1.0, 0.0]
    assert distance("cosine", [zero], [zero]) == 0.0
    assert distance("cosine", [zero], [one]) == distance("cosine", [one], [zero]) == 1.0
    assert distance("cosine", [one], [[0.0, 1.0]]) == pytest.approx(0.5)


def test_kl_by_its_formula():
    rng = np.random.default_rng(0)
    x, y = rng.random(5), np.array([0.0, 3.0, 1.0, 0.0, 0.0])
    eps = np.finfo(np.float64).eps
    p, q = x / x.sum() + eps, y / y.sum() + eps
    p, q = p / p.sum(), q / q.sum()
    expected = 0.5 * (np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p)))
    assert distance("kl", [x], [y]) == pytest.approx(expected, rel=1e-9)
    assert distance("kl", [x], [x]) == 0.0
    zero = np.zeros(5)
    assert np.isfinite(distance("kl", [zero], [x])) and distance("kl", [zero], [np.ones(5)]) == pytest.approx(0)
    with pytest.raises(UserError, match="negative values; choose cosine"):
        distance("kl", [-x], [y])


def test_levenshtein_against_recursion():
    def plain(a, b):
        @functools.cache
        def edit(i, j):
            if i == 0 or j == 0:
                return i + j
            return min(edit(i - 1, j) + 1, edit(i, j - 1) + 1, edit(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

        return edit(len(a), len(b))

    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = (rng.integers(0, 3, rng.integers(1, 7)).tolist() for _ in range(2))
        x, y = (np.eye(3)[word] for word in (a, b))
        assert distance("levenshtein", x, y) == plain(a, b)
        assert distance("levenshtein", x, y, normalize=True) == pytest.approx(plain(a, b) / max(len(a), len(b)))


@pytest.mark.parametrize("kind", ["cosine", "kl"])
@pytest.mark.parametrize("normalize", [None, True, False])
def test_items_are_warped(kind, normalize):
    rng = np.random.default_rng(1)
    x, y = rng.random((3, 6)), rng.random((4, 6))
    cost = np.array([[distance(kind, [a], [b], False) for b in y] for a in x])
    best = min(paths(3, 4), key=lambda path: sum(cost[cell] for cell in path))
    total = sum(cost[cell] for cell in best)
    normal = kind == "cosine" if normalize is None else normalize
    assert distance(kind, x, y, normalize) == pytest.approx(total / len(best) if normal else total, rel=1e-9)


def test_many_symbols_need_no_table(monkeypatch):
    from evc2.evaluate.zerospeech import distances

    rng = np.random.default_rng(2)
    corpus = corpus_of(*(rng.random((n, 5)) for n in (1, 4, 6, 3)))
    pairs = np.array([[a, b] for a in range(4) for b in range(4)])
    for kind in ("cosine", "kl"):
        with_table = prepare(corpus, kind)
        monkeypatch.setattr(distances, "_TABLE", 3)
        without = prepare(corpus, kind)
        monkeypatch.undo()
        assert with_table.arguments[7].shape == (14, 14) and without.arguments[7].size == 0
        np.testing.assert_array_equal(with_table.pairs(pairs), without.pairs(pairs))
        monkeypatch.setattr(distances, "_PAIRS", 3)
        np.testing.assert_array_equal(with_table.pairs(pairs, nj=3), without.pairs(pairs))
        monkeypatch.undo()


def test_names_of_distances():
    assert parse_kinds("cosine,KL, levenshtein,kl") == ["cosine", "kl", "levenshtein"]
    assert parse_kinds("dtw_cosine") == ["cosine"]
    with pytest.raises(UserError, match="unknown 'cosin' \\(did you mean cosine\\?\\)"):
        parse_kinds("cosin")
    with pytest.raises(UserError, match="expected one or more"):
        parse_kinds(",")
