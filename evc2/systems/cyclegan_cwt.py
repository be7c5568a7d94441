"""CycleGAN over the wavelet coefficients of log-F0: pitch contours of one emotion into those of another.

Source: Zhou, Sisman and Li, "Transforming spectrum and prosody for emotional voice conversion with non-parallel
training data", Odyssey 2020 (arXiv 2002.00198), who train it apart from the spectrum's CycleGAN (MCD 8.71 dB, against
10.23 with one network for both).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.cwt import SCALES, TYPICAL_STD, cwt, interpolate_lf0, inverse_cwt
from evc2.feats.distance import dtw_path, to_mel_cepstrum
from evc2.feats.prosody import F0_LIMITS, convert_f0, lf0_corr, lf0_rmse
from evc2.feats.stats import Stats, moments_of
from evc2.fileio.ark import ScpReader
from evc2.systems.cyclegan import CycleGAN
from evc2.train.abs_model import ConversionTarget


class CoefficientReader(Mapping[str, np.ndarray]):
    """Wavelet coefficients [T, 10] of the utterances of f0.scp that have pitch; made when first asked for, then kept.

    Of ln F0 in Hz, float32: 20 kB for each second of speech.
    """

    def __init__(self, folder: str | Path) -> None:
        self.f0, path = ScpReader(Path(folder) / "f0.scp"), Path(folder) / "feats.yaml"
        self.seconds = FeatureContract.load(path).frame_seconds if path.is_file() else 0.005
        self.utts = {utt: None for utt in self.f0 if (self.f0[utt] > 0).any()}
        self.made: dict[str, np.ndarray] = {}
        if not self.utts:
            raise UserError(f"{folder}: no utterance has a voiced frame; is the F0 range of the contract right?")

    def __iter__(self) -> Iterator[str]:
        return iter(self.utts)

    def __len__(self) -> int:
        return len(self.utts)

    def __getitem__(self, utt: str) -> np.ndarray:
        if utt not in self.utts:
            raise KeyError(utt)
        if utt not in self.made:
            self.made[utt] = cwt(interpolate_lf0(self.f0[utt])[0], self.seconds).astype(np.float32)
        return self.made[utt]

    def shape(self, utt: str) -> tuple[int, int]:
        """(T, 10), without a transform."""
        return (*self.f0.shape(utt), SCALES)

    def crop(self, utt: str, start: int, length: int) -> np.ndarray:
        """Rows `start` to `start + length`, a copy."""
        return self[utt][start : start + length].copy()


def normalized(stats: Stats, crop: np.ndarray, speaker: str, emotion: str) -> np.ndarray:
    """Coefficients [T, 10] of ln F0 as those of its z-normalised contour, each scale brought to about unit variance.

    The transform is linear and blind to the mean, so a division suffices.
    """
    return (crop / (stats.get(speaker, emotion).lf0_std * np.array(TYPICAL_STD))).astype(np.float32)


class CycleGANCWT(CycleGAN):
    """The networks and losses of :class:`CycleGAN`, on ten wavelet coefficients of log-F0 a frame.

    A contour is z-normalised by its speaker and emotion, and each scale brought to about unit variance by constants
    (``TYPICAL_STD``: a conversion then needs nothing but the statistics of ln F0). What the ten scales do not hold, the
    mean of the utterance and what moves faster than 11 Hz, goes through the log-Gaussian transform. So generators that
    change nothing leave exactly that transform, and what they learn is added to it.

    Args:
        domains, generator, discriminator, lambda_cycle, lambda_identity, identity_stop: as for CycleGAN. The default
            widths are an eighth of the published ones: there are 10 values a frame, slow ones.
    """

    def __init__(
        self,
        domains: Sequence[str] = ("neutral", "angry"),
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        lambda_cycle: float = 10.0,
        lambda_identity: float = 5.0,
        identity_stop: int | None = None,
    ):
        super().__init__(
            domains,
            order=SCALES,
            power="network",  # all ten values go through the networks: none of them is energy
            generator={"channels": 16, "num_res": 3, **(generator or {})},
            discriminator={"channels": 8, **(discriminator or {})},
            lambda_cycle=lambda_cycle,
            lambda_identity=lambda_identity,
            identity_stop=identity_stop,
        )
        self.power = "keep"  # and the power of a conversion stays the source's

    @classmethod
    def crops(
        cls, folder: str, stats: Stats, conf: Callable[[str], Any]
    ) -> tuple[CoefficientReader, Callable[[np.ndarray, str, str], np.ndarray]]:
        return CoefficientReader(folder), partial(normalized, stats)

    @torch.inference_mode()
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray | None]:
        """Convert F0 alone: ``feats`` are the source's, ``power`` is None, voicing stays; see AbsEVCModel."""
        pair = self.pair_of(source.get("emotion"), target.emotion)
        feats, f0 = (np.array(source[name], dtype=np.float32) for name in ("feats", "f0"))
        if not (f0 > 0).any():
            return {"feats": feats, "f0": f0, "power": None}
        own = moments_of(feats, f0)
        src, tgt = self.stats.pair(source.get("speaker"), self.emotions[pair[0]], target.emotion, own)
        lf0, voiced = interpolate_lf0(f0)
        z = (lf0 - src.lf0_mean) / src.lf0_std
        coefficients = cwt(z, self.contract.frame_seconds)
        y = self.mapped(coefficients / TYPICAL_STD, pair, target) * TYPICAL_STD
        z = z + inverse_cwt(y - coefficients)
        new = lf0 + self.blend(target.intensity) * (z * tgt.lf0_std + tgt.lf0_mean - lf0)
        f0[voiced] = np.clip(np.exp(new[voiced]), *F0_LIMITS)
        return {"feats": feats, "f0": f0, "power": None}

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """How near the converted contour comes to the reference's, on frames voiced in both along the DTW path of the
        cepstra: ``lf0_rmse`` in nats, ``lf0_corr``; and ``lf0_rmse_gaussian``, what the log-Gaussian transform reaches.
        """
        new = self.convert(source, ConversionTarget(emotion))["f0"]
        own = moments_of(source["feats"], source["f0"])
        src, tgt = self.stats.pair(source.get("speaker"), source["emotion"], emotion, own)
        plain = convert_f0(source["f0"], src, tgt)
        i, j = dtw_path(*(to_mel_cepstrum(given["feats"])[:, 1:] for given in (source, reference)))
        aim = np.asarray(reference["f0"])[j]
        scores = {
            "lf0_rmse": lf0_rmse(new[i], aim),
            "lf0_corr": lf0_corr(new[i], aim),
            "lf0_rmse_gaussian": lf0_rmse(plain[i], aim),
        }
        return {name: value for name, value in scores.items() if value is not None}
