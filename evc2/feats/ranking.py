"""Ranking functions: a direction in which the members of ordered pairs lie apart and those of similar pairs do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STEPS = 100  # of Newton's method; ten are usual


def rank(groups: Sequence[tuple[np.ndarray, np.ndarray]], c: float, similarity: float = 1.0) -> np.ndarray:
    """The ranking function w [F] that minimises, over the pairs (i, j) within the groups,

        |w|^2 / 2 + c / (2 |O|) sum over O of max(0, 1 - w . (x_i - x_j))^2
                  + similarity c / (2 |S|) sum over S of (w . (x_i - x_j))^2

    O: all pairs of a row i that has more and a row j that has less; S: all pairs of two that have more, and of two that
    have less. Source: Parikh and Grauman, "Relative attributes", ICCV 2011, sec. 3.1, with means in place of sums.
    No pair is drawn at random, as the sums have closed forms.

    The objective is convex and piecewise quadratic, so Newton's method with a line search finds its minimum exactly
    (Chapelle and Keerthi, "Efficient algorithms for ranking with SVMs", Information Retrieval 2010). A group costs
    O(m n (1 + F) + (m + n) F^2) a step: the differences [m n, F] are never written down.

    Args:
        groups: rows that have more [m, F] and less [n, F], of each set within which pairs are made; m, n > 0.
        c: weight of order and similarity against the size of w.
        similarity: 1 as published, 0 for the order alone.
    """
    size = groups[0][0].shape[1]
    ordered = sum(len(high) * len(low) for high, low in groups)
    alike, similar = np.zeros((size, size)), 0
    for rows in (rows for group in groups for rows in group):
        centred = rows - rows.mean(0)  # the sum over pairs of (x_i - x_j)(x_i - x_j)^T is n times the scatter
        alike += len(rows) * centred.T @ centred
        similar += len(rows) * (len(rows) - 1) // 2
    fixed = np.eye(size) + similarity * c / max(similar, 1) * alike
    share = c / ordered

    def errors(w: np.ndarray) -> list[np.ndarray]:
        return [np.maximum(0.0, 1.0 - np.subtract.outer(high @ w, low @ w)) for high, low in groups]

    def value(w: np.ndarray, missing: list[np.ndarray]) -> float:
        return 0.5 * float(w @ fixed @ w) + 0.5 * share * sum(float(np.sum(e**2)) for e in missing)

    w = np.zeros(size)
    missing = errors(w)
    now = start = value(w, missing)
    for _ in range(_STEPS):
        gradient, curvature = fixed @ w, fixed.copy()
        for (high, low), e in zip(groups, missing, strict=True):
            active = (e > 0).astype(np.float64)
            gradient -= share * (high.T @ e.sum(1) - low.T @ e.sum(0))
            mixed = high.T @ active @ low
            curvature += share * ((high.T * active.sum(1)) @ high + (low.T * active.sum(0)) @ low - mixed - mixed.T)
        step = np.linalg.solve(curvature, gradient)
        expected = float(gradient @ step)
        if expected <= 1e-14 * start:
            break
        for halvings in range(30):
            new = w - 0.5**halvings * step
            e = errors(new)
            if value(new, e) <= now - 1e-4 * 0.5**halvings * expected:
                break
        else:
            break  # no step makes it smaller: rounding is all that is left
        w, missing, now = new, e, value(new, e)
    return w


def order_accuracy(high: np.ndarray, low: np.ndarray) -> tuple[float, int]:
    """Of all pairs of scores [m] and [n]: how many have the first above the second (equal: one half), and how many."""
    gaps = np.subtract.outer(high, low)
    return float(np.count_nonzero(gaps > 0) + 0.5 * np.count_nonzero(gaps == 0)), gaps.size
