"""Lightweight convolution over time: Wu et al. 2019, "Pay less attention with lightweight and dynamic convolutions"."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class LightConv(nn.Module):
    """Depthwise convolution whose kernel is a softmax, shared by neighbouring channels (arXiv 1901.10430, eq. 4 and 5).

    In training each value of the normalised kernels is dropped with probability ``dropout`` (DropConnect, section 3.1),
    drawn anew for every item and head. (Published code draws it for each frame on a CPU, and for each channel and
    item in its CUDA kernel.)

    Args:
        channels: C, a multiple of heads.
        heads: H; ``channels / heads`` neighbouring channels share a kernel.
        kernel: K, odd; ``K // 2`` zeros stand before the first frame and after the last one.
        dropout: probability that a value of a kernel is dropped, 0 <= dropout < 1.
    """

    def __init__(self, channels: int, heads: int, kernel: int, dropout: float = 0.0):
        super().__init__()
        if channels % heads or kernel % 2 == 0 or not 0 <= dropout < 1:
            raise ValueError(f"{channels} channels, {heads} heads, kernel {kernel}, dropout {dropout} do not fit")
        self.channels, self.heads, self.kernel, self.dropout = channels, heads, kernel, dropout
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, 1, kernel)))

    def kernels(self, batch: int) -> torch.Tensor:
        """Normalised kernels [H, K], or [B, H, K] where values are dropped; float32."""
        weight = self.weight[:, 0].float().softmax(-1)
        if self.training and self.dropout:
            weight = F.dropout(weight.expand(batch, -1, -1), self.dropout)
        return weight

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """[B, T, C] -> [B, T, C]; mask: bool [B, T], True where a frame exists; others are zeros before and after."""
        if mask is None:
            return lightconv(x, self.kernels(len(x)))
        keep = mask.unsqueeze(-1).to(x.dtype)
        return lightconv(x * keep, self.kernels(len(x))) * keep

    def extra_repr(self) -> str:
        return f"{self.channels}, heads={self.heads}, kernel={self.kernel}, dropout={self.dropout}"


def lightconv(x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Convolve [B, T, C] with kernels [H, K] or [B, H, K] over time: [B, T, C].

    The frames are an image of C channels whose memory has the channel last, so oneDNN takes x without a copy and
    vectorises over channels: 3 times faster than with time inside or with matrices of bands, gradients included. Items
    with kernels of their own are further channels, which need time outside: two copies in long rows.
    """
    batch, frames, channels = x.shape
    heads, kernel = kernels.shape[-2:]
    weight = kernels.to(x.dtype).unsqueeze(-2).expand(*kernels.shape[:-1], channels // heads, kernel)
    weight = weight.reshape(-1, 1, kernel, 1)
    own = kernels.dim() == 3
    image = x.transpose(0, 1).reshape(1, frames, 1, batch * channels) if own else x.unsqueeze(2)
    y = F.conv2d(image.permute(0, 3, 1, 2), weight, padding=(kernel // 2, 0), groups=len(weight)).permute(0, 2, 3, 1)
    return y.reshape(frames, batch, channels).transpose(0, 1) if own else y.squeeze(2)
