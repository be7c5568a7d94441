#!/usr/bin/env python3
"""Time of a training step of HiFi-GAN (discriminator + generator update) against the usual scheme, in one run.

The usual scheme, as espnet2's GAN-TTS models with their default options: each turn runs the generator anew, real and
generated speech go through the discriminators apart, gradients reach the weights of all networks in both updates,
torch's default AdamW; espnet2's own loss classes. Ours: evc2's training class and turns. Both start from the same
weights and see the same crops. The first scale discriminator has a spectral norm, whose estimate moves with every
pass; --spectral_norm false leaves it out, so that the losses can be compared to the last digits. Prints one JSON line.
"""

import argparse
import contextlib
import json
import os
import time

import torch
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)
from torch.nn import functional as F

from evc2.cli import parse_bool
from evc2.feats.contract import FeatureContract
from evc2.systems.gan_vocoder import GANVocoder
from evc2.train.options import resolve_amp
from evc2.train.trainer import only_this_turn
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


class Ours:
    """The turns as the trainer makes them."""

    def __init__(self, model: GANVocoder, dtype: str, compiled: bool, device: str):
        self.m, self.dtype, self.device = model, dtype, device
        kwargs = {"lr": 2e-4, "betas": (0.8, 0.99), "fused": True}
        self.optimizers = [torch.optim.AdamW(model.turn_parameters(turn), **kwargs) for turn in model.turns]
        if compiled:
            for net in model.networks().values():
                net.compile()

    def autocast(self):
        if self.dtype == "none":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.dtype))

    def step(self, wav: torch.Tensor) -> tuple[float, float]:
        with self.autocast():
            cache, losses = self.m.begin_batch(0, {"wav": wav}), []
        for turn, optimizer in zip(self.m.turns, self.optimizers, strict=True):
            only_this_turn(self.m, turn)
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss, _, _ = self.m(turn=turn, cache=cache, wav=wav)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        for parameter in self.m.parameters():
            parameter.requires_grad_(True)
        return losses[0].item(), losses[1].item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--version", default="v1", choices=("v1", "v2", "v3"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=32, help="of 256 samples")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each")
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--spectral_norm", type=parse_bool, default=True, help="as published")
    parser.add_argument("--amp_dtype", nargs="+", default=["none", "auto"], help="variants of ours")
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
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

    runs = {"usual": Usual(same())}
    for dtype in dict.fromkeys(resolve_amp(d, int(args.device == "cuda")) for d in args.amp_dtype):
        runs[f"ours_{dtype}"] = Ours(same(), dtype, False, args.device)
        if args.compile:
            runs[f"ours_{dtype}_compile"] = Ours(same(), dtype, True, args.device)
    seconds, losses = {k: [] for k in runs}, {k: [] for k in runs}
    for i in range(args.warmup + args.steps):  # interleaved: another load on the machine meets all alike
        wav = 0.1 * torch.randn(args.batch, (args.frames - 1) * contract.hop + contract.n_fft, device=args.device)
        for name, run in runs.items():
            if args.device == "cuda":
                torch.cuda.synchronize()
            clock = time.perf_counter()
            losses[name].append(run.step(wav))
            if i >= args.warmup:
                seconds[name].append(time.perf_counter() - clock)
    median = {k: sorted(v)[len(v) // 2] for k, v in seconds.items()}
    off = {
        k: max(abs(x - y) / abs(y) for a, b in zip(v, losses["usual"], strict=True) for x, y in zip(a, b, strict=True))
        for k, v in losses.items()
    }
    print(
        json.dumps(
            {
                "what": "hifigan_step",
                "version": args.version,
                "batch": args.batch,
                "samples": args.frames * contract.hop,
                "steps": args.steps,
                "spectral_norm": args.spectral_norm,
                "threads": torch.get_num_threads(),
                "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
                "load": os.getloadavg()[0],
                "seconds": {k: round(v, 3) for k, v in median.items()},
                "times_faster": {k: round(median["usual"] / v, 2) for k, v in median.items()},
                "largest_relative_loss_difference": {k: float(f"{v:.2g}") for k, v in off.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
