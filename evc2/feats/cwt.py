"""Continuous wavelet transform of pitch contours: ten Mexican-hat scales an octave apart, and back.

Sources: Suni, Aalto, Raitio, Alku and Vainio, "Wavelets for intonation modeling in HMM speech synthesis", SSW8 2013,
eq. 1 to 3; Ming, Huang, Dong, Li, Xie and Zhang, Interspeech 2016; Luo, Chen, Takiguchi and Ariki, "Emotional voice
conversion using neural networks with arbitrary scales F0 based on wavelet transform", EURASIP JASMP 2017. Constants of
the wavelet and of its exact inverse: Torrence and Compo, "A practical guide to wavelet analysis", 1998, eq. 4 and 11.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evc2.errors import UserError

SCALES = 10
TAU0 = 0.005
"""Seconds; scale i (1 to 10) is 2^(i + 1) of these: 20 ms to 10.24 s."""

INVERSES = ("delta", "published")

TYPICAL_STD = (0.55, 1.11, 2.2, 3.9, 5.4, 9.2, 12.2, 5.1, 10.0, 14.2)
"""Deviation of each scale for contours of unit deviation. Scales 1 to 8: as measured on 841 utterances of RAVDESS (2 s
on the mean; each over the deviation of its speaker and emotion). Scales 9 and 10 hold what takes longer than such an
utterance lasts: their values give them a tenth of the contour's deviation, so that longer speech does not overshoot."""

_PEAK = 2.0 / (np.sqrt(3.0) * np.pi**0.25)  # unit energy: psi(u) = _PEAK (1 - u^2) exp(-u^2 / 2)
_STEPS = 2.0 ** np.arange(2, SCALES + 2)  # the scales in units of TAU0


def _spectrum(u: np.ndarray) -> np.ndarray:
    """Fourier transform of the wavelet at the frequency u in radians: real, and 0 at 0."""
    return _PEAK * np.sqrt(2.0 * np.pi) * u**2 * np.exp(-0.5 * u**2)


def interpolate_lf0(f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ln F0 without gaps: linear across unvoiced stretches, held before the first and after the last voiced frame.

    Args:
        f0: [T] in Hz, 0 where unvoiced.

    Returns:
        ln F0 [T] (float64) and which frames are voiced, bool [T].

    Raises:
        UserError: no voiced frame, so that there is no pitch.
    """
    f0 = np.asarray(f0, dtype=np.float64)
    voiced = f0 > 0
    if not voiced.any():
        raise UserError(f"no pitch to transform: none of {len(f0)} frames is voiced")
    frames = np.flatnonzero(voiced)
    return np.interp(np.arange(len(f0)), frames, np.log(f0[frames])), voiced


def cwt(contour: np.ndarray, frame_seconds: float = TAU0) -> np.ndarray:
    """Wavelet coefficients W(s_i, t) = s_i^(-1/2) * integral of x(v) psi((v - t) / s_i) dv, with time in units of TAU0.

    The contour counts as mirrored at both ends, endlessly. Its mean lies in no coefficient (every scale answers 0 to a
    constant), and the transform is linear: cwt((x - m) / d) = cwt(x) / d.

    Args:
        contour: [T] without gaps, e.g. of :func:`interpolate_lf0`.
        frame_seconds: from one value to the next.

    Returns:
        [T, 10] float64, the finest scale first.

    Raises:
        ValueError: no vector, or an empty one.
    """
    x = np.asarray(contour, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"expected a contour [T], T > 0, got shape {x.shape}")
    mirrored = np.concatenate((x, x[::-1]))  # one period of the endless mirror, so that the FFT needs no padding
    omega = 2.0 * np.pi * np.fft.rfftfreq(len(mirrored), frame_seconds / TAU0)
    response = np.sqrt(_STEPS)[:, None] * _spectrum(_STEPS[:, None] * omega)
    return np.fft.irfft(response * np.fft.rfft(mirrored), len(mirrored), axis=1)[:, : len(x)].T


@lru_cache(maxsize=2)
def inverse_weights(method: str = "delta") -> np.ndarray:
    """What each scale counts in :func:`inverse_cwt`, [10].

    ``delta``: s_i^(-1/2) over the constant for which octaves of the wavelet sum to 1 (Torrence and Compo's eq. 11; it
    holds to 1 % between the outer scales). ``published``: (i + 2.5)^(-5/2), a rule of thumb for the same fall, times
    the one constant that brings its response nearest to 1 (least squares over log frequency between the outer scales).
    """
    if method not in INVERSES:
        raise UserError(f"inverse is '{method}', expected one of {', '.join(INVERSES)}")
    if method == "delta":
        # The mean over log2(u) of the sum over octaves is the integral of the wavelet's spectrum du / (u ln 2).
        return np.log(2.0) / (_PEAK * np.sqrt(2.0 * np.pi)) / np.sqrt(_STEPS)
    weights = (np.arange(1, SCALES + 1) + 2.5) ** -2.5
    peak = np.sqrt(2.0) / _STEPS[[-1, 0]]  # where the outer scales answer most, in radians per TAU0
    omega = np.geomspace(*peak, 1000)
    response = weights @ (np.sqrt(_STEPS)[:, None] * _spectrum(_STEPS[:, None] * omega))
    return weights * response.sum() / (response**2).sum()


def inverse_cwt(coefficients: np.ndarray, method: str = "delta") -> np.ndarray:
    """The contour that coefficients stand for, without its mean and without what is faster than the finest scale.

    What the ten scales do not hold is ``x - inverse_cwt(cwt(x))``: add it to lose nothing.

    Args:
        coefficients: [T, 10] of :func:`cwt`.
        method: see :func:`inverse_weights`.

    Returns:
        [T] float64.

    Raises:
        UserError: unknown method. ValueError: not ten scales.
    """
    coefficients = np.asarray(coefficients, dtype=np.float64)
    if coefficients.ndim != 2 or coefficients.shape[1] != SCALES:
        raise ValueError(f"expected coefficients [T, {SCALES}], got shape {coefficients.shape}")
    return coefficients @ inverse_weights(method)
