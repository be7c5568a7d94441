#!/usr/bin/env python3
"""Time of a training step of HiFi-GAN (discriminator + generator update) against the usual scheme, in one run.

The usual scheme, as espnet2's GAN-TTS models with their default options: each turn runs the generator anew, real and
generated speech go through the discriminators apart, gradients reach the weights of all networks in both updates,
torch's default AdamW; espnet2's own loss classes. Ours: evc2's training class and turns. Both start from the same
weights and see the same crops. The first scale discriminator has a spectral norm, whose estimate moves with every
pass; --spectral_norm false leaves it out, so that the losses can be compared to the last digits. Prints a JSON line
for the time and one for the peak memory of each form.
"""

import argparse

import torch
from cyclegan_step import variants
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)
from side_by_side import Step, add_step_arguments, compare_steps
from torch.nn import functional as F
from turns import Turns

from evc2.cli import parse_bool
from evc2.feats.contract import FeatureContract
from evc2.systems.gan_vocoder import GANVocoder
from evc2.vocoder.formats.hifigan import SPECTROGRAM


class Usual:
    """Every turn forwards everything anew."""

    def __init__(self, model: GANVocoder):
        self.m = model
        self.d_loss = DiscriminatorAdversarialLoss(average_by_discriminators=False)
        self.g_loss = GeneratorAdversarialLoss(average_by_discriminators=False)
        self.fm_loss = FeatureMatchLoss(average_by_layers=False, average_by_discriminators=False)
        kwargs = {"lr": 2e-4, "betas": (0.8, 0.99)}
        self.d_opt = torch.optim.AdamW(model.discriminator.parameters(), **kwargs)
        self.g_opt = torch.optim.AdamW(model.generator.parameters(), **kwargs)

    def step(self, wav: torch.Tensor) -> tuple[float, float]:
        m = self.m
        mel, real = m.inputs(wav)
        real = real[:, None]
        fake = m.generator(mel)
        maps_fake = m.discriminator(fake.detach())
        maps_real = m.discriminator(real)
        d = sum(self.d_loss(maps_fake, maps_real))
        self.d_opt.zero_grad()
        d.backward()
        self.d_opt.step()
        fake = m.generator(mel)
        maps_fake = m.discriminator(fake)
        with torch.no_grad():
            maps_real = m.discriminator(real)
        mel_loss = F.l1_loss(m.loss_mel.whole(fake[:, 0]), m.loss_mel.whole(real[:, 0]))
        g = self.g_loss(maps_fake) + 2.0 * self.fm_loss(maps_fake, maps_real) + 45.0 * mel_loss
        self.g_opt.zero_grad()
        g.backward()
        self.g_opt.step()
        return d.item(), g.item()


def ours(model: GANVocoder, dtype: str, compiled: bool, device: str) -> Step:
    """The turns as the trainer makes them."""
    kwargs = {"lr": 2e-4, "betas": (0.8, 0.99), "fused": True}
    optimizers = [torch.optim.AdamW(model.turn_parameters(turn), **kwargs) for turn in model.turns]
    turns = Turns(model, optimizers, dtype, compiled, device)
    return lambda wav: turns({"wav": wav})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--version", default="v1", choices=("v1", "v2", "v3"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=32, help="of 256 samples")
    parser.add_argument("--spectral_norm", type=parse_bool, default=True, help="as published")
    parser.add_argument("--amp_dtype", nargs="+", default=["none", "auto"], help="variants of ours")
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    add_step_arguments(parser, steps=3, warmup=1)
    args = parser.parse_args()
    contract = FeatureContract.from_dict(SPECTROGRAM)
    norm = {} if args.spectral_norm else {"follow_official_norm": False, "scale_discriminator_params": {
        "in_channels": 1, "out_channels": 1, "kernel_sizes": [15, 41, 5, 3], "channels": 128,
        "max_downsample_channels": 1024, "max_groups": 16, "bias": True, "downsample_scales": [2, 2, 4, 4, 1],
        "nonlinear_activation": "LeakyReLU", "nonlinear_activation_params": {"negative_slope": 0.1},
        "use_weight_norm": True}}  # fmt: skip

    def same() -> GANVocoder:  # weight norm forbids copies
        torch.manual_seed(0)
        return GANVocoder(contract, "hifigan", {"version": args.version}, norm).to(args.device)

    forms = {"usual": lambda: Usual(same()).step}
    for name, dtype, compiled in variants(args.amp_dtype, args.compile, args.device):
        forms[name] = lambda d=dtype, c=compiled: ours(same(), d, c, args.device)

    def draw() -> tuple[torch.Tensor]:
        return (0.1 * torch.randn(args.batch, (args.frames - 1) * contract.hop + contract.n_fft, device=args.device),)

    case = f"{args.version}, batch {args.batch}, {args.frames * contract.hop} samples"
    compare_steps("hifigan_step", case, forms, draw, args, spectral_norm=args.spectral_norm)


if __name__ == "__main__":
    main()
