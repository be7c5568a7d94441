"""Losses of WaveRNN: cross-entropy of mu-law classes, and the discretised mixture of logistics.

Source of the mixture: Salimans et al., "PixelCNN++" (arXiv 1701.05517), section 2.1. The sample codes themselves live
beside the networks, because generation needs them too.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from evc2.nets.layers.sample_codes import (
    LOG_SCALE_MIN,
    decode_mu_law,
    draw_label,
    draw_mixture,
    encode_mu_law,
    float_to_label,
    label_to_float,
)

__all__ = [
    "LEVELS",
    "class_loss",
    "decode_mu_law",
    "draw_label",
    "draw_mixture",
    "encode_mu_law",
    "float_to_label",
    "label_to_float",
    "mixture_log_prob",
    "mixture_loss",
    "teacher_forcing",
    "wavernn_loss",
]

#: Amplitude levels of the mixture output (16 bits).
LEVELS = 65536


def teacher_forcing(wav: torch.Tensor, mode: str, bits: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of one training step.

    Args:
        wav: amplitudes [B, N + 1]: one sample of history, then the N samples to predict.
        mode: "raw" or "mol".
        bits: of the mu-law labels ("raw").

    Returns:
        Inputs [B, N], float32 in [-1, 1]; targets [B, N]: int64 labels (raw), or amplitudes on 16-bit levels (mol).
    """
    if mode == "raw":
        labels = encode_mu_law(wav, bits)
        return label_to_float(labels[:, :-1], bits), labels[:, 1:]
    values = label_to_float(float_to_label(wav, 16), 16)
    return values[:, :-1], values[:, 1:]


def wavernn_loss(output: torch.Tensor, target: torch.Tensor, mode: str) -> torch.Tensor:
    """Mean negative log likelihood of a sample, in nats: output [B, N, classes], target as of teacher_forcing."""
    return mixture_loss(output, target) if mode == "mol" else class_loss(output, target)


def class_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of labels [B, N] under logits [B, N, classes]: the mean over samples, in nats."""
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def mixture_loss(parameters: torch.Tensor, target: torch.Tensor, levels: int = LEVELS) -> torch.Tensor:
    """Mean negative log probability, in nats, of levels under the discretised mixture of logistics.

    Args:
        parameters: [B, N, 3 K]: K unnormalised log weights, K means, K log scales.
        target: [B, N], amplitudes in [-1, 1].
        levels: equally spaced amplitudes from -1 to 1.
    """
    return -mixture_log_prob(parameters, target, levels).mean()


def mixture_log_prob(parameters: torch.Tensor, target: torch.Tensor, levels: int = LEVELS) -> torch.Tensor:
    """Log probability [B, N] of each target's level; the outermost levels take the tails, so that all sum to 1.

    A level's probability under one logistic is sigmoid(a) - sigmoid(b), with a and b the upper and lower edge in units
    of the scale. Its logarithm is -softplus(-a) - softplus(b) + log(1 - exp(b - a)), and a - b is known without
    subtraction, so nothing cancels and no density has to stand in for narrow levels.
    """
    weights, means, log_scales = parameters.float().chunk(3, dim=-1)
    inverse = torch.exp(-log_scales.clamp(min=LOG_SCALE_MIN))
    half = 1 / (levels - 1)  # half the distance of two levels
    target = target.unsqueeze(-1)
    upper, lower = (target - means + half) * inverse, (target - means - half) * inverse
    below_upper, above_lower = F.logsigmoid(upper), F.logsigmoid(-lower)
    inside = below_upper + above_lower + torch.log(-torch.expm1(-2 * half * inverse))
    log_prob = torch.where(target > 1 - half, above_lower, torch.where(target < -1 + half, below_upper, inside))
    return torch.logsumexp(F.log_softmax(weights, dim=-1) + log_prob, dim=-1)
