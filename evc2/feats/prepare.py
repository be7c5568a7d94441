"""What stage 2 does to an utterance: trimmed, resampled, raised, its pauses cut; or what makes it useless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evc2.feats.loudness import PEAK, raising_gain
from evc2.feats.pauses import cut_pauses
from evc2.feats.trim import speech_bounds
from evc2.fileio.audio import MIN_SECONDS, audio_problem

BEYOND = 0.05  # seconds that an alignment may end after its audio: by rounding, or by the aligner's last frame
TOO_LONG = "longer than"  # how the reason begins that is no defect of the recording


@dataclass(frozen=True)
class Preparation:
    """What is to be done.

    Args:
        trim_db: silence at both ends is what lies that many dB below the loudest frame (50 ms stay); None keeps it.
        min_seconds, max_seconds: of the utterance after trimming and cutting pauses.
        loudness: level in dB re full scale that quieter utterances are raised to, as far as they do not clip; None
            leaves them as they are.
        vad: "none", or the detector by which long pauses are cut (`evc2.feats.pauses`).
    """

    trim_db: float | None = 40.0
    min_seconds: float = MIN_SECONDS
    max_seconds: float = float("inf")
    loudness: float | None = None
    vad: str = "none"

    def length_problem(self, seconds: float, most: float, after: str) -> str | None:
        """Say that an utterance is too short or too long, or None."""
        if seconds < self.min_seconds:
            return f"shorter than {self.min_seconds:g} s{after} ({seconds:.2f} s)"
        if seconds > most:
            return f"{TOO_LONG} {most:g} s{after} ({seconds:.2f} s)"
        return None


class Bounds(NamedTuple):
    """Where the speech of an utterance lies, as an alignment says."""

    start: float  # seconds from the start of the utterance
    stop: float
    source: str  # name of the file that says so


class Prepared(NamedTuple):
    """An utterance as it is written, and what was done to it."""

    wav: np.ndarray
    start: float  # first and last second kept of the utterance
    stop: float
    gain: float = 0.0  # dB
    limited: bool = False  # whether the peak allowed less gain than asked for
    pauses: float = 0.0  # seconds cut out


def prepare(
    wav: np.ndarray, found_rate: int, rate: int, how: Preparation, bounds: Bounds | None = None
) -> Prepared | str:
    """Return the utterance `wav` [n] of `found_rate` Hz at `rate` Hz, or the reason why it cannot be used.

    With `bounds` it is cut there and not by its level.
    """
    # A limit above the usual one is judged below, after trimming; one below it is a corpus with snippets on purpose.
    problem = audio_problem(wav, found_rate, min(MIN_SECONDS, how.min_seconds))
    if problem is not None:
        return problem
    cuts = how.vad != "none"
    start, stop, after = 0, len(wav), ""
    if bounds is not None:
        if bounds.stop > len(wav) / found_rate + BEYOND or bounds.start < 0:
            found = f"{bounds.start:.2f} to {bounds.stop:.2f} s of {len(wav) / found_rate:.2f} s"
            return f"{bounds.source} belongs to another recording: its speech is at {found}"
        start, stop = (min(len(wav), int(second * found_rate + 0.5)) for second in bounds[:2])
        after = f" by {bounds.source}"
    elif how.trim_db is not None:
        start, stop = speech_bounds(wav, found_rate, how.trim_db)
        after = " after trimming"
    # With pauses still to be cut, nobody can say yet that it is too long.
    problem = how.length_problem((stop - start) / found_rate, float("inf") if cuts else how.max_seconds, after)
    if problem is not None:
        return problem
    wav = wav[start:stop]
    if found_rate != rate:
        import soxr

        wav = soxr.resample(wav, found_rate, rate, quality="VHQ")
    # Resampling may overshoot full scale between the old samples: turn the utterance down rather than clip it.
    peak = float(np.abs(wav).max())
    wav = wav * (PEAK / peak) if peak > 1.0 else wav
    gain, limited = (0.0, False) if how.loudness is None else raising_gain(wav, how.loudness)
    wav = wav * np.float32(10.0 ** (gain / 20.0)) if gain else wav
    whole = len(wav)
    if cuts:
        wav = cut_pauses(wav, rate, how.vad)
        if not len(wav):
            return f"no speech found by --vad {how.vad}"
        problem = how.length_problem(len(wav) / rate, how.max_seconds, f" after --vad {how.vad}")
        if problem is not None:
            return problem
    return Prepared(wav, start / found_rate, stop / found_rate, gain, limited, (whole - len(wav)) / rate)
