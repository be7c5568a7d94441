"""Texts said by espeak-ng, with the phones and when each is said: speech whose alignment is known."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.text.espeak import RATE, Espeak
from evc2.text.g2p import with_silence
from evc2.text.silences import PAUSE

VARIANTS = ("m1", "m2", "m3", "m5", "f1", "f2", "f3", "f4")
RATES = (110, 150)
"""Words a minute: clear and ordinary speech."""
_SILENCE = 0.05  # seconds at both ends, as recordings are trimmed
_NOISE = 1e-4  # deviation: what is silent has the level of a quiet room, not minus infinity


class Spoken(NamedTuple):
    """Log-mel [T, n_mels], phones in IPA with `sil` at both ends and `sp` for pauses, frames of each phone [L]."""

    feats: np.ndarray
    phones: list[str]
    durations: np.ndarray


def speak(texts: Sequence[str], language: str, contract: dict[str, Any]) -> list[Spoken]:
    """Have texts said in several voices and at two rates. Texts that give no sound are left out.

    Args:
        texts: a few are enough; each is said once in every voice when they are fewer than the voices.
        language: voice of espeak-ng.
        contract: of the features, a mel contract.
    """
    # A process of its own: espeak-ng takes its options once, and its state goes from sentence to sentence.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_speak, (list(texts), language, contract))


def _speak(texts: list[str], language: str, conf: dict[str, Any]) -> list[Spoken]:
    import soxr

    contract, speech, rng = FeatureContract.from_dict(conf), Espeak(phones=True, ipa=True), np.random.default_rng(0)
    voices = [(variant, rate) for variant in VARIANTS for rate in RATES]
    share = max(1, len(texts) // len(voices))  # with many texts, a voice says only some
    found = []
    for i, text in enumerate(texts):
        for variant, rate in voices if len(texts) <= len(voices) else [voices[i // share % len(voices)]]:
            try:
                wav = speech.say(text, f"{language}+{variant}", rate=rate).astype(np.float64) / 32768
            except UserError as error:
                logging.debug("%s", error)
                continue
            said = list(speech.phones)
            while said and said[-1].is_pause:
                said.pop()
            while said and said[0].is_pause:
                said.pop(0)
            if not said:
                continue
            pad = np.zeros(round(_SILENCE * RATE))
            wav = np.concatenate((pad, wav[round(said[0].start * RATE) : round(said[-1].stop * RATE)], pad))
            wav = soxr.resample(wav + _NOISE * rng.standard_normal(len(wav)), RATE, contract.rate)
            feats = log_mel(wav, contract)
            seconds = [0.0, *(phone.start - said[0].start + _SILENCE for phone in said)]
            seconds += [said[-1].stop - said[0].start + _SILENCE]
            edges = np.round(np.array(seconds) / contract.frame_seconds).astype(int)
            edges = np.append(np.minimum(edges, len(feats)), len(feats))
            names = with_silence([PAUSE if phone.is_pause else phone.name for phone in said])
            found.append(Spoken(feats.astype(np.float32), names, np.diff(edges)))
    return found
