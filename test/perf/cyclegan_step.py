#!/usr/bin/env python3
"""Time of a training step of CycleGAN (generator + discriminator update) against the published scheme, in one run.

The published scheme, straightforwardly: value and gate convolutions apart, every forward pass done anew (fakes again
for the discriminators, conversion and identity apart), gradients of all networks in both updates, torch's default
Adam, fp32, eager. Ours: evc2's networks, system and turns. Both start from the same weights and see the same crops;
their losses are compared over all steps. Prints a JSON line for the time and one for the peak memory of each form.
"""

import argparse
import copy

import torch
from side_by_side import Step, add_step_arguments, compare_steps
from torch import nn
from torch.nn import functional as F
from turns import Turns

from evc2.nets.layers.conv import GatedConv1d, GatedConv2d, pad_same, pixel_shuffle_1d
from evc2.systems.cyclegan import CycleGAN
from evc2.train.abs_model import AbsTurnModel
from evc2.train.options import resolve_amp

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


def adam_turns(model: AbsTurnModel, dtype: str, compiled: bool, device: str, rates: dict[str, float] = RATES) -> Turns:
    """The step as evc2's trainer makes it, with fused Adam."""
    optimizers = [
        torch.optim.Adam(list(model.turn_parameters(t)), rates[t], betas=(0.5, 0.999), fused=True) for t in model.turns
    ]
    return Turns(model, optimizers, dtype, compiled, device)


def on_pairs(turns: Turns) -> Step:
    """The step of turns on crops [B, D, T] of two domains."""
    return lambda a, b: turns({"A": a.transpose(1, 2), "B": b.transpose(1, 2)})


def variants(dtypes: list[str], compiled: bool, device: str) -> list[tuple[str, str, bool]]:
    """Name, type of autocast and whether compiled of each form of ours."""
    found = dict.fromkeys(resolve_amp(dtype, int(device.startswith("cuda"))) for dtype in dtypes)
    return [(f"ours_{d}{'_compile' * c}", d, bool(c)) for d in found for c in range(1 + compiled)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--channels", type=int, default=128, help="width of the first layer")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--amp_dtype", nargs="+", default=["none", "auto"], help="variants of ours")
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    add_step_arguments(parser, steps=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    conf = {"channels": args.channels}
    start = CycleGAN(power="network", generator=conf, discriminator=conf).to(args.device)
    forms = {"published": lambda: Published(copy.deepcopy(start)).step}
    for name, dtype, compiled in variants(args.amp_dtype, args.compile, args.device):
        forms[name] = lambda d=dtype, c=compiled: on_pairs(adam_turns(copy.deepcopy(start), d, c, args.device))

    def draw() -> tuple[torch.Tensor, ...]:
        return tuple(torch.randn(args.batch, 24, args.frames, device=args.device) for _ in "ab")

    case = f"{args.channels} channels, batch {args.batch}, {args.frames} frames"
    compare_steps("cyclegan_step", case, forms, draw, args)


if __name__ == "__main__":
    main()
