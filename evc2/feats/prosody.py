"""Conversion of F0 and power by their statistics (log-Gaussian normalised transformation)."""

from __future__ import annotations

import numpy as np

from evc2.errors import UserError
from evc2.feats.stats import Moments, speech_threshold

F0_LIMITS = (40.0, 1200.0)
"""Converted F0 stays within these Hz: extreme statistics or intensities would leave what a voice can do."""


def interpolate(src: Moments, tgt: Moments, intensity: float) -> Moments:
    """Moments between source (intensity 0) and target (1), or beyond it (above 1).

    Means move linearly, deviations geometrically (they stay positive).
    """
    values = {}
    for name in ("feats", "lf0", "power"):
        a, b = getattr(src, f"{name}_mean"), getattr(tgt, f"{name}_mean")
        values[f"{name}_mean"] = a + intensity * (b - a)
        a, b = getattr(src, f"{name}_std"), getattr(tgt, f"{name}_std")
        values[f"{name}_std"] = a * (b / a) ** intensity
    duration = src.duration_mean + intensity * (tgt.duration_mean - src.duration_mean)
    return Moments(**values, n_frames=tgt.n_frames, duration_mean=duration)


def convert_f0(f0: np.ndarray, src: Moments, tgt: Moments, intensity: float = 1.0) -> np.ndarray:
    """Log-Gaussian normalised transformation of voiced frames: exp((ln f0 - mu_s) / sigma_s * sigma_t + mu_t).

    Args:
        f0: [T] in Hz, 0 where unvoiced; those stay exactly 0.
        src, tgt: statistics of the source's and the target's log F0.
        intensity: 0 leaves f0 as it is, 1 converts, above 1 exaggerates.

    Returns:
        [T] in Hz, voiced frames within F0_LIMITS, of the type of `f0`.

    Raises:
        UserError: voiced frames, but statistics without any.
        Source: Liu, Zhang and Yan, High quality voice conversion through phoneme-based linear mapping ..., 2007.
    """
    f0 = np.asarray(f0)
    voiced = f0 > 0
    if not voiced.any():
        return f0.copy()
    if not np.isfinite([src.lf0_mean, tgt.lf0_mean]).all():
        raise UserError("F0 cannot be converted: the statistics of the source or the target hold no voiced frame")
    aim = interpolate(src, tgt, intensity)
    new = np.zeros(f0.shape, dtype=np.float64)
    normal = (np.log(f0[voiced].astype(np.float64)) - src.lf0_mean) / src.lf0_std
    new[voiced] = np.clip(np.exp(normal * aim.lf0_std + aim.lf0_mean), *F0_LIMITS)
    return new.astype(f0.dtype)


def convert_power(power: np.ndarray, src: Moments, tgt: Moments, intensity: float = 1.0) -> np.ndarray:
    """The same transformation for the power of speech frames: (p - mu_s) / sigma_s * sigma_t + mu_t.

    A frame that is not speech gets the gain of the quietest speech, so that no step arises where speech begins and
    pauses are neither pumped up nor torn open.

    Args:
        power: ln power [T] of the whole utterance (its loud frames decide what is speech).
        src, tgt: statistics of the source's and the target's power.
        intensity: 0 leaves the power as it is, 1 converts, above 1 exaggerates.

    Returns:
        The new ln power [T], of the type of `power`. To apply it, multiply a frame's power spectrum by
        exp(new - power of that frame).

    Raises:
        UserError: statistics without power.
    """
    power = np.asarray(power)
    if not np.isfinite([src.power_mean, tgt.power_mean]).all():
        raise UserError("power cannot be converted: the statistics of the source or the target hold none")
    aim = interpolate(src, tgt, intensity)
    speech = np.maximum(power.astype(np.float64), speech_threshold(power))
    gain = (speech - src.power_mean) / src.power_std * aim.power_std + aim.power_mean - speech
    return (power + gain).astype(power.dtype)


MIN_FRAMES = 10
"""Fewer frames (50 ms) that both contours have say nothing."""

MIN_DEVIATION = 1e-3
"""A contour whose log-F0 deviates less (0.1 %) is flat: its correlation would be that of estimation noise."""


def lf0_rmse(x: np.ndarray, y: np.ndarray) -> float | None:
    """Root of the mean squared difference of ln F0 over frames voiced in both.

    Args:
        x, y: [K] F0 in Hz, aligned, 0 where unvoiced.

    Returns:
        nats (0.0578 is a semitone); None with fewer than ``MIN_FRAMES`` such frames. Source: Sisman et al., An overview
        of voice conversion and its challenges, 2021, with ln F0 in place of F0.
    """
    a, b = _both_voiced(x, y)
    return None if len(a) < MIN_FRAMES else float(np.sqrt(np.mean((a - b) ** 2)))


def lf0_corr(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation of ln F0 over frames voiced in both; arguments and source as for :func:`lf0_rmse`.

    Returns:
        -1 .. 1; None with fewer than ``MIN_FRAMES`` such frames or a flat contour.
    """
    a, b = _both_voiced(x, y)
    if len(a) < MIN_FRAMES or min(a.std(), b.std()) < MIN_DEVIATION:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _both_voiced(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln F0 of the frames voiced in both: two float64 arrays [V]."""
    voiced = (x > 0) & (y > 0)
    return np.log(x[voiced].astype(np.float64)), np.log(y[voiced].astype(np.float64))
