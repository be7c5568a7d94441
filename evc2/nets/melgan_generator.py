"""The MelGAN generator.

Source: Kumar et al., "MelGAN" (arXiv 1910.06711), sec. 2.1, with the sizes of its published code.

Parameters carry the names that espnet2 and ParallelWaveGAN give them, so that weights go from one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers import time_major, time_major_up

SLOPE = 0.2


class NormedConv(nn.Module):
    """A convolution's weight under weight norm, g v / |v| (Salimans and Kingma, arXiv 1602.07868), and its bias.

    Args:
        shape: of the weight: [out, in, kernel], of a transposed convolution [in, out, kernel].
        outside: output channels.
        weight_norm: whether ``weight_g`` and ``weight_v`` are the parameters; else ``weight`` is.
    """

    def __init__(self, shape: Sequence[int], outside: int, weight_norm: bool = True):
        super().__init__()
        weight = torch.empty(*shape)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(weight[0].numel())
        self.bias = nn.Parameter(torch.empty(outside).uniform_(-bound, bound))
        if weight_norm:
            self.weight_g = nn.Parameter(weight.flatten(1).norm(dim=1).view(-1, 1, 1))
            self.weight_v = nn.Parameter(weight)
        else:
            self.weight = nn.Parameter(weight)

    def value(self) -> torch.Tensor:
        """The weight."""
        if "weight_v" in self._parameters:
            return torch._weight_norm(self.weight_v, self.weight_g, 0)
        return self.weight

    def fold(self) -> None:
        """Make the weight a parameter of its own."""
        if "weight_v" in self._parameters:
            weight = self.value().detach()
            del self.weight_g, self.weight_v
            self.weight = nn.Parameter(weight)


class Conv(NormedConv):
    """Convolution with reflected edges: [B, C, T] -> [B, O, T]."""

    def __init__(self, inside: int, outside: int, kernel: int, dilation: int = 1, weight_norm: bool = True):
        super().__init__((outside, inside, kernel), outside, weight_norm)
        self.pad, self.dilation = (kernel - 1) // 2 * dilation, dilation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pad:
            x = F.pad(x, (self.pad, self.pad), mode="reflect")
        return F.conv1d(x, self.value(), self.bias, dilation=self.dilation)


class Upsample(NormedConv):
    """LeakyReLU, transposed convolution with a kernel of two strides: [B, C, T] -> [B, O, T * scale]."""

    def __init__(self, inside: int, outside: int, scale: int, weight_norm: bool = True):
        super().__init__((inside, outside, 2 * scale), outside, weight_norm)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        r = self.scale
        if time_major.suits(x):
            if len(x) * x.shape[2] < x.shape[1]:
                weight = (self.weight_v, self.weight_g) if "weight_v" in self._parameters else (self.weight, None)
                return time_major_up.UpsampleFew.apply(x, *weight, self.bias, r, SLOPE)
            return time_major_up.Upsample.apply(x, self.value(), self.bias, r, SLOPE)
        x = F.leaky_relu(x, SLOPE)
        return F.conv_transpose1d(x, self.value(), self.bias, r, padding=r // 2 + r % 2, output_padding=r % 2)


class ResidualStack(nn.Module):
    """[B, C, T] -> the same: LReLU, dilated convolution, LReLU, 1x1 convolution; plus one of the input."""

    def __init__(self, channels: int, kernel: int, dilation: int, weight_norm: bool):
        super().__init__()
        # the places 2 and 4 are those of the published sequence of layers
        self.stack = nn.ModuleDict({
            "2": Conv(channels, channels, kernel, dilation, weight_norm),
            "4": Conv(channels, channels, 1, weight_norm=weight_norm),
        })  # fmt: skip
        self.skip_layer = Conv(channels, channels, 1, weight_norm=weight_norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two, skip = self.stack["2"], self.stack["4"], self.skip_layer
        if time_major.suits(x) and one.pad < x.shape[2]:
            weights = (value for conv in (one, two, skip) for value in (conv.value(), conv.bias))
            return time_major.ResidualStack.apply(x, *weights, one.dilation, SLOPE)
        return two(F.leaky_relu(one(F.leaky_relu(x, SLOPE)), SLOPE)) + skip(x)


class MelGANGenerator(nn.Module):
    """Spectrograms (or codes) [B, in_channels, T] to [B, out_channels, T * product of upsample_scales] in [-1, 1].

    Args:
        in_channels, out_channels: of input and output.
        kernel_size: of the first and last convolution.
        channels: of the first layer, halved at each scale.
        upsample_scales: factors of time.
        stack_kernel_size: of the dilated convolutions, whose dilations are its powers.
        stacks: residual stacks at each scale.
        use_weight_norm: false for weights in which it is folded already.
    """

    def __init__(
        self,
        in_channels: int = 80,
        out_channels: int = 1,
        kernel_size: int = 7,
        channels: int = 512,
        upsample_scales: Sequence[int] = (8, 8, 2, 2),
        stack_kernel_size: int = 3,
        stacks: int = 3,
        use_weight_norm: bool = True,
    ):
        super().__init__()
        norm = use_weight_norm
        layers: dict[str, nn.Module] = {"1": Conv(in_channels, channels, kernel_size, weight_norm=norm)}
        place, width = 2, channels
        for scale in upsample_scales:
            layers[str(place + 1)] = Upsample(width, width // 2, scale, norm)
            width, place = width // 2, place + 2
            for j in range(stacks):
                layers[str(place)] = ResidualStack(width, stack_kernel_size, stack_kernel_size**j, norm)
                place += 1
        layers[str(place + 2)] = Conv(width, out_channels, kernel_size, weight_norm=norm)
        self.melgan = nn.ModuleDict(layers)
        self.upsample_factor = math.prod(upsample_scales) * out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *body, last = self.melgan.values()
        for layer in body:
            x = layer(x)
        if time_major.suits(x) and last.pad < x.shape[2]:
            return time_major.LastConv.apply(x, last.value(), last.bias, SLOPE).tanh()
        return last(F.leaky_relu(x, SLOPE)).tanh()

    def remove_weight_norm(self) -> None:
        """Fold the weight norm of all convolutions."""
        for module in self.modules():
            if isinstance(module, NormedConv):
                module.fold()
