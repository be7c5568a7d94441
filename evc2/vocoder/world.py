"""The WORLD vocoder behind the common interface (Morise, Yokomori and Ozawa 2016; through pyworld)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.vocoder.abs_vocoder import AbsVocoder, Feats

#: Aperiodicity assumed where none was measured: ratio of noise below and above the transition, and its band in Hz.
VOICED_NOISE = (0.02, 0.5)
TRANSITION_HZ = (2000.0, 6000.0)
ALL_NOISE = 1.0 - 1e-12


def assumed_aperiodicity(f0: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Aperiodicity [T, fft_size // 2 + 1] for stored features, which hold none.

    Unvoiced frames are all noise. Voiced frames are nearly periodic up to 2 kHz and get noisier towards 6 kHz, the
    coarse shape that measured speech has. Good enough to listen to features; a conversion measures it instead.
    """
    bins = np.linspace(0.0, contract.rate / 2, contract.fft_size // 2 + 1)
    voiced = np.exp(np.interp(bins, TRANSITION_HZ, np.log(VOICED_NOISE)))
    return np.where(np.asarray(f0)[:, None] > 0, voiced[None, :], ALL_NOISE)


class WorldVocoder(AbsVocoder):
    """WORLD synthesis; has no weights, so its contract is simply the features' contract."""

    kind = "world"

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
    ) -> WorldVocoder:
        """WORLD for ``contract``; there is nothing to load, so ``path`` and further options are refused."""
        if path is not None or conf:
            raise UserError("the WORLD vocoder has no weights or options: leave them out")
        if contract is None:
            raise UserError("the WORLD vocoder needs the feature contract (conf/feats_<name>.yaml)")
        return cls(contract)

    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """Envelope, pitch and aperiodicity to a waveform.

        Args:
            feats: "f0" [T] in Hz (0 = unvoiced); "sp" [T, bins] power spectrum, or "feats" [T, order] coded envelope
                to decode; "ap" [T, bins], assumed (see :func:`assumed_aperiodicity`) where it is missing.
            length: samples wanted.

        Raises:
            UserError: an array is missing, or their numbers of frames differ.
        """
        if "f0" not in feats or not ("sp" in feats or "feats" in feats):
            raise UserError(f"WORLD synthesis needs f0 and sp or feats, got {', '.join(sorted(feats)) or 'nothing'}")
        frames = {name: len(feats[name]) for name in ("f0", "sp", "ap", "feats") if name in feats}
        if len(set(frames.values())) != 1:
            raise UserError(f"WORLD synthesis needs one number of frames, got {frames}")
        f0 = np.asarray(feats["f0"], dtype=np.float64)
        sp = feats["sp"] if "sp" in feats else world.decode(feats["feats"], self.contract)
        ap = feats["ap"] if "ap" in feats else assumed_aperiodicity(f0, self.contract)
        return world.synthesize(f0, sp, ap, self.contract, length=length)
