#!/usr/bin/env python3
"""Time of a training step of the VAE-GAN (two speakers, all terms, both discriminators) against the published scheme.

The published scheme, straightforwardly: torch's modules in their usual memory order, an encoder pass for each speaker,
a generator pass for each decoding, gradients of all networks in the generators' update, real and fake apart in the
discriminators', an optimizer for each of them, torch's default Adam, fp32, eager. Ours: evc2's system and turns as the
trainer runs them. Both start from the same weights and see the same crops and noise; their losses are compared over all
steps. Interleaved in one process. Prints a JSON line for the time and one for the peak memory of each form.
"""

import argparse
import sys
from pathlib import Path

import torch
from cyclegan_step import adam_turns, variants
from side_by_side import Step, add_step_arguments, compare_steps
from torch.nn import functional as F

from evc2.systems.vaegan import VAEGAN

sys.path.insert(0, str(Path(__file__).parents[1] / "nets"))
from plain_vaegan import plain

ADAM = {"lr": 1e-4, "betas": (0.5, 0.999)}


def copy_weights(ours: list[torch.nn.Module], theirs: torch.nn.Module) -> torch.nn.Module:
    """Give the plain network the weights of the same layers of ours."""
    pairs = zip([p for net in ours for p in net.parameters()], theirs.parameters(), strict=True)
    for a, b in pairs:
        b.data.copy_(a.data)
    return theirs


class Published:
    """The straightforward step."""

    def __init__(self, model: VAEGAN, device: str):
        self.encoder = copy_weights([model.encoder], plain("encoder")).to(device)
        self.G = [copy_weights([model.shared, g], plain("generator")).to(device) for g in model.G]
        self.G[1][0] = self.G[0][0]  # the shared block
        self.D = [copy_weights([d], plain("discriminator", 64)).to(device) for d in model.D]
        parts = {id(p): p for net in (self.encoder, *self.G) for p in net.parameters()}
        self.optimizer = torch.optim.Adam(parts.values(), **ADAM)
        self.optimizers = [torch.optim.Adam(d.parameters(), **ADAM) for d in self.D]

    def encode(self, x: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        mu = [self.encoder(v) for v in x]
        both = torch.empty_like(torch.cat(mu), memory_format=torch.channels_last)
        return mu, [m + n for m, n in zip(mu, both.normal_().chunk(2), strict=True)]  # drawn as ours draws it

    def step(self, *x: torch.Tensor) -> tuple[float, float]:
        self.optimizer.zero_grad()
        mu, z = self.encode(x)
        own, fake = [self.G[i](z[i]) for i in (0, 1)], [self.G[0](z[1]), self.G[1](z[0])]
        back, z_back = self.encode(fake)
        cycle = [self.G[0](z_back[1]), self.G[1](z_back[0])]
        loss = sum(10 * F.mse_loss(s, torch.ones_like(s)) for s in (self.D[i](fake[i]) for i in (0, 1)))
        loss = loss + sum(0.1 * m.square().mean() for m in mu + back)
        loss = loss + sum(100 * F.l1_loss(own[i], x[i]) + 100 * F.l1_loss(cycle[i], x[i]) for i in (0, 1))
        loss = loss + 10 * F.l1_loss(mu[0].mean(0), mu[1].mean(0))
        loss.backward()
        self.optimizer.step()
        total = 0.0
        for i in (0, 1):
            self.optimizers[i].zero_grad()
            real, fakes = self.D[i](x[i]), self.D[i](fake[i].detach())
            loss_d = F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fakes, torch.zeros_like(fakes))
            loss_d.backward()
            self.optimizers[i].step()
            total += loss_d.item()
        return loss.item(), total


def ours(model: VAEGAN, dtype: str, compiled: bool, device: str) -> Step:
    """The step as evc2's trainer makes it."""
    model.sources = lambda step: {0: 1, 1: 0}  # no draw, as the published order of two speakers
    turns = adam_turns(model, dtype, compiled, device, dict.fromkeys(model.turns, ADAM["lr"]))
    return lambda *x: turns({"feats": torch.stack(x, 1)[:, :, 0].transpose(2, 3)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 128], help="mel bands and frames")
    parser.add_argument("--amp_dtype", nargs="+", default=["none", "auto"], help="variants of ours")
    parser.add_argument("--compile", action="store_true", help="also ours with torch.compile")
    add_step_arguments(parser, steps=5)
    args = parser.parse_args()

    def model() -> VAEGAN:
        torch.manual_seed(0)
        return VAEGAN(domains=["a", "b"], generator={"out": "tanh"}).to(args.device).train()

    forms = {"published": lambda: Published(model(), args.device).step}
    for name, dtype, compiled in variants(args.amp_dtype, args.compile, args.device):
        forms[name] = lambda d=dtype, c=compiled: ours(model(), d, c, args.device)

    def draw() -> tuple[torch.Tensor, ...]:
        return tuple(torch.rand(args.batch, 1, *args.size).to(args.device) for _ in range(2))

    case = f"batch {args.batch}, {args.size[0]} bands, {args.size[1]} frames"
    compare_steps("vaegan_step", case, forms, draw, args)


if __name__ == "__main__":
    main()
