"""Losses and figures of sequence-to-sequence systems: equal spaces of text and audio, attention, ends."""

import torch
from torch.nn import functional as F


def masked_mean(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of ``x`` [B, ...] where ``mask`` (of its shape, or of its first dimensions) is True: []."""
    weight = mask.reshape(mask.shape + (1,) * (x.dim() - mask.dim())).to(x.dtype)
    return (torch.where(weight > 0, x, 0)).sum() / weight.expand_as(x).sum().clamp(min=1)


def contrastive(text: torch.Tensor, audio: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pull the two vectors of a phone together, push those of different places of an utterance apart: [].

    Source: Zhang, Ling and Dai (arXiv 1906.10508), eq. 4 to 6: with d_ij the squared distance of the directions of text
    vector i and audio vector j, the mean over all pairs of an utterance of d_ii, or of max(1 - d_ij, 0) for i != j.

    Args:
        text, audio: [B, N, C].
        mask: [B, N], True where there is a phone.
    """
    a, b = F.normalize(text.float(), dim=2), F.normalize(audio.float(), dim=2)
    with torch.autocast(a.device.type, enabled=False):  # small distances are differences of numbers near 1
        distance = (2 - 2 * a @ b.transpose(1, 2)).clamp(min=0)
    same = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    pairs = mask[:, :, None] & mask[:, None, :]
    return masked_mean(torch.where(same, distance, (1 - distance).clamp(min=0)), pairs)


def undecided(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How far a classifier's posteriors are from saying nothing: mean squared difference to 1 / classes: [].

    Args:
        logits: [B, N, classes].
        mask: [B, N].
    """
    return masked_mean((logits.float().softmax(-1) - 1 / logits.shape[-1]).square(), mask)


def class_error(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross entropy [] and share of right answers [] where there is a label (-1: none) and the mask is True.

    Args:
        logits: [B, ..., classes].
        labels: [B, ...].
        mask: [B, ...].
    """
    mask = mask & (labels >= 0)
    each = F.cross_entropy(logits.float().flatten(0, -2), labels.clamp(min=0).flatten(), reduction="none")
    right = (logits.argmax(-1) == labels).float()
    return masked_mean(each.view(labels.shape), mask), masked_mean(right, mask)


def end_targets(lengths: torch.Tensor, steps: int, reduction: int) -> torch.Tensor:
    """[B, steps]: 1 from the step on that holds the last frame of ``lengths`` [B], else 0."""
    last = (lengths + reduction - 1) // reduction - 1
    return (torch.arange(steps, device=lengths.device) >= last[:, None]).float()


def from_diagonal(
    weights: torch.Tensor, text_lengths: torch.Tensor, steps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far from the straight line each weight lies, and which weights count.

    Args:
        weights: attention [B, S, N] of S steps to N places.
        text_lengths, steps: [B], places and steps of each item.

    Returns:
        n / N - s / S [B, S, N], with n and s at the middle of their places, and a mask of the same shape.
    """
    _, size, places = weights.shape
    s = (torch.arange(size, device=weights.device) + 0.5) / steps[:, None]
    n = (torch.arange(places, device=weights.device) + 0.5) / text_lengths[:, None]
    return n[:, None, :] - s[:, :, None], (s < 1)[:, :, None] & (n < 1)[:, None, :]


def guided_attention(
    weights: torch.Tensor, text_lengths: torch.Tensor, steps: torch.Tensor, width: float = 0.4
) -> torch.Tensor:
    """Attention that lies off the diagonal: [], the sum of weights times 1 - exp(-d^2 / (2 g^2)), a step.

    Source: Tachibana, Uenoyama and Aihara (arXiv 1710.08969), eq. 6, there as a mean over all cells; here the weight of
    a step counts once, so that the loss of long texts is not smaller.

    Args:
        weights, text_lengths, steps: see :func:`from_diagonal`, which gives d.
        width: g.
    """
    gap, there = from_diagonal(weights, text_lengths, steps)
    far = 1 - torch.exp(-gap.square() / (2 * width**2))
    return (weights.float() * far * there).sum() / steps.sum()


BAND = 0.15


def diagonality(weights: torch.Tensor, text_lengths: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Share of the attention [B] within a band around the diagonal, |n / N - s / S| <= 0.15 (BAND).

    Evenly spread attention has about 0.28, whatever the sizes; a network that reads aloud at an even rate 1. Below 0.5
    nothing is aligned.

    Args:
        weights, text_lengths, steps: see :func:`from_diagonal`.
    """
    gap, there = from_diagonal(weights, text_lengths, steps)
    return (weights.float() * ((gap.abs() <= BAND) & there)).sum((1, 2)) / steps
