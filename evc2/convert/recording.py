"""A recording of any kind as a system takes it."""

import logging

import numpy as np
import soxr

from evc2.errors import UserError
from evc2.feats.trim import speech_bounds
from evc2.fileio.audio import audio_problem

MIN_SECONDS = 0.02  # both analyses take any length, but in less than this there is no period of a voice of 50 Hz


def prepare(wav: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples [n] or [n, channels] at ``rate`` to mono float32 at ``wanted`` (both in Hz), exactly as long in time.

    Raises:
        UserError: empty, shorter than MIN_SECONDS, or with NaN or infinity.
    """
    wav = np.asarray(wav, dtype=np.float32)
    wav = wav.mean(axis=1) if wav.ndim == 2 else wav
    problem = audio_problem(wav, rate, MIN_SECONDS)
    if problem is not None and problem.startswith("clipped"):
        logging.warning("the recording is %s; the conversion may sound harsh", problem)
    elif problem not in (None, "silent"):
        raise UserError(f"the recording cannot be converted: {problem} ({len(wav) / rate:.3f} s at {rate} Hz)")
    length = round(len(wav) * wanted / rate)
    if rate != wanted:
        wav = soxr.resample(wav, rate, wanted)
    return np.pad(wav[:length], (0, max(0, length - len(wav))))


def speech(wav: np.ndarray, rate: int) -> np.ndarray:
    """The speech of a recording [n] at ``rate`` Hz without the silence around it, cut as stage 2 cuts that of the
    training's recordings: more of it than was ever heard there would sound like a style, or like words.
    """
    first, last = speech_bounds(wav, rate)
    return wav[first:last]
