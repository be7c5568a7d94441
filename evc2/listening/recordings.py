"""The recordings of a test: one sample rate, one file format, opaque names."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.feats.trim import speech_bounds
from evc2.fileio.audio import audio_problem, read_audio, write_audio
from evc2.listening.conditions import Clip

LEVEL_DB = -26.0
"""RMS of the speech after equalisation, dB re full scale: the level that ITU-T P.56 and P.830 use for speech material.
Measured between the outer silences, which is simpler than P.56's active level and up to 1 dB below it."""
PEAK = 0.98
RATES = (8000, 192000)


def equalise(wav: np.ndarray, rate: int) -> tuple[np.ndarray, bool]:
    """Bring the speech of a wav [n] to LEVEL_DB.

    Returns:
        The wav, and whether it had to stay below that level so that no sample passes PEAK.
    """
    first, last = speech_bounds(wav, rate)
    rms = float(np.sqrt(np.mean(np.square(wav[first:last], dtype=np.float64))))
    gain = 10 ** (LEVEL_DB / 20) / max(rms, 1e-9)
    most = PEAK / max(float(np.abs(wav).max()), 1e-9)
    return (wav * min(gain, most)).astype(np.float32), gain > most


def common_rate(clips: Iterable[Clip]) -> int:
    """The highest sample rate in Hz among the clips: nothing is lost, and the rate tells nothing about the system."""
    rates = {read_audio(*_words(clip))[1] for clip in set(clips)}
    if len(rates) > 1:
        logging.warning("recordings of %s Hz: all are written at %d Hz", sorted(rates), max(rates))
    return max(rates)


def _words(clip: Clip) -> tuple[str, None, float | None, float | None]:
    return clip[0], None, clip[1], clip[2]


class Recordings:
    """Writes recordings into a folder.

    Args:
        folder: where.
        rate: sample rate of all files in Hz.
        normalize: whether levels are made equal. Level is part of an emotion, so the default is to keep it.
    """

    def __init__(self, folder: Path, rate: int, normalize: bool = False) -> None:
        if not RATES[0] <= rate <= RATES[1]:
            raise UserError(f"--rate: expected {RATES[0]} to {RATES[1]} Hz, found {rate}")
        self.folder, self.rate, self.normalize = folder, rate, normalize
        self._written: dict[Clip, Path] = {}
        self.limited = 0
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, clip: Clip) -> None:
        """Write a clip as NAME.wav, 16 bits. A recording that occurs twice is one file on disk with two names.

        Raises:
            UserError: the clip cannot be read, or holds no sound.
        """
        path = self.folder / f"{name}.wav"
        clip = tuple(clip)
        if clip in self._written:
            try:
                os.link(self._written[clip], path)
            except OSError:  # a file system without hard links
                shutil.copyfile(self._written[clip], path)
            return
        try:
            wav, rate = read_audio(clip[0], rate=self.rate, start=clip[1], stop=clip[2])
        except OSError as error:
            raise UserError(f"{clip[0]}: {error.strerror or error}") from None
        problem = audio_problem(wav, rate)
        # A clipped recording is poor, which listeners shall hear; the others leave nothing to listen to.
        if problem is not None and not problem.startswith("clipped"):
            raise UserError(f"{clip[0]}: {problem}; nobody could rate it, so leave out its trial or mend the file")
        if self.normalize:
            wav, limited = equalise(wav, rate)
            self.limited += limited
        write_audio(path, wav, rate)
        self._written[clip] = path
