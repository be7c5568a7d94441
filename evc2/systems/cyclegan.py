"""CycleGAN emotional voice conversion: spectrum by two generators, log-F0 and power by log-Gaussian transforms.

Source: Gao, Chakraborty, Tembine, Olaleye, "Nonparallel emotional speech conversion", Interspeech 2019
(arXiv 1811.01174), and Kaneko and Kameoka, arXiv 1711.11293, eq. 1 to 5.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.distance import equal_variance, mcd, to_mel_cepstrum, variance_ratio
from evc2.feats.prosody import convert_f0, convert_power
from evc2.feats.stats import moments_of
from evc2.losses.adversarial import lsgan_discriminator, lsgan_generator
from evc2.nets.cyclegan import Discriminator, Generator
from evc2.train.abs_model import AbsEVCModel, BatchCache, ConversionTarget


class CycleGAN(AbsEVCModel):
    """Two generators and two patch discriminators between two emotions.

    Args:
        domains: the emotions A and B.
        order: coded cepstra a frame, as in the feature contract.
        power: what changes the energy. ``network``: the generator converts the 0th cepstrum with the rest (published
            code). ``gaussian``: the network leaves it out and frame power goes through a log-Gaussian transform, as
            the published README promises. ``keep``: the source's power. Never both, which would count it twice.
        normalize_by: whose statistics normalise the features: ``speaker_emotion``, or ``emotion`` (domain pooled).
        generator, discriminator: arguments of the networks.
        lambda_cycle, lambda_identity, lambda_cls: weights of the losses; the adversarial one has weight 1.
        identity_stop: step from which the identity loss is left out (None: never).
    """

    turns = ("generator", "discriminator")
    collation = "crop_pair"
    training_only = ("D_A.", "D_B.")

    def __init__(
        self,
        domains: Sequence[str] = ("neutral", "angry"),
        order: int = 24,
        power: str = "gaussian",
        normalize_by: str = "speaker_emotion",
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        lambda_cycle: float = 10.0,
        lambda_identity: float = 5.0,
        lambda_cls: float = 0.0,
        identity_stop: int | None = None,
    ):
        super().__init__()
        for name, value, known in (
            ("power", power, ("network", "gaussian", "keep")),
            ("normalize_by", normalize_by, ("speaker_emotion", "emotion")),
        ):
            if value not in known:
                raise UserError(f"cyclegan: {name} is {value!r}, expected one of {', '.join(known)}")
        if len(domains) != 2 or domains[0] == domains[1]:
            raise UserError(f"cyclegan: domains are two different emotions [A, B], got {list(domains)}")
        self.domains, self.power, self.normalize_by = tuple(domains), power, normalize_by
        self.emotions = tuple(name.split(":")[-1] for name in domains)  # a domain is an emotion or speaker:emotion
        self.first = 0 if power == "network" else 1  # the first cepstrum that the network converts
        dim, classes = order - self.first, 2 if lambda_cls else 0
        self.G_AB, self.G_BA = Generator(dim, **(generator or {})), Generator(dim, **(generator or {}))
        self.D_A = Discriminator(num_classes=classes, **(discriminator or {}))
        self.D_B = Discriminator(num_classes=classes, **(discriminator or {}))
        self.lambda_cycle, self.lambda_identity, self.lambda_cls = lambda_cycle, lambda_identity, lambda_cls
        self.identity_stop = float("inf") if identity_stop is None else identity_stop

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        nets = (self.G_AB, self.G_BA) if turn == "generator" else (self.D_A, self.D_B)
        return chain.from_iterable(net.parameters() for net in nets)

    def begin_batch(self, step: int, batch: Mapping[str, Any]) -> BatchCache:
        a, b = (batch[name].transpose(1, 2)[:, self.first :] for name in ("A", "B"))
        return BatchCache(a=a, b=b)

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses of one turn on crops A and B, each [B, T, order], normalised and unpaired."""
        cache = cache or self.begin_batch(step, batch)
        weight = torch.tensor(float(len(cache.a)), device=cache.a.device)
        if turn is None:
            loss_g, stats_g = self.generator_loss(cache, step)
            loss_d, stats_d = self.discriminator_loss(cache)
            loss, stats = loss_g + loss_d, {**stats_g, **stats_d}
        else:
            loss, stats = self.generator_loss(cache, step) if turn == "generator" else self.discriminator_loss(cache)
        return loss, {k: v.detach() for k, v in stats.items()}, weight

    def generator_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Adversarial + cycle + identity (+ class) loss; leaves the fakes in the cache for the discriminators.

        Conversion and identity share one pass (the norms work utterance by utterance, so a batch of both is exact),
        and the discriminators see the fakes made here, before the generators step, as in the published code.
        """
        a, b, n = cache.a, cache.b, len(cache.a)
        identity = self.lambda_identity > 0 and step < self.identity_stop
        out_b = self.G_AB(torch.cat((a, b)) if identity else a)
        out_a = self.G_BA(torch.cat((b, a)) if identity else b)
        fake_b, fake_a = out_b[:n], out_a[:n]
        cache.fake_a, cache.fake_b = fake_a.detach(), fake_b.detach()
        (score_a, logits_a), (score_b, logits_b) = self.D_A(fake_a), self.D_B(fake_b)
        stats = {
            "adv_A2B": lsgan_generator(score_b),
            "adv_B2A": lsgan_generator(score_a),
            "cycle": F.l1_loss(self.G_BA(fake_b).float(), a) + F.l1_loss(self.G_AB(fake_a).float(), b),
        }
        loss = stats["adv_A2B"] + stats["adv_B2A"] + self.lambda_cycle * stats["cycle"]
        if identity:
            stats["identity"] = F.l1_loss(out_b[n:].float(), b) + F.l1_loss(out_a[n:].float(), a)
            loss = loss + self.lambda_identity * stats["identity"]
        if self.lambda_cls:
            stats["cls_G"] = class_loss(logits_a, 0) + class_loss(logits_b, 1)
            loss = loss + self.lambda_cls * stats["cls_G"]
        stats["loss_generator"] = loss
        return loss, stats

    def discriminator_loss(self, cache: BatchCache) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Least-squares loss of both discriminators on real crops and cached fakes, one pass each."""
        n, stats = len(cache.a), {}
        loss = torch.zeros((), device=cache.a.device)
        for name, net, real, fake, other in (
            ("A", self.D_A, cache.a, cache.fake_a, cache.b),
            ("B", self.D_B, cache.b, cache.fake_b, cache.a),
        ):
            parts = (real, fake, other) if self.lambda_cls else (real, fake)
            score, logits = net(torch.cat([p.to(real.dtype) for p in parts]))
            stats[f"D_{name}"] = lsgan_discriminator(score[:n], score[n : 2 * n])
            loss = loss + stats[f"D_{name}"]
            if self.lambda_cls:  # every classifier sees real speech of both emotions, never fakes
                label = 0 if name == "A" else 1
                stats[f"cls_D_{name}"] = class_loss(logits[:n], label) + class_loss(logits[2 * n :], 1 - label)
                loss = loss + self.lambda_cls * stats[f"cls_D_{name}"]
        stats["loss_discriminator"] = loss
        return loss, stats

    @torch.inference_mode()
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray | None]:
        if target.emotion not in self.emotions:
            raise UserError(
                f"this model converts between {' and '.join(self.emotions)}, not to {target.emotion!r}; "
                f"choose one of these or train another model"
            )
        to_b = target.emotion == self.emotions[1]
        emotion = self.emotions[0 if to_b else 1]
        if source.get("emotion") not in (None, emotion):
            raise UserError(
                f"this model makes {target.emotion} speech from {emotion} speech, but the source is "
                f"said to be {source['emotion']}"
            )
        own = moments_of(source["feats"], source["f0"], source["power"])
        src, tgt = self.stats.pair(source.get("speaker"), emotion, target.emotion, own)
        net_src, net_tgt = src, tgt
        if self.normalize_by == "emotion":
            net_src, net_tgt = self.stats.get(None, emotion), self.stats.get(None, target.emotion)
        feats = np.array(source["feats"], dtype=np.float32)
        x = ((feats - net_src.feats_mean) / net_src.feats_std).T[None, self.first :]
        device = next(self.parameters()).device
        net = self.G_AB if to_b else self.G_BA
        y = net.convert(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(device))[0].float().cpu().numpy()
        new = y.T * net_tgt.feats_std[self.first :] + net_tgt.feats_mean[self.first :]
        feats[:, self.first :] += target.intensity * (new - feats[:, self.first :])
        power = None
        if self.power == "gaussian":
            power = convert_power(source["power"], src, tgt, target.intensity)
        elif self.power == "keep":
            power = np.array(source["power"])
        return {"feats": feats, "f0": convert_f0(source["f0"], src, tgt, target.intensity), "power": power}

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """How near the converted cepstra come to the reference (DTW, without c0), beside the unconverted source.

        ``mcd``, ``mcd_source`` and the distance moved ``mcd_moved`` in dB; ``gv``, the ratio of variances; and
        ``mcd_gv``, the MCD after the variances are made equal, by which the best model is chosen: plain MCD is lowest
        in the first epochs, when the generators still give something near the mean spectrum.
        """
        new = self.convert(source, ConversionTarget(emotion))["feats"]
        old, ref, new = (to_mel_cepstrum(x)[:, 1:] for x in (source["feats"], reference["feats"], new))
        return {
            "mcd": mcd(new, ref),
            "mcd_gv": mcd(equal_variance(new, ref), ref),
            "mcd_source": mcd(old, ref),
            "mcd_moved": mcd(new, old, dtw=False),
            "gv": variance_ratio(new, ref),
        }


def class_loss(logits: torch.Tensor, label: int) -> torch.Tensor:
    """Cross-entropy of a batch whose utterances all have one label."""
    return F.cross_entropy(logits.float(), torch.full((len(logits),), label, device=logits.device))
