"""Means, shares and preferences of answers, with intervals over listeners and over utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evc2.evaluate.intervals import Interval, mean_interval, seed_for


@dataclass(frozen=True)
class Rating:
    """One answer that counts.

    Attributes:
        listener, item, trial, emotion: whose, and to what.
        systems: what was rated; two in the XAB test, as A and B.
        value: of the scale.
    """

    listener: str
    item: str
    trial: str
    emotion: str
    systems: tuple[str, ...]
    value: int


@dataclass(frozen=True)
class Mean:
    """A mean of answers.

    Attributes:
        mean: over all answers.
        answers, listeners, utterances: their numbers.
        by_listener, by_utterance: intervals of the mean when listeners, or utterances (trials), are drawn anew.
    """

    mean: float
    answers: int
    listeners: int
    utterances: int
    by_listener: Interval
    by_utterance: Interval

    @property
    def unit(self) -> str | None:
        """The unit of the wider interval: "listeners" or "utterances"; None where there is neither."""
        widths = {"listeners": self.by_listener.half, "utterances": self.by_utterance.half}
        known = {name: width for name, width in widths.items() if width is not None}
        return max(known, key=known.__getitem__) if known else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The wider of the two intervals."""
        interval = self.by_listener if self.unit == "listeners" else self.by_utterance
        return None if interval.low is None else (interval.low, interval.high)

    def to_dict(self) -> dict:
        """Plain numbers for JSON."""
        low, high = self.bounds or (None, None)
        return {
            "mean": self.mean, "low": low, "high": high, "unit": self.unit, "answers": self.answers,
            "listeners": self.listeners, "utterances": self.utterances,
            "by_listener": self.by_listener.to_dict(), "by_utterance": self.by_utterance.to_dict(),
        }  # fmt: skip


def clustered(values: np.ndarray, units: Sequence[str], seed: np.random.SeedSequence, draws: int) -> Interval:
    """Interval of the mean of values [n] when whole units are drawn anew, not single answers.

    Answers of one unit (a listener, say) go together, so each unit enters as one number: the mean plus what the unit
    adds to it (the linearised ratio estimator: Cochran, "Sampling Techniques", 3rd ed. 1977, section 6.4), whose mean
    over units is exactly the mean of the answers, also where units have different numbers of them.
    """
    names = sorted(set(units))
    place = {name: i for i, name in enumerate(names)}
    index = np.array([place[unit] for unit in units])
    sums, counts = np.bincount(index, weights=values), np.bincount(index)
    mean = values.mean()
    return mean_interval(mean + (sums - mean * counts) / counts.mean(), seed=seed, draws=draws)


def mean_of(
    values: Sequence[float], ratings: Sequence[Rating], bounds: tuple[float, float], name: str, seed: int, draws: int
) -> Mean:
    """Mean of one value a rating, with both intervals; they end where the scale ends.

    Args:
        values: one for each of ``ratings``, at least one.
        bounds: ends of the scale.
        name: of the figure, from which the draws depend beside the seed.
    """
    array = np.asarray(values, dtype=np.float64)
    listeners, trials = [r.listener for r in ratings], [r.trial for r in ratings]
    intervals = []
    for kind, units in (("listeners", listeners), ("utterances", trials)):
        intervals.append(_within(clustered(array, units, seed_for(seed, name, kind), draws), bounds))
    return Mean(float(array.mean()), len(array), len(set(listeners)), len(set(trials)), *intervals)


def _within(interval: Interval, bounds: tuple[float, float]) -> Interval:
    if interval.low is None:
        return interval
    ends = np.clip([interval.low, interval.high, interval.t_low, interval.t_high], *bounds).tolist()
    return Interval(interval.n, interval.mean, interval.std, *ends, interval.level)


@dataclass(frozen=True)
class Preference:
    """How often the first system was preferred to the second.

    Attributes:
        first, second: systems.
        wins, losses, ties: answers for the first, for the second, for neither.
        p: exact two-sided binomial p-value of wins against losses under equal chances; None without either.
        wilson: 95 % score interval of the share (Wilson, J. Am. Stat. Assoc. 22, 1927), as if answers were independent.
        share: wins among wins and losses, with intervals over listeners and utterances; None without either.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    p: float | None
    wilson: tuple[float, float] | None
    share: Mean | None

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        share = None if self.share is None else self.share.to_dict()
        counts = {"wins": self.wins, "losses": self.losses, "ties": self.ties}
        wilson = None if self.wilson is None else list(self.wilson)
        return {"first": self.first, "second": self.second, **counts, "p": self.p, "wilson": wilson, "share": share}


def preference(
    ratings: Sequence[Rating], first: str, second: str, name: str, seed: int = 0, draws: int = 2000
) -> Preference:
    """Preference between two systems in the XAB test, whichever of them was A.

    Args:
        ratings: answers to items of exactly these two; values 1 (A), 2 (B), 0 (cannot tell).
        name: as for ``mean_of``.
    """
    from scipy.stats import binomtest

    decided = [r for r in ratings if r.value in (1, 2)]
    won = [r.systems[r.value - 1] == first for r in decided]
    wins = sum(won)
    ties = len(ratings) - len(decided)
    if not decided:
        return Preference(first, second, 0, 0, ties, None, None, None)
    test = binomtest(wins, len(decided))
    wilson = test.proportion_ci(0.95, method="wilson")
    share = mean_of([float(w) for w in won], decided, (0.0, 1.0), name, seed, draws)
    bounds = (float(wilson.low), float(wilson.high))
    return Preference(first, second, wins, len(decided) - wins, ties, float(test.pvalue), bounds, share)
