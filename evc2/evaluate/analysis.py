"""One analysis of a wav for all metrics, made on demand and kept.

The analysis has a feature contract of its own, the same for every system, so that a system trained at another rate or
on mel spectrograms is measured by the same ruler, and a table of one system can be compared with a table of another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import soxr

from evc2.feats.contract import FeatureContract
from evc2.feats.distance import ORDER, mel_cepstrum
from evc2.feats.world import envelope, frame_power

T = TypeVar("T")

BAND = 7000.0
"""Above this (Hz) an envelope is held at its value there. A resampling filter leaves its edge between 7.3 and 8 kHz, so
that the same 16 kHz recording, once to 22.05 kHz and back, would be 2 dB of MCD away from itself (measured); systems
that work at different rates could not be compared."""

TRIM_DB = 40.0
"""Leading and trailing frames quieter than the loudest one by more than this are silence."""

TRIM_RUN = 4
"""Speech begins with this many loud frames in a row (20 ms): a click is shorter."""


def evaluation_contract(f0_method: str = "dio") -> FeatureContract:
    """The analysis used for scoring: 16 kHz, 5 ms, F0 71..800 Hz; 24 mel-cepstra beside c0, which is dropped later."""
    return FeatureContract.from_dict(
        {
            "name": "evaluation",
            "kind": "world",
            "rate": 16000,
            "f0_method": f0_method,
            "f0_floor": 71.0,
            "f0_ceil": 800.0,
            "frame_period": 5.0,
            "fft_size": 1024,
            "order": ORDER + 1,
        }
    )


def speech_bounds(power: np.ndarray, below_db: float = TRIM_DB, run: int = TRIM_RUN) -> tuple[int, int]:
    """First and last+1 frame of the speech, without the silence before and after it.

    Args:
        power: [T] natural log of the frame power.

    Returns:
        (start, stop); everything, (0, T), where no run of loud frames exists.
    """
    loud = power >= power.max() - below_db * np.log(10) / 10
    run = min(run, len(power))
    starts = np.flatnonzero(np.convolve(loud, np.ones(run), mode="valid") >= run - 0.5)
    if len(starts) == 0:
        return 0, len(power)
    return int(starts[0]), int(starts[-1]) + run


class Analysis:
    """A mono wav and what the metrics read from it; nothing is computed before it is asked for.

    Args:
        wav: [n] float32 at the contract's rate.
        contract: the evaluation contract.
        read: rate in Hz -> the same wav at that rate, from where it is stored.

    Attributes:
        wav, contract: as given.
    """

    def __init__(
        self, wav: np.ndarray, contract: FeatureContract, read: Callable[[int], np.ndarray] | None = None
    ) -> None:
        self.wav = wav
        self.contract = contract
        self._read = read
        self._memo: dict[str, Any] = {}

    def wav_at(self, rate: int) -> np.ndarray:
        """The wav at another rate [n] float32, read once more: :attr:`wav` has lost what is above half of its own.

        Raises:
            UserError: the recording cannot be read any more.
        """
        if rate == self.contract.rate:
            return self.wav
        if self._read is None:  # made from samples, not from a recording
            return self.memo(f"wav at {rate}", lambda: soxr.resample(self.wav, self.contract.rate, rate))
        return self.memo(f"wav at {rate}", lambda: self._read(rate))

    def memo(self, key: str, make: Callable[[], T]) -> T:
        """What ``make()`` returned the first time: for what several metrics read of one wav (a text, an embedding)."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    @cached_property
    def _frames(self) -> dict[str, np.ndarray]:
        f0, _, sp = envelope(self.wav, self.contract)
        power = frame_power(sp)
        last = int(BAND * self.contract.fft_size / self.contract.rate)
        sp[:, last + 1 :] = sp[:, last : last + 1]
        # The mel-cepstrum is taken of the envelope itself: coding it first would smooth both sides of a comparison.
        mcep = mel_cepstrum(sp, self.contract.rate)[:, 1:].astype(np.float32)
        return {"mcep": mcep, "f0": f0, "power": power}

    @property
    def mcep(self) -> np.ndarray:
        """[T, 24] mel-cepstra (SPTK's scale, all-pass constant 0.42; 0 to 7 kHz) without c0."""
        return self._frames["mcep"]

    @property
    def f0(self) -> np.ndarray:
        """[T] in Hz, 0 where unvoiced."""
        return self._frames["f0"]

    @property
    def power(self) -> np.ndarray:
        """[T] natural log of the frame power."""
        return self._frames["power"]

    @cached_property
    def speech(self) -> slice:
        """The frames that remain when the silence before and after the speech is trimmed."""
        return slice(*speech_bounds(self.power))

    @property
    def speech_wav(self) -> np.ndarray:
        """The samples of the speech, without the silence before and after it."""
        hop = self.contract.frame_seconds * self.contract.rate
        return self.wav[round(self.speech.start * hop) : round(self.speech.stop * hop)]

    @property
    def n_frames(self) -> int:
        """Frames before trimming."""
        return len(self.power)

    @property
    def seconds(self) -> float:
        """Duration of the speech in seconds, silence before and after it trimmed."""
        return (self.speech.stop - self.speech.start) * self.contract.frame_seconds
