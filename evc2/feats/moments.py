"""Mean and deviation of features, log F0, power and duration, from sums that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEECH_DB = 40.0
"""Frames within this many dB of an utterance's loud frames (99th percentile of its power) are speech."""

FEATS_STD_FLOOR = 1e-3
LF0_STD_FLOOR = 0.01  # a sixth of a semitone: less means that the voiced frames were too few
POWER_STD_FLOOR = 0.1  # 0.4 dB

NAMES = ("feats", "lf0", "power", "duration")
"""What is summed up, by the names under which it is stored."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and (population) deviations; deviations are never below the floors of this module.

    Attributes:
        feats_mean, feats_std: [D] float64, over all frames.
        lf0_mean, lf0_std: of ln F0 in Hz, over voiced frames; NaN mean where there is none.
        power_mean, power_std: of ln power, over speech frames (see :func:`speech_mask`); NaN mean where there is none.
        n_frames: how many frames stand behind them.
        duration_mean: of an utterance's ln(seconds), or ln(seconds per letter), over utterances; NaN where none is
            known. Only differences between moments of the same statistics mean something.
    """

    feats_mean: np.ndarray
    feats_std: np.ndarray
    lf0_mean: float
    lf0_std: float
    power_mean: float
    power_std: float
    n_frames: int
    duration_mean: float = float("nan")


def speech_threshold(power: np.ndarray) -> float:
    """The ln power above which a frame counts as speech: SPEECH_DB below the 99th percentile of `power` [T]."""
    return float(np.percentile(power, 99)) - SPEECH_DB * np.log(10.0) / 10.0


def speech_mask(power: np.ndarray) -> np.ndarray:
    """Which frames of an utterance are speech: bool [T] from its ln power [T]."""
    return np.asarray(power) >= speech_threshold(power)


class Sums:
    """Number of frames, sum and sum of squares of [T, D] values, in float64."""

    def __init__(self, dim: int, n: int = 0, total: np.ndarray | None = None, squares: np.ndarray | None = None):
        self.n = int(n)
        self.total = np.zeros(dim) if total is None else np.asarray(total, dtype=np.float64)
        self.squares = np.zeros(dim) if squares is None else np.asarray(squares, dtype=np.float64)

    @classmethod
    def of(cls, values: np.ndarray) -> Sums:
        values = np.asarray(values, dtype=np.float64)
        return cls(values.shape[1], len(values), values.sum(axis=0), (values**2).sum(axis=0))

    def __add__(self, other: Sums) -> Sums:
        return Sums(0, self.n + other.n, self.total + other.total, self.squares + other.squares)

    def moments(self, floor: float) -> tuple[np.ndarray, np.ndarray]:
        if self.n == 0:
            return np.full_like(self.total, np.nan), np.full_like(self.total, floor)
        mean = self.total / self.n
        variance = np.maximum(self.squares / self.n - mean**2, 0.0)
        return mean, np.maximum(np.sqrt(variance), floor)


@dataclass(eq=False)
class Cell:
    """The sums of one speaker and emotion, or of several added up."""

    feats: Sums
    lf0: Sums
    power: Sums
    duration: Sums  # utterances, not frames

    @classmethod
    def of(
        cls, feats: np.ndarray, f0: np.ndarray | None, power: np.ndarray | None, duration: float | None = None
    ) -> Cell:
        feats = np.asarray(feats)
        lengths = {len(a) for a in (feats, f0, power) if a is not None}
        if feats.ndim != 2 or lengths == {0} or len(lengths) != 1:
            shapes = [None if a is None else np.shape(a) for a in (feats, f0, power)]
            raise ValueError(f"expected feats [T, D], f0 [T] and power [T] of equal T > 0, got shapes {shapes}")
        if duration is not None and not duration > 0:
            raise ValueError(f"expected a duration above 0, got {duration}")
        nothing = np.empty(0)
        f0 = nothing if f0 is None else np.asarray(f0, dtype=np.float64)
        power = nothing if power is None else np.asarray(power, dtype=np.float64)
        speech = power[speech_mask(power)] if len(power) else nothing
        seconds = nothing if duration is None else np.log([duration])
        lf0 = np.log(f0[f0 > 0])
        return cls(Sums.of(feats), *(Sums.of(values[:, None]) for values in (lf0, speech, seconds)))

    def __add__(self, other: Cell) -> Cell:
        return Cell(*(getattr(self, name) + getattr(other, name) for name in NAMES))

    def moments(self, lf0: Sums | None = None) -> Moments:
        lf0_mean, lf0_std = (lf0 or self.lf0).moments(LF0_STD_FLOOR)
        power_mean, power_std = self.power.moments(POWER_STD_FLOOR)
        scalars = (float(a[0]) for a in (lf0_mean, lf0_std, power_mean, power_std))
        duration = float(self.duration.moments(0.0)[0][0])
        return Moments(*self.feats.moments(FEATS_STD_FLOOR), *scalars, self.feats.n, duration)


def moments_of(
    feats: np.ndarray, f0: np.ndarray | None = None, power: np.ndarray | None = None, duration: float | None = None
) -> Moments:
    """Moments of one utterance: feats [T, D], f0 [T] in Hz (0 = unvoiced), ln power [T], and its duration."""
    return Cell.of(feats, f0, power, duration).moments()
