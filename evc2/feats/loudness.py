"""Bringing quiet recordings to one level."""

from __future__ import annotations

import numpy as np

PEAK = 0.999  # the largest sample after a gain: full scale, less what rounding to 16 bit may add


def level(wav: np.ndarray) -> float:
    """Mean power of samples [n] in dB re full scale (a full-scale square wave has 0); -inf for silence."""
    wav = np.asarray(wav, dtype=np.float64)
    power = float(np.mean(wav * wav)) if len(wav) else 0.0
    return 10.0 * float(np.log10(power)) if power > 0.0 else -np.inf


def raising_gain(wav: np.ndarray, target: float) -> tuple[float, bool]:
    """How much to raise a recording that is quieter than `target`; louder ones are left alone, as published.

    Args:
        wav: [n] samples in [-1, 1].
        target: level in dB re full scale.

    Returns:
        The gain in dB, from 0 on, and whether the recording's peak allowed less than the target asks for. Silence
        has no level to raise: 0.

    Source: the preprocessing of the published VAE-GAN (-30 dBFS, raising only); that nothing clips is ours.
    """
    change = target - level(wav)
    if not 0.0 < change < np.inf:
        return 0.0, False
    room = max(0.0, 20.0 * float(np.log10(PEAK / np.abs(wav).max())))
    return min(change, room), change > room
