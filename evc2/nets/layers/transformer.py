"""Blocks of feed-forward Transformers (FFT; Ren et al., "FastSpeech", arXiv 1905.09263, sec. 3.1)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.dropout import Dropout


def sinusoids(rows: int, size: int) -> torch.Tensor:
    """Table [rows, size] of positions (Vaswani et al., arXiv 1706.03762, sec. 3.5): sine in even columns, cosine in
    odd ones.
    """
    angles = torch.arange(rows)[:, None] * torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :size]


class SinusoidPositions(nn.Module):
    """Adds to [B, L, size] its positions. The table is fixed, but kept (and counted) as a parameter, as published.

    Args:
        rows: of the table; of longer sequences the positions beyond are computed each time.
        size: of encodings.
    """

    def __init__(self, rows: int, size: int):
        super().__init__()
        self.table = nn.Parameter(sinusoids(rows, size), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[1]
        table = self.table if rows <= len(self.table) else sinusoids(rows, x.shape[2]).to(x.device)
        return x + table[:rows].to(x.dtype)


class FFTBlock(nn.Module):
    """Self-attention and a convolutional feed-forward layer, each with a way around it and layer normalisation after.

    Args:
        hidden: size of encodings.
        heads: of the attention; each has hidden // heads dimensions. Its projections have no bias.
        inner: channels between the two convolutions.
        kernel: of the first convolution (the second has 1).
        dropout: after attention and feed-forward layer.
    """

    def __init__(self, hidden: int, heads: int = 2, inner: int = 256, kernel: int = 9, dropout: float = 0.2):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.wide = nn.Conv1d(hidden, inner, kernel, padding=kernel // 2)
        self.narrow = nn.Conv1d(inner, hidden, 1)
        self.dropout = Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, L, hidden] and its mask [B, L] -> [B, L, hidden], zeros for padding."""
        keep = mask[..., None].to(x.dtype)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        x = self.norm1(self.dropout.add(x, self.out(heard.transpose(1, 2).flatten(2)))) * keep
        y = self.narrow(F.relu(self.wide(x.transpose(1, 2)))).transpose(1, 2)
        return self.norm2(self.dropout.add(x, y)) * keep
