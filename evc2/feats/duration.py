"""Scaling the duration of an utterance on WORLD's time axis, by what an emotion does to the rate of speech."""

from __future__ import annotations

import numpy as np

from evc2.errors import UserError
from evc2.feats.cwt import interpolate_lf0
from evc2.feats.moments import Moments

RATIO_LIMITS = (0.5, 2.0)
"""WORLD's frames stretched further than this no longer sound like a voice that speaks slower or faster."""


def duration_ratio(src: Moments, tgt: Moments, intensity: float = 1.0) -> float:
    """How much longer than the source the conversion is: exp(intensity * (target - source)) of mean log durations.

    Args:
        src, tgt: moments with ``duration_mean``, of one set of statistics (see :meth:`Stats.pair`).
        intensity: exponent: 0 keeps the duration, 1 gives the target's.

    Returns:
        A ratio within RATIO_LIMITS.

    Raises:
        UserError: statistics without durations, as made by earlier versions.
    """
    shift = tgt.duration_mean - src.duration_mean
    if not np.isfinite(shift):
        raise UserError(
            "duration scale: the model's statistics hold no durations (an earlier version made them); run stage 4 "
            "again (--force true) and copy the new stats.npz into the model's folder, or keep the duration"
        )
    return float(np.clip(np.exp(intensity * shift), *RATIO_LIMITS))


def stretch_f0(f0: np.ndarray, frames: int) -> np.ndarray:
    """Interpolate F0 [T] in Hz (0 = unvoiced) to `frames` values, its ends on the ends.

    A new frame is voiced if the nearest old one is. Its value is interpolated in ln F0, across gaps between the voiced
    frames around them, so that no onset is dragged to 0 Hz.
    """
    f0 = np.asarray(f0, dtype=np.float64)
    place = _places(len(f0), frames)
    new = np.zeros(frames)
    if (f0 > 0).any():
        lf0, voiced = interpolate_lf0(f0)
        keep = voiced[np.round(place).astype(int)]
        new[keep] = np.exp(np.interp(place[keep], np.arange(len(f0)), lf0))
    return new


def stretch(x: np.ndarray, frames: int) -> np.ndarray:
    """Interpolate [T, D] linearly to `frames` rows (float64), its ends on the ends; a power envelope goes in as ln."""
    x = np.asarray(x, dtype=np.float64)
    place = _places(len(x), frames)
    low = np.minimum(place.astype(int), max(len(x) - 2, 0))
    part = (place - low)[:, None]
    return x[low] * (1 - part) + x[np.minimum(low + 1, len(x) - 1)] * part


def _places(old: int, new: int) -> np.ndarray:
    """Where on the old time axis the new frames lie: [new], 0 to old - 1."""
    if old < 1 or new < 1:
        raise ValueError(f"expected frames to stretch and to make, got {old} and {new}")
    return np.linspace(0.0, old - 1.0, new)
