"""How sample-by-sample networks write amplitudes: mu-law labels, and drawing the next sample from a distribution.

Sources: ITU-T G.711 for the companding curve; Salimans et al., "PixelCNN++" (arXiv 1701.05517), section 2.1, for the
mixture of logistics.
"""

from __future__ import annotations

import math

import torch

#: Narrowest scale of a logistic, as a natural log: far below the distance of two 16-bit levels.
LOG_SCALE_MIN = math.log(1e-14)


def encode_mu_law(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Compress amplitudes to labels.

    With M = 2 ** bits - 1: f = sign(x) ln(1 + M |x|) / ln(1 + M), label = floor((f + 1) / 2 M + 0.5).

    Args:
        x: amplitudes, any shape; values beyond [-1, 1] are clipped.
        bits: of a label.

    Returns:
        int64 labels in 0 ... M.
    """
    top = 2**bits - 1
    x = x.clamp(-1, 1)
    compressed = x.sign() * torch.log1p(top * x.abs()) / math.log(2**bits)
    return torch.floor((compressed + 1) / 2 * top + 0.5).long()


def label_to_float(labels: torch.Tensor, bits: int) -> torch.Tensor:
    """Labels 0 ... 2 ** bits - 1 to float32 in [-1, 1], equally spaced (still compressed): what the network reads."""
    return 2 * labels.float() / (2**bits - 1) - 1


def float_to_label(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Inverse of :func:`label_to_float`: the nearest label; values beyond [-1, 1] are clipped."""
    return torch.round((x.clamp(-1, 1) + 1) / 2 * (2**bits - 1)).long()


def expand_mu_law(y: torch.Tensor, bits: int) -> torch.Tensor:
    """Compressed values in [-1, 1] to amplitudes: with M = 2 ** bits - 1, x = sign(y) ((1 + M) ** |y| - 1) / M."""
    return y.sign() * torch.expm1(y.abs() * math.log(2**bits)) / (2**bits - 1)


def decode_mu_law(labels: torch.Tensor, bits: int) -> torch.Tensor:
    """Labels 0 ... 2 ** bits - 1 to amplitudes in [-1, 1], the inverse of :func:`encode_mu_law` up to rounding."""
    return expand_mu_law(label_to_float(labels, bits), bits)


def draw_label(logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Draw classes by inversion: the first class at which the cumulated probability exceeds the random number.

    Args:
        logits: [B, C].
        uniform: [B, 1] in [0, 1).

    Returns:
        int64 [B, 1]; the same for the same logits and random number, whatever the other rows are.
    """
    cumulated = torch.softmax(logits, dim=1).cumsum(dim=1)
    below = cumulated[:, :-1] <= uniform  # rounding may leave the last sum below 1: the last class takes the rest
    return below.sum(dim=1, keepdim=True)


def draw_mixture(parameters: torch.Tensor, uniform: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Draw amplitudes from a mixture of logistics, both times by inversion.

    Args:
        parameters: [B, 3 K]: K unnormalised log weights, K means, K log scales.
        uniform: [B, 2] in [0, 1): for the component and for the value.
        temperature: divides the log weights and multiplies the scales.

    Returns:
        [B, 1] in [-1, 1].
    """
    weights, means, log_scales = parameters.chunk(3, dim=1)
    component = draw_label(weights / temperature, uniform[:, :1])
    mean, log_scale = means.gather(1, component), log_scales.gather(1, component).clamp(min=LOG_SCALE_MIN)
    u = uniform[:, 1:].clamp(1e-5, 1 - 1e-5)  # keeps the tails finite
    return (mean + temperature * log_scale.exp() * (u.log() - torch.log1p(-u))).clamp(-1, 1)


def draw(output: torch.Tensor, uniform: torch.Tensor, mode: str, bits: int, temperature: float) -> torch.Tensor:
    """Next samples [B, 1] as a network of that mode ("raw" or "mol") reads them, from its outputs [B, classes]."""
    if mode == "mol":
        return draw_mixture(output, uniform, temperature)
    return label_to_float(draw_label(output / temperature, uniform), bits)
