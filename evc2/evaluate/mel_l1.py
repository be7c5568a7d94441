"""Distance of two log-mel spectrograms, frame by frame: how near a copy is to its original."""

from __future__ import annotations

from functools import cache

import numpy as np

from evc2.evaluate.item import Item, sample_pairs
from evc2.evaluate.registry import register
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel

RATE = 22050


@cache
def mel_contract() -> FeatureContract:
    """The mel of the published HiFi-GAN, a part of this metric's definition, whatever mel a vocoder works with."""
    return FeatureContract.from_dict(
        {
            "name": "mel_l1", "kind": "mel", "rate": RATE, "n_fft": 1024, "hop": 256, "win": 1024, "window": "hann",
            "center": False, "pad": "reflect", "power": 1, "n_mels": 80, "fmin": 0, "fmax": 8000,
            "mel_scale": "slaney", "mel_norm": "slaney",
            "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
        }
    )  # fmt: skip


def mel_l1(x: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute difference of two log-mel spectrograms.

    Args:
        x, y: [n] samples at 22,050 Hz, in time with each other.

    Returns:
        0 or more, in nats: 0.1 is 0.9 dB. Each frame and band counts alike, pauses too.

    Source: Kong, Kim and Bae, HiFi-GAN, NeurIPS 2020, eq. 3 (there the training loss; a mean here), with the mel of its
    published code: 1024/256 samples, 80 bands of 0 to 8 kHz, ln, floor 1e-5.
    """
    contract = mel_contract()
    return float(np.abs(log_mel(x, contract) - log_mel(y, contract)).mean(dtype=np.float64))


@register(
    "mel_l1",
    unit="nat",
    better="lower",
    needs=("wav", "reference"),
    digits=3,
    doc="mean absolute difference of the log-mel spectrograms of output and reference (22.05 kHz, 1024/256 samples, 80 "
    "bands of 0 to 8 kHz, floor 1e-5), frame by frame; for copies only: no value where the lengths differ by over "
    "10 ms",
    source="Kong, Kim and Bae, HiFi-GAN, NeurIPS 2020, eq. 3",
    range="0 ..",
)
def _mel_l1(item: Item) -> float | None:
    pair = sample_pairs(item.converted, item.reference, RATE)
    return None if pair is None else mel_l1(*pair)
