"""Speaker-condition layer norm (Wu et al. 2021, arXiv 2110.04153): a voice is the gain and the bias of a norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

TINY = 1e-8  # published as added to the deviation


class SCLN(nn.Module):
    """Layer norm over channels whose bias and gain are a linear function of a speaker vector.

    Args:
        channels: C >= 2, of the input.
        speaker_dim: of the speaker vector.
        gain_offset: added to the gain; 0 as published, where the gain is near 0 before training.
    """

    def __init__(self, channels: int, speaker_dim: int, gain_offset: float = 0.0):
        super().__init__()
        self.channels, self.gain_offset = channels, gain_offset
        self.affine = nn.Linear(speaker_dim, 2 * channels, bias=False)
        nn.init.xavier_uniform_(self.affine.weight)

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """[B, T, C], speaker vectors [B, speaker_dim] -> [B, T, C]: gain * (x - mean) / (deviation + 1e-8) + bias."""
        return self.norm(x, self.affine(s))

    def norm(self, x: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
        """The same, of what ``affine`` gives for the speakers: bias and gain [B, 2 * C].

        The deviation is that of a sample (C - 1), which is a factor on torch's layer norm: one pass over the frames
        instead of eight. There the small number stands in the root, as its square: no difference in float32 unless
        the deviation is below 0.01, and frames of zeros give the bias in both. Float32, under autocast too.
        """
        bias, gain = affine.float().unsqueeze(1).chunk(2, -1)
        y = F.layer_norm(x.float(), (self.channels,), eps=TINY**2)
        return torch.addcmul(bias, (gain + self.gain_offset) * (1 - 1 / self.channels) ** 0.5, y)


def affines(norms: Sequence[SCLN], s: torch.Tensor) -> list[torch.Tensor]:
    """Biases and gains [B, 2 * C] of several norms for speaker vectors [B, speaker_dim], by one product."""
    return F.linear(s, torch.cat([norm.affine.weight for norm in norms])).split([2 * n.channels for n in norms], -1)
