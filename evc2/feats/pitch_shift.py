"""Another pitch for a recording, with its formants and its length kept."""

import numpy as np

from evc2.errors import UserError

LOWEST, HIGHEST = 50.0, 800.0
LIMIT = 24.0
"""Semitones, up or down."""


def shift_pitch(wav: np.ndarray, rate: int, semitones: float) -> np.ndarray:
    """WORLD analysis and synthesis with F0 times 2 ** (semitones / 12) (Morise et al., 2016).

    Args:
        wav: [n], mono.
        rate: in Hz.
        semitones: 0 returns the samples as they are, untouched by WORLD.

    Returns:
        float32 [n].

    Raises:
        UserError: a shift beyond two octaves.
    """
    if not abs(semitones) <= LIMIT:
        raise UserError(f"pitch is {semitones:g} semitones, expected a number from {-LIMIT:g} to {LIMIT:g}")
    if semitones == 0 or len(wav) == 0:
        return np.asarray(wav, dtype=np.float32)
    import pyworld

    x = np.ascontiguousarray(wav, dtype=np.float64)
    coarse, times = pyworld.dio(x, rate, f0_floor=LOWEST, f0_ceil=HIGHEST)
    f0 = pyworld.stonemask(x, coarse, times, rate)
    envelope, aperiodicity = pyworld.cheaptrick(x, f0, times, rate), pyworld.d4c(x, f0, times, rate)
    new = pyworld.synthesize(f0 * 2 ** (semitones / 12), envelope, aperiodicity, rate)
    out = np.zeros(len(x), dtype=np.float32)
    out[: min(len(new), len(x))] = new[: len(x)]
    return out
