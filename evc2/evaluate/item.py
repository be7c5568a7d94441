"""What a metric is given: one trial's converted wav with its reference and source, and their alignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evc2.evaluate.analysis import Analysis
from evc2.evaluate.directions import changes_speaker
from evc2.feats.distance import dtw_path

SAME_LENGTH = 2
"""Two signals whose frame counts differ by no more than this (10 ms) count as equally long."""

Recordings = Callable[[str, Callable[[Analysis], np.ndarray]], list[np.ndarray]]
"""Some natural recordings of one speaker: name, function of a wav -> what it gives for each of them. The results are
kept by recording and name for all trials (the wavs are not), so they should be small."""


@dataclass
class Item:
    """One trial of one system.

    Attributes:
        trial: id of the trial.
        speaker, emotion: what the conversion aims at.
        converted: the wav under test.
        reference: the target's natural utterance, None where there is none.
        source: the source utterance, None where the trial starts from text.
        text: what is said, where known.
        source_emotion, source_speaker: of the source, where known.
        target_voice, origin_voice: other recordings of the target speaker and of the source's, where they are not one
            and have any; the trial's own reference and source are never among them.
    """

    trial: str
    speaker: str
    emotion: str
    converted: Analysis
    reference: Analysis | None = None
    source: Analysis | None = None
    text: str | None = None
    source_emotion: str | None = None
    source_speaker: str | None = None
    target_voice: Recordings | None = None
    origin_voice: Recordings | None = None

    def has(self, need: str) -> bool:
        """Whether the input that a metric's ``needs`` names is there."""
        if need == "other_speaker":
            return changes_speaker(self.source_speaker, self.speaker)
        return getattr(self, "converted" if need == "wav" else need) is not None

    @cached_property
    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """DTW of the mel-cepstra of converted and reference speech: two arrays [K] of frames.

        Computed once, on the trimmed frames, and shared by all metrics, so that they speak about the same frames.
        The numbers count from the first frame of the wav, trimmed or not.
        """
        x, y = self.converted, self.reference
        i, j = dtw_path(x.mcep[x.speech], y.mcep[y.speech])
        return i + x.speech.start, j + y.speech.start

    @cached_property
    def f0_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """F0 of converted and reference speech along the path: two arrays [K] in Hz, 0 where unvoiced."""
        i, j = self.path
        return self.converted.f0[i], self.reference.f0[j]


def frame_pairs(x: Analysis, y: Analysis) -> tuple[np.ndarray, np.ndarray] | None:
    """Frames of x and of y at the same times, for signals of equal length; None for signals that are not.

    y decides where the speech is, for both: two trims of their own could shift one signal against the other.
    """
    if abs(x.n_frames - y.n_frames) > SAME_LENGTH:
        return None
    frames = np.arange(y.speech.start, min(y.speech.stop, x.n_frames))
    return frames, frames


def sample_pairs(x: Analysis, y: Analysis, rate: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Samples of x and of y at the same times, for signals of equal length; None for signals that are not.

    Args:
        x, y: a copy and its original.
        rate: of the samples wanted, in Hz.

    Returns:
        Two arrays [n], silence before and after the speech included.
    """
    per_frame = x.contract.frame_seconds * x.contract.rate
    if abs(len(x.wav) - len(y.wav)) > SAME_LENGTH * per_frame:
        return None
    a, b = x.wav_at(rate), y.wav_at(rate)
    n = min(len(a), len(b))
    return a[:n], b[:n]
