"""Means with 95 % intervals over utterances, and paired differences between two systems.

The unit of resampling is the utterance (trial). Utterances of one speaker are not fully independent, so an interval
speaks about more sentences of these speakers rather than about new speakers; RESULTS.md says so.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from evc2.errors import UserError

ENOUGH = 20
"""Fewer trials than this are reported, not concluded from."""

_DRAWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Interval:
    """A mean and its interval, in the unit of the values.

    ``low`` and ``high`` bound the bootstrap interval, ``t_low`` and ``t_high`` Student's; all four are None when n < 2.
    """

    n: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    t_low: float | None
    t_high: float | None
    level: float = 0.95

    @property
    def enough(self) -> bool:
        """Whether there are enough trials to conclude anything."""
        return self.n >= ENOUGH

    @property
    def half(self) -> float | None:
        """Half the width of the bootstrap interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the bootstrap interval (False without an interval)."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def to_dict(self) -> dict[str, float | int | bool | None]:
        """Plain numbers for JSON."""
        return {
            "n": self.n, "mean": self.mean, "std": self.std, "low": self.low, "high": self.high,
            "t_low": self.t_low, "t_high": self.t_high, "level": self.level, "enough": self.enough,
        }  # fmt: skip


def seed_for(seed: int, *names: str) -> np.random.SeedSequence:
    """A seed that depends on what is summarised, not on the order in which summaries are made."""
    return np.random.SeedSequence([seed, zlib.crc32("\x1f".join(names).encode())])


def bootstrap_means(values: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Means of ``draws`` resamples with replacement: values [n] -> [draws]; memory stays bounded for any n."""
    n = len(values)
    means = np.empty(draws)
    block = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, draws, block):
        stop = min(draws, start + block)
        means[start:stop] = values[rng.integers(0, n, size=(stop - start, n))].mean(axis=1)
    return means


def t_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of values [n], n >= 2."""
    n = len(values)
    half = float(stdtrit(n - 1, 0.5 + level / 2) * values.std(ddof=1) / np.sqrt(n))
    mean = float(values.mean())
    return mean - half, mean + half


def bootstrap_interval(
    values: np.ndarray,
    level: float = 0.95,
    draws: int = 2000,
    seed: int | np.random.SeedSequence = 0,
    method: str = "bca",
) -> tuple[float, float]:
    """Bootstrap interval of the mean of values [n], n >= 2.

    Args:
        method: "percentile", or "bca": percentiles corrected for bias and for skew (Efron, "Better bootstrap
            confidence intervals", J. Am. Stat. Assoc. 82, 1987; the acceleration comes from the jackknife). Both
            widen the quantiles for small n (Hesterberg, "What teachers should know about the bootstrap", Am. Stat. 69,
            2015: expanded percentile interval).
    """
    if method not in ("bca", "percentile"):
        raise UserError(f"unknown bootstrap method '{method}': expected bca or percentile")
    n, mean = len(values), float(values.mean())
    deviations = values - mean
    # Values that agree up to rounding have an interval of no width; a skew computed from rounding would be noise.
    if np.abs(deviations).max() <= 1e-12 * max(1.0, abs(mean)):
        return mean, mean
    means = bootstrap_means(values, draws, np.random.default_rng(seed))
    # Plain percentiles are too narrow for few values (measured at n = 20 and 30: 92 % instead of 95).
    z = float(np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.5 + level / 2)) * np.array([-1.0, 1.0])
    if method == "bca":
        below = (np.count_nonzero(means < mean) + 0.5 * np.count_nonzero(means == mean)) / draws
        if 0 < below < 1:
            bias = ndtri(below)
            # Leaving value i out moves the mean by -deviation_i / (n - 1): that factor cancels in the acceleration.
            skew = np.sum(deviations**3) / (6 * np.sum(deviations**2) ** 1.5)
            z = bias + (bias + z) / (1 - skew * (bias + z))
    low, high = np.quantile(means, ndtr(z))
    return float(low), float(high)


def mean_interval(
    values: Sequence[float] | np.ndarray,
    level: float = 0.95,
    draws: int = 2000,
    seed: int | np.random.SeedSequence = 0,
    method: str = "bca",
) -> Interval:
    """Mean, deviation, bootstrap and t interval of one value an utterance (finite values only; n may be 0)."""
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    if n == 0:
        return Interval(0, None, None, None, None, None, None, level)
    if n == 1:
        return Interval(1, float(array[0]), None, None, None, None, None, level)
    low, high = bootstrap_interval(array, level, draws, seed, method)
    t_low, t_high = t_interval(array, level)
    return Interval(n, float(array.mean()), float(array.std(ddof=1)), low, high, t_low, t_high, level)


def paired_difference(
    system: Mapping[str, float],
    other: Mapping[str, float],
    level: float = 0.95,
    draws: int = 2000,
    seed: int | np.random.SeedSequence = 0,
    method: str = "bca",
) -> Interval:
    """Mean of (system - other) per utterance, over the trials that both have, with its interval.

    Args:
        system, other: trial id -> value, in the metric's unit.
    """
    common = sorted(system.keys() & other.keys())
    return mean_interval([system[key] - other[key] for key in common], level, draws, seed, method)


def jackknife_interval(
    value: Callable[[Sequence[int]], float | None], groups: Sequence[int], n: int, level: float = 0.95
) -> Interval:
    """A statistic of a whole set with its delete-a-group jackknife interval (Kott, J. Official Stat. 17, 2001).

    A bootstrap would be biased here: a distance between two distributions grows when trials are drawn twice.

    Args:
        value: groups -> the statistic of the trials in them, None where it is not defined.
        groups: the groups, of about equal size.
        n: number of trials.
    """
    mean = value(groups)
    none = Interval(n, mean, None, None, None, None, None, level)
    g = len(groups)
    if mean is None or g < 2:
        return none
    without = [value([k for k in groups if k != left_out]) for left_out in groups]
    if any(x is None for x in without):
        return none
    spread = float(np.sqrt((g - 1) / g * np.sum((np.array(without) - mean) ** 2)))
    half = float(stdtrit(g - 1, 0.5 + level / 2)) * spread
    return Interval(n, float(mean), None, mean - half, mean + half, mean - half, mean + half, level)


def verdict(difference: Interval, better: str | None) -> str:
    """Say "better" or "worse" where the interval excludes zero and there are enough trials, else an empty string."""
    if better is None or not difference.enough or not difference.excludes_zero:
        return ""
    return "better" if (difference.mean < 0) == (better == "lower") else "worse"
