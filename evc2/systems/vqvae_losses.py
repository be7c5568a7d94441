"""Losses of the VQ-VAE with a MelGAN, and what holds a network still while others learn from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evc2.losses.vocoder import adversarial_generator, feature_matching


@dataclass(frozen=True)
class AdversaryRamp:
    """Weight of the adversary over the steps: min(floor(step / every) * size, max), as published.

    Attributes:
        max: published: 0.1, later 0.05.
        every, size: the weight grows by ``size`` every so many steps (published: 0.001 every 100,000).
    """

    max: float = 0.1
    every: int = 100000
    size: float = 0.001

    def __call__(self, step: int) -> float:
        return min(step // self.every * self.size, self.max)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: float) -> torch.Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.weight * gradient, None


def reverse_gradient(x: torch.Tensor, weight: float) -> torch.Tensor:
    """x itself, whose gradient is multiplied by -weight. Source: Ganin et al. (arXiv 1505.07818), sec. 4.2."""
    return _Reverse.apply(x, weight)


@contextmanager
def held(net: nn.Module) -> Iterator[None]:
    """Within the block a network lets gradients through, but neither its weights nor its statistics learn."""
    mode, before = net.training, [p.requires_grad for p in net.parameters()]
    net.eval().requires_grad_(False)
    try:
        yield
    finally:
        net.train(mode)
        for parameter, needed in zip(net.parameters(), before, strict=True):
            parameter.requires_grad_(needed)


def melgan_generator(net: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Adversarial loss of all generated speech [N, 1, n] and feature matching of its first B with the recordings
    [B, 1, n] that they were made of. Source: MelGAN, eq. 2 and 3.
    """
    maps = net(fake)
    with torch.no_grad():
        target = net(real)
    own = [[m[: len(real)] for m in one] for one in maps]
    return adversarial_generator(maps, "hinge"), feature_matching(target, own)
