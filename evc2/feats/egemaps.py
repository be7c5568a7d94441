"""eGeMAPS: 88 statistics of an utterance's pitch, loudness, voice quality and spectrum, made for emotion research."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.fileio.audio import MIN_SECONDS, SILENCE

RATE = 16000
"""Hz; what the functions below are given."""

SIZE = 88
"""Functionals of eGeMAPSv02."""

FULL_SCALE = 1 - 2**-15
"""Largest sample that 16 bits hold."""


def missing() -> str | None:
    """One line that says how to get the package `opensmile` where it is not installed, else None."""
    if importlib.util.find_spec("opensmile") is not None:
        return None
    return "the package opensmile is not installed: run tools/setup.sh --extras eval (or pip install opensmile)"


@functools.cache
def _smile() -> Any:
    """The extractor of this process: reading its configuration takes longer than an utterance."""
    why = missing()
    if why is not None:
        raise UserError(f"eGeMAPS: {why}")
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )


def feature_names() -> list[str]:
    """The names of the 88 functionals as openSMILE gives them, in the order of :func:`egemaps`."""
    return list(_smile().feature_names)


def require_speech(wav: np.ndarray) -> np.ndarray:
    """Return samples [n] at 16 kHz as an array; UserError where they are too short, silent or not finite."""
    wav = np.asarray(wav)
    if wav.ndim != 1:
        raise ValueError(f"eGeMAPS: expected samples [n], found shape {wav.shape}")
    if len(wav) < MIN_SECONDS * RATE:
        raise UserError(
            f"eGeMAPS: expected {MIN_SECONDS} s of speech or more, found {len(wav) / RATE:.3f} s; "
            "remove or replace this recording"
        )
    if not np.isfinite(wav).all():
        raise UserError("eGeMAPS: expected finite samples, found NaN or infinity; write this wav again")
    peak = float(np.abs(wav).max())
    if peak < SILENCE:
        raise UserError(
            f"eGeMAPS: expected speech, found silence (peak {peak:.1g} of full scale); remove or replace this recording"
        )
    return wav


def egemaps(wav: np.ndarray) -> np.ndarray:
    """Functionals eGeMAPSv02 of an utterance.

    Args:
        wav: [n] mono samples at 16 kHz in -1 .. 1; what lies beyond is clipped. The level counts: loudness is one of
            the features.

    Returns:
        [88] float64, finite, each in its own unit (semitones above 27.5 Hz, dB, Hz, seconds, 1/s ...).

    Raises:
        UserError: shorter than 0.1 s, silent, NaN or infinity, or the package `opensmile` is not installed.

    Source: Eyben et al., The Geneva minimalistic acoustic parameter set (GeMAPS) for voice research and affective
    computing, IEEE Trans. Affective Computing 7, 2016, in its extended form, by openSMILE.
    """
    wav = require_speech(wav)
    # openSMILE takes 16 bits, and a sample of 1.0 would come out of the cast as -1: resampling makes such samples.
    samples = np.clip(wav, -1.0, FULL_SCALE).astype(np.float32)
    found = np.asarray(_smile()(samples, RATE), dtype=np.float64).reshape(-1)
    if found.shape != (SIZE,) or not np.isfinite(found).all():
        raise UserError(f"eGeMAPS: openSMILE gave no finite values of this recording of {len(wav) / RATE:.2f} s")
    return found
