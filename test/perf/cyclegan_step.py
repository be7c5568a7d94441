#!/usr/bin/env python3
"""Time of a training step of CycleGAN (generator + discriminator update) against the published scheme, in one run.

The published scheme, straightforwardly: value and gate convolutions apart, every forward pass done anew (fakes again
for the discriminators, conversion and identity apart), gradients of all networks in both updates, torch's default
Adam, fp32, eager. Ours: evc2's networks, system and turns. Both start from the same weights and see the same crops;
their losses are compared over all steps. Prints one JSON line.
"""

import argparse
import contextlib
import copy
import json
import os
import platform
import time

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.conv import GatedConv1d, GatedConv2d, pad_same, pixel_shuffle_1d
from evc2.systems.cyclegan import CycleGAN
from evc2.train.options import resolve_amp
from evc2.train.trainer import only_this_turn

RATES = {"generator": 2e-4, "discriminator": 1e-4}  # learning rates


class Plain(nn.Module):
    """A gated block as two convolutions with two normalisations, from a fused one."""

    def __init__(self, fused: GatedConv1d | GatedConv2d):
        super().__init__()
        self.two_d = isinstance(fused, GatedConv2d)
        self.kernel = fused.kernel if self.two_d else (fused.kernel,)
        self.stride = fused.stride if self.two_d else (fused.stride,)
        self.shuffle = getattr(fused, "shuffle", 1)
        half = fused.conv.out_channels // 2
        make = nn.Conv2d if self.two_d else nn.Conv1d
        self.convs = nn.ModuleList(make(fused.conv.in_channels, half, self.kernel, self.stride) for _ in "vg")
        self.norms = nn.ModuleList(self.norm(fused.norm, half // self.shuffle) for _ in "vg")
        for i in range(2):
            part = slice(i * half, (i + 1) * half)
            self.convs[i].weight.data.copy_(fused.conv.weight.data[part])
            self.convs[i].bias.data.copy_(fused.conv.bias.data[part])

    def norm(self, fused: nn.Module, channels: int) -> nn.Module:
        if isinstance(fused, nn.Identity):
            return nn.Identity()
        if isinstance(fused, nn.GroupNorm):
            return nn.GroupNorm(1, channels, eps=fused.eps)
        return (nn.InstanceNorm2d if self.two_d else nn.InstanceNorm1d)(channels, eps=1e-6, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = conv(pad_same(x, self.kernel, self.stride))
            out.append(norm(pixel_shuffle_1d(y, self.shuffle) if self.shuffle > 1 else y))
        return out[0] * out[1].sigmoid()


def unfuse(module: nn.Module) -> nn.Module:
    """Replace every gated block by the plain one."""
    for name, child in module.named_children():
        setattr(module, name, Plain(child) if isinstance(child, GatedConv1d | GatedConv2d) else unfuse(child))
    return module


class Published:
    """The straightforward step."""

    def __init__(self, model: CycleGAN):
        self.m = unfuse(model)
        self.optimizers = {
            t: torch.optim.Adam(list(model.turn_parameters(t)), lr, betas=(0.5, 0.999)) for t, lr in RATES.items()
        }

    def step(self, a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
        m = self.m
        fake_b, fake_a = m.G_AB(a), m.G_BA(b)
        cycle = F.l1_loss(m.G_BA(fake_b), a) + F.l1_loss(m.G_AB(fake_a), b)
        identity = F.l1_loss(m.G_BA(a), a) + F.l1_loss(m.G_AB(b), b)
        adversarial = (m.D_B(fake_b)[0] - 1).square().mean() + (m.D_A(fake_a)[0] - 1).square().mean()
        loss_g = adversarial + 10 * cycle + 5 * identity
        fakes = m.G_BA(b).detach(), m.G_AB(a).detach()  # before the step: the published order
        for o in self.optimizers.values():
            o.zero_grad()
        loss_g.backward()
        self.optimizers["generator"].step()
        loss_d = sum(
            0.5 * ((net(real)[0] - 1).square().mean() + net(fake)[0].square().mean())
            for net, real, fake in ((m.D_A, a, fakes[0]), (m.D_B, b, fakes[1]))
        )
        self.optimizers["discriminator"].zero_grad()
        loss_d.backward()
        self.optimizers["discriminator"].step()
        return loss_g.item(), loss_d.item()


class Ours:
    """The step as evc2's trainer makes it."""

    rates = RATES

    def __init__(self, model: CycleGAN, dtype: str, compiled: bool, device: str):
        self.m, self.dtype, self.device = model, dtype, device
        self.optimizers = [
            torch.optim.Adam(list(model.turn_parameters(t)), self.rates[t], betas=(0.5, 0.999), fused=True)
            for t in model.turns
        ]
        if compiled:
            for network in model.networks().values():
                network.compile()

    def autocast(self):
        if self.dtype == "none":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.dtype))

    def step(self, a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
        return self.turns({"A": a.transpose(1, 2), "B": b.transpose(1, 2)})

    def turns(self, batch: dict[str, torch.Tensor]) -> tuple[float, float]:
        """Every turn of the model on a batch; their losses."""
        cache, losses = self.m.begin_batch(0, batch), []
        for turn, optimizer in zip(self.m.turns, self.optimizers, strict=True):
            only_this_turn(self.m, turn)
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss, _, _ = self.m(turn=turn, cache=cache, **batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return losses[0].item(), losses[1].item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--channels", type=int, default=128, help="width of the first layer")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--amp_dtype", nargs="+", default=["none", "auto"], help="variants of ours")
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    conf = {"channels": args.channels}
    start = CycleGAN(power="network", generator=conf, discriminator=conf).to(args.device)
    names = dict.fromkeys(resolve_amp(d, int(args.device == "cuda")) for d in args.amp_dtype)
    runs = {"published": Published(copy.deepcopy(start))}
    for dtype in names:
        runs[f"ours_{dtype}"] = Ours(copy.deepcopy(start), dtype, False, args.device)
        if args.compile:
            runs[f"ours_{dtype}_compile"] = Ours(copy.deepcopy(start), dtype, True, args.device)
    seconds, losses = {k: [] for k in runs}, {k: [] for k in runs}
    for i in range(args.warmup + args.steps):  # interleaved: another load on the machine meets all alike
        a, b = (torch.randn(args.batch, 24, args.frames, device=args.device) for _ in "ab")
        for name, run in runs.items():
            if args.device == "cuda":
                torch.cuda.synchronize()
            clock = time.perf_counter()
            losses[name].append(run.step(a, b))
            if i >= args.warmup:
                seconds[name].append(time.perf_counter() - clock)
    median = {k: sorted(v)[len(v) // 2] for k, v in seconds.items()}
    base = losses["published"]
    off = {
        k: max(abs(x - y) / abs(y) for one, two in zip(v, base, strict=True) for x, y in zip(one, two, strict=True))
        for k, v in losses.items()
    }
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "")
    print(
        json.dumps(
            {
                "what": "cyclegan_step",
                "channels": args.channels,
                "batch": args.batch,
                "frames": args.frames,
                "steps": args.steps,
                "threads": torch.get_num_threads(),
                "device": torch.cuda.get_device_name() if args.device == "cuda" else cpu or platform.processor(),
                "bf16_units": resolve_amp("auto", int(args.device == "cuda")) == "bfloat16",
                "load": os.getloadavg()[0],
                "seconds": {k: round(v, 4) for k, v in median.items()},
                "times_faster": {k: round(median["published"] / v, 2) for k, v in median.items()},
                "largest_relative_loss_difference": {k: float(f"{v:.2g}") for k, v in off.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
