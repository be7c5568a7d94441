"""CycleGAN emotional voice conversion: spectrum by two generators, log-F0 and power by log-Gaussian transforms.

Source: Gao, Chakraborty, Tembine, Olaleye, "Nonparallel emotional speech conversion", Interspeech 2019
(arXiv 1811.01174), and Kaneko and Kameoka, arXiv 1711.11293, eq. 1 to 5.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from evc2.losses.adversarial import class_loss, lsgan_discriminator, lsgan_generator
from evc2.nets.cyclegan import Discriminator, Generator
from evc2.systems.spectral import SpectralEVC
from evc2.train.abs_model import BatchCache, ConversionTarget


class CycleGAN(SpectralEVC):
    """Two generators and two patch discriminators between two emotions.

    Args:
        domains: the emotions A and B.
        order: coded cepstra a frame, as in the feature contract.
        power, normalize_by: see :class:`~evc2.systems.spectral.SpectralEVC`.
        generator, discriminator: arguments of the networks.
        lambda_cycle, lambda_identity, lambda_cls: weights of the losses; the adversarial one has weight 1.
        identity_stop: step from which the identity loss is left out (None: never).
    """

    turns = ("generator", "discriminator")
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
        super().__init__(domains, power, normalize_by)
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

    def discriminator_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
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

    def network(self, x: torch.Tensor, pair: tuple[int, int], target: ConversionTarget) -> torch.Tensor:
        return (self.G_AB if pair == (0, 1) else self.G_BA)(x)
