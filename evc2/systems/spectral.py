"""What the systems on WORLD cepstra share: domains, normalisation, prosody by statistics, validation of trials."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.distance import conversion_distances, to_mel_cepstrum
from evc2.feats.prosody import convert_f0, convert_power
from evc2.feats.stats import Moments, moments_of
from evc2.train.abs_model import AbsEVCModel, BatchCache, ConversionTarget, emotions_of


class SpectralEVC(AbsEVCModel):
    """A network maps normalised cepstra; log-F0 and power go through log-Gaussian transforms.

    Args:
        domains: emotions, or ``speaker:emotion`` each.
        power: what changes the energy. ``network``: the network converts the 0th cepstrum with the rest (published
            codes). ``gaussian``: the network leaves it out and frame power goes through a log-Gaussian transform, as
            the published README promises. ``keep``: the source's power. Never both, which would count it twice.
        normalize_by: whose statistics normalise the features: ``speaker_emotion``, or ``emotion`` (domain pooled).
    """

    collation = "crop_pair"
    multiple = 4  # the networks take a multiple of this many frames, and no fewer than two of them

    def __init__(self, domains: Sequence[str], power: str, normalize_by: str) -> None:
        super().__init__()
        system = type(self).__name__.lower()
        for name, value, known in (
            ("power", power, ("network", "gaussian", "keep")),
            ("normalize_by", normalize_by, ("speaker_emotion", "emotion")),
        ):
            if value not in known:
                raise UserError(f"{system}: {name} is {value!r}, expected one of {', '.join(known)}")
        if not 2 <= len(set(domains)) == len(domains) <= self.max_domains:
            number = "two" if self.max_domains == 2 else f"2 to {self.max_domains}"
            raise UserError(f"{system}: domains are {number} different emotions [A, B], got {list(domains)}")
        self.domains, self.power, self.normalize_by = tuple(domains), power, normalize_by
        self.emotions = emotions_of(domains)
        self.first = 0 if power == "network" else 1  # the first cepstrum that the network converts

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses of one turn (None: of all) on crops A and B, each [B, T, order], normalised and unpaired, of the two
        ``domains``: those of the methods generator_loss and discriminator_loss, for (cache, step).
        """
        cache = cache or self.begin_batch(step, batch)
        weight = torch.full((), float(len(cache.a)), device=cache.a.device)
        loss, stats = torch.zeros((), device=cache.a.device), {}
        for name in self.turns if turn is None else (turn,):
            part, more = getattr(self, f"{name}_loss")(cache, step)
            loss, stats = loss + part, {**stats, **more}
        return loss, {k: v.detach() for k, v in stats.items()}, weight

    @abstractmethod
    def network(self, x: torch.Tensor, pair: tuple[int, int], target: ConversionTarget) -> torch.Tensor:
        """Map normalised features [1, D, T] from one domain to another; T is a multiple of ``multiple``."""

    def blend(self, intensity: float) -> float:
        """Share of the converted features at an intensity, the rest being the source's."""
        return intensity

    def pair_of(self, source: str | None, target: str) -> tuple[int, int]:
        """Domain numbers of a conversion; without a source emotion, the other one of two.

        Raises:
            UserError: an emotion that the model does not have, or none where it has more than two.
        """
        names = self.emotions
        if target not in names:
            raise UserError(
                f"this model converts between {' and '.join(names)}, not to {target!r}; "
                f"choose one of these or train another model"
            )
        others = [name for name in names if name != target]
        if source is None and len(others) > 1:
            raise UserError(f"a model of {len(names)} emotions must be told the source's: {', '.join(names)}")
        source = others[0] if source is None else source
        if source not in others:
            raise UserError(
                f"this model makes {target} speech from {' or '.join(others)} speech, but the source is "
                f"said to be {source}"
            )
        return names.index(source), names.index(target)

    def normalized(self, feats: np.ndarray, moments: Moments) -> np.ndarray:
        """What the network sees of features [T, order]: [T, D]."""
        return ((np.asarray(feats, dtype=np.float32) - moments.feats_mean) / moments.feats_std)[:, self.first :]

    def tensor(self, x: np.ndarray) -> torch.Tensor:
        """Normalised features [T, D] as [1, D, T] on the model's device, padded by repeating the edge frames."""
        x = torch.from_numpy(np.ascontiguousarray(x.T[None], dtype=np.float32))
        before, after = self.padding(x.shape[-1])
        return F.pad(x, (before, after), mode="replicate").to(next(self.parameters()).device)

    def padding(self, frames: int) -> tuple[int, int]:
        """Frames to add before and after; instance normalisation needs two at the bottom of the network."""
        pad = max(-frames % self.multiple, 2 * self.multiple - frames)
        return pad // 2, pad - pad // 2

    def mapped(self, x: np.ndarray, pair: tuple[int, int], target: ConversionTarget) -> np.ndarray:
        """Normalised features [T, D] of any length through the network: [T, D]."""
        before, _ = self.padding(len(x))
        y = self.network(self.tensor(x), pair, target)[0, :, before : before + len(x)]
        return y.float().cpu().numpy().T

    def moments_for(self, given: Mapping[str, Any], emotion: str) -> Moments:
        """Moments that normalise an utterance: of the emotion, of the speaker in it, or the utterance's own."""
        if self.normalize_by == "emotion":
            return self.stats.get(None, emotion)
        speaker, own_emotion = given.get("speaker"), given.get("emotion") or emotion
        if speaker is not None and self.stats.has(speaker, own_emotion):
            return self.stats.get(speaker, own_emotion)
        return moments_of(given["feats"], given.get("f0"), given.get("power"))

    @torch.inference_mode()
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray | None]:
        pair = self.pair_of(source.get("emotion"), target.emotion)
        emotion = self.emotions[pair[0]]
        own = moments_of(source["feats"], source["f0"], source["power"])
        src, tgt = self.stats.pair(source.get("speaker"), emotion, target.emotion, own)
        net_src, net_tgt = src, tgt
        if self.normalize_by == "emotion":
            net_src, net_tgt = self.stats.get(None, emotion), self.stats.get(None, target.emotion)
        feats = np.array(source["feats"], dtype=np.float32)
        y = self.mapped(self.normalized(feats, net_src), pair, target)
        new = y * net_tgt.feats_std[self.first :] + net_tgt.feats_mean[self.first :]
        feats[:, self.first :] += self.blend(target.spectrum_share) * (new - feats[:, self.first :])
        power = None
        if self.power == "gaussian":
            power = convert_power(source["power"], src, tgt, target.intensity)
        elif self.power == "keep":
            power = np.array(source["power"])
        return {"feats": feats, "f0": convert_f0(source["f0"], src, tgt, target.intensity), "power": power}

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """How near the converted cepstra come to the reference: see
        :func:`evc2.feats.distance.conversion_distances`.
        """
        new = self.convert(source, ConversionTarget(emotion))["feats"]
        new, ref, old = (to_mel_cepstrum(x)[:, 1:] for x in (new, reference["feats"], source["feats"]))
        return conversion_distances(new, ref, old)
