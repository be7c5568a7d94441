"""Gated convolution blocks with TensorFlow's "same" padding, as the published CycleGAN voice converters use them.

A pair of convolutions (value and gate) is computed by one convolution of twice the width, whose output is normalised
and split. Instance normalisation works channel by channel, so this is the same function with the same number of
parameters as two separate convolutions, in half the kernel launches.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding (before, after) for which the output length is ceil(size / stride).

    When the total is odd the extra element goes after the data, as in TensorFlow.
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int]) -> torch.Tensor:
    """Zero-pad the last ``len(kernel)`` dimensions of x to "same" size."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[-len(kernel) :]), reversed(kernel), reversed(stride), strict=True):
        pads += same_padding(size, k, s)
    return F.pad(x, pads) if any(pads) else x


def init_pair(conv: nn.Conv1d | nn.Conv2d) -> None:
    """Draw value and gate halves apart (Glorot uniform, zero bias), so that the fan-out is that of one convolution."""
    for half in conv.weight.data.chunk(2):
        nn.init.xavier_uniform_(half)
    nn.init.zeros_(conv.bias)


class GatedConv1d(nn.Module):
    """Value and gate convolution over time, optional pixel shuffle, normalisation, GLU.

    Input [B, in_channels, T]; output [B, out_channels, ceil(T / stride) * shuffle], where the convolutions have
    ``out_channels * shuffle`` channels each.

    Args:
        norm: ``instance`` (each channel over time), ``layer`` (value and gate each over channels and time, with a gain
            and a bias a channel), ``none``.
    """

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, shuffle: int = 1, norm: str = "instance"):
        super().__init__()
        self.conv = nn.Conv1d(cin, 2 * cout * shuffle, kernel, stride)
        init_pair(self.conv)
        if norm == "instance":
            self.norm = nn.InstanceNorm1d(2 * cout, eps=1e-6, affine=True)
        elif norm == "layer":
            self.norm = nn.GroupNorm(2, 2 * cout, eps=1e-6)  # one group is the value, the other the gate
        else:
            self.norm = nn.Identity()
        self.kernel, self.stride, self.shuffle = kernel, stride, shuffle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(pad_same(x, (self.kernel,), (self.stride,)))
        if self.shuffle > 1:
            # value and gate are shuffled apart: each is one group of channels
            x = pixel_shuffle_1d(x.unflatten(1, (2, -1)), self.shuffle).flatten(1, 2)
        return F.glu(self.norm(x), dim=1)


class GatedConv2d(nn.Module):
    """Value and gate convolution over (frequency, time), optional instance normalisation, GLU: [B, C, F, T]."""

    def __init__(self, cin: int, cout: int, kernel: tuple[int, int], stride: tuple[int, int], norm: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(cin, 2 * cout, kernel, stride)
        init_pair(self.conv)
        self.norm = nn.InstanceNorm2d(2 * cout, eps=1e-6, affine=True) if norm else nn.Identity()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.glu(self.norm(self.conv(pad_same(x, self.kernel, self.stride))), dim=1)


class ResidualGLU(nn.Module):
    """Residual block: gated convolution to the hidden width, convolution back, instance normalisation, plus input."""

    def __init__(self, channels: int, hidden: int, kernel: int = 3):
        super().__init__()
        self.gated = GatedConv1d(channels, hidden, kernel)
        self.conv = nn.Conv1d(hidden, channels, kernel)
        self.norm = nn.InstanceNorm1d(channels, eps=1e-6, affine=True)
        self.kernel = kernel
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.conv(pad_same(self.gated(x), (self.kernel,), (1,))))


def pixel_shuffle_1d(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Move groups of channels into time: [..., factor * C, T] -> [..., C, factor * T].

    Frame ``factor * t + k`` of the output is the k-th group of channels of frame t, which is what a reshape does in
    the channel-last memory of the original ([n, w, c] -> [n, 2w, c/2]). A reshape of channel-first data, found in a
    popular port, mixes frames with channels instead.
    """
    x = x.unflatten(-2, (factor, -1))  # [..., factor, C, T]
    return x.movedim(-3, -1).flatten(-2)
