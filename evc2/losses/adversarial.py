"""Adversarial losses."""

import torch
from torch.nn import functional as F


def lsgan_generator(fake: torch.Tensor) -> torch.Tensor:
    """Least-squares generator loss, mean((D(G(x)) - 1)^2). Source: Mao et al., arXiv 1611.04076, eq. 9 (a=0, b=c=1)."""
    return (fake.float() - 1).square().mean()


def lsgan_discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Least-squares discriminator loss, 0.5 (mean((D(x) - 1)^2) + mean(D(G(x))^2)). Source: arXiv 1611.04076, eq. 9."""
    return 0.5 * ((real.float() - 1).square().mean() + fake.float().square().mean())


def class_loss(logits: torch.Tensor, label: int) -> torch.Tensor:
    """Cross-entropy of a batch whose utterances all have one label."""
    return F.cross_entropy(logits.float(), torch.full((len(logits),), label, device=logits.device))
