"""GAN vocoders: HiFi-GAN (Kong, Kim and Bae 2020, arXiv 2010.05646) and MelGAN (Kumar et al. 2019, arXiv 1910.06711).

The generator runs once a batch: the discriminators learn from its output, and its own turn goes on from there (its
weights have not changed in between, so the values are those of the published order).
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from evc2.feats.contract import FeatureContract
from evc2.losses.vocoder import (
    MultiResolutionSTFT,
    adversarial_generator,
    discriminate,
    feature_matching,
)
from evc2.nets.layers.logmel import LogMel
from evc2.nets.vocoders import build_discriminator
from evc2.systems.vocoder import AbsVocoderModel
from evc2.train.abs_model import BatchCache


class GANVocoder(AbsVocoderModel):
    """A generator against multi-scale (and multi-period) discriminators.

    Args:
        contract: of the mel spectrogram.
        net: ``hifigan`` or ``melgan``.
        generator: arguments of the generator.
        discriminator: see :func:`evc2.nets.vocoders.build_discriminator`.
        adversarial: ``mse`` or ``hinge``.
        lambda_adv, lambda_fm, lambda_mel, lambda_stft: weights of adversarial loss, feature matching, L1 of log-mel
            spectrograms and multi-resolution STFT loss.
        mel_loss: keys of the contract that differ in the mel of the loss, e.g. ``{fmax: null}`` for the full band.
    """

    turns: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    def __init__(
        self,
        contract: FeatureContract,
        net: str = "hifigan",
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        adversarial: str = "mse",
        lambda_adv: float = 1.0,
        lambda_fm: float = 2.0,
        lambda_mel: float = 45.0,
        lambda_stft: float = 0.0,
        mel_loss: Mapping[str, Any] | None = None,
    ):
        super().__init__(contract, net, generator)
        self.discriminator = build_discriminator(discriminator or {})
        self.adversarial = adversarial
        self.lambda_adv, self.lambda_fm = lambda_adv, lambda_fm
        self.lambda_mel, self.lambda_stft = lambda_mel, lambda_stft
        differing = {"fmax": None} if mel_loss is None else dict(mel_loss)
        self.loss_mel = LogMel(FeatureContract.from_dict({**contract.to_dict(), **differing}, "vocoder_conf.mel_loss"))
        self.stft = MultiResolutionSTFT()

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        return (self.generator if turn == "generator" else self.discriminator).parameters()

    def begin_batch(self, step: int, batch: Mapping[str, Any]) -> BatchCache:
        mel, real = self.inputs(**batch)
        return BatchCache(real=real[:, None], fake=self.generator(mel))

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses of one turn; see :class:`~evc2.systems.vocoder.AbsVocoderModel` for a batch."""
        cache = cache or self.begin_batch(step, batch)
        stats: dict[str, torch.Tensor] = {}
        loss = cache.real.new_zeros(())
        if turn in (None, "discriminator"):
            loss = loss + self.discriminator_loss(cache, stats)
        if turn in (None, "generator"):
            loss = loss + self.generator_loss(cache, stats, step >= self.start_steps.get("discriminator", 0))
        weight = torch.full((), float(len(cache.real)), device=loss.device)
        return loss, {name: value.detach() for name, value in stats.items()}, weight

    def discriminator_loss(self, cache: BatchCache, stats: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the discriminators minimise."""
        loss_real, loss_fake = discriminate(self.discriminator, cache.real, cache.fake.detach(), self.adversarial)
        stats |= {"loss_d_real": loss_real, "loss_d_fake": loss_fake, "loss_d": loss_real + loss_fake}
        return loss_real + loss_fake

    def generator_loss(
        self, cache: BatchCache, stats: dict[str, torch.Tensor], adversarial: bool = True
    ) -> torch.Tensor:
        """What the generator minimises; without its adversarial part until the discriminators have started."""
        real, fake = cache.real[:, 0], cache.fake[:, 0].float()
        mel = nn.functional.l1_loss(self.loss_mel.whole(fake), self.loss_mel.whole(real))
        loss = self.lambda_mel * mel
        stats["mel_l1"] = mel
        if self.lambda_stft:
            stats["loss_stft"] = self.stft(fake, real)
            loss = loss + self.lambda_stft * stats["loss_stft"]
        if adversarial:
            maps = self.discriminator(cache.fake)
            stats["loss_g_adv"] = adversarial_generator(maps, self.adversarial)
            loss = loss + self.lambda_adv * stats["loss_g_adv"]
            if self.lambda_fm:
                with torch.no_grad():
                    target = self.discriminator(cache.real)
                stats["loss_g_fm"] = feature_matching(target, maps)
                loss = loss + self.lambda_fm * stats["loss_g_fm"]
        stats["loss_g"] = loss
        return loss

    @torch.no_grad()
    def generate(self, mel: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.ascontiguousarray(mel.T))[None].to(next(self.generator.parameters()).device)
        return self.generator(x)[0, 0].float().cpu().numpy()
