"""One-dimensional convolutions of inference on CPU, on signals [T, C] with the channels last.

torch's own Conv1d works on [C, T], which its CPU kernels first bring into another order, and dilation makes them slower
still. Here a dilated convolution is a plain one on each of its phases, the kernels get the order they work in, and wide
layers save multiplications by :mod:`evc2.nets.fast_filters`. Results equal torch's to about 1e-5 of their size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from evc2.nets.fast_filters import filter_for
from evc2.nets.fast_kernels import LANES, Kernels

#: From this many channels on, the saved multiplications outweigh the transforms.
MIN_CHANNELS = 64
#: Values of one product of a block of tiles, for each thread: all products together stay near the processor.
BLOCK = 2**15
#: Longest filter that is transformed.
MAX_TAPS = 12


class Scratch:
    """Working memory of one call, by name: fresh memory for each chunk would cost more than the arithmetic on it."""

    def __init__(self) -> None:
        self._held: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, *shape: int) -> torch.Tensor:
        """An uninitialised tensor, valid until the same name is asked for again."""
        size = int(np.prod(shape))
        held = self._held.get(name)
        if held is None or held.numel() < size:
            held = self._held[name] = torch.empty(size)
        return held[:size].view(shape)


def fast_conv(conv: nn.Conv1d, kernels: Kernels | None = None) -> TransformedConv | DirectConv:
    """The faster form of a convolution (stride 1, one group, "same" padding, odd kernel); kernels: compiled."""
    channels, taps = min(conv.in_channels, conv.out_channels), conv.kernel_size[0]
    if channels < MIN_CHANNELS or not 1 < taps <= MAX_TAPS:
        return DirectConv(conv)
    if kernels is not None and conv.in_channels % LANES == 0 and conv.out_channels % LANES == 0:
        return CompiledConv(conv, kernels)
    return TransformedConv(conv)


class _Conv:
    def __init__(self, conv: nn.Conv1d):
        self.taps, self.dilation = conv.kernel_size[0], conv.dilation[0]
        self.reach = (self.taps - 1) // 2 * self.dilation
        self.bias = conv.bias.detach() if conv.bias is not None else torch.zeros(conv.out_channels)

    def after_relu(
        self, x: torch.Tensor, frames: int, slope: float, scratch: Scratch, add_to: torch.Tensor | None = None
    ) -> torch.Tensor:
        """LeakyReLU and convolution.

        Args:
            x: [J, d, C], any strides: the sample at time t = d j + p is x[j, p]; only the first `frames` count.
            frames: T.
            slope: of the LeakyReLU.
            scratch: working memory.
            add_to: [T, C'] contiguous, to which the result is added in place.

        Returns:
            The result in the form of `x`, valid until the next call; with `add_to` that.
        """
        raise NotImplementedError


class DirectConv(_Conv):
    """oneDNN's convolution with channels last, phase by phase where it is dilated."""

    def __init__(self, conv: nn.Conv1d):
        super().__init__(conv)
        weight = conv.weight.detach()[:, :, None].contiguous(memory_format=torch.channels_last)
        self.padding = [0, (self.taps - 1) // 2]
        ones = [1, 1]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, self.padding, ones, ones, 1, [1, conv.in_channels, 1, 2048]
        )

    def after_relu(
        self, x: torch.Tensor, frames: int, slope: float, scratch: Scratch, add_to: torch.Tensor | None = None
    ) -> torch.Tensor:
        d = self.dilation
        h = self._relu_in_phases(x, frames, slope, scratch)
        n = h.shape[1]
        image, ones = h.transpose(1, 2)[:, :, None], [1, 1]
        if add_to is not None and d == 1:
            torch.ops.mkldnn._convolution_pointwise_.binary(
                *(add_to.t()[None, :, None], image, self.weight, self.bias, self.padding, ones, ones, 1),
                *("add", 1.0, None, [], None),
            )
            return add_to
        out = torch.ops.mkldnn._convolution_pointwise(
            image, self.weight, self.bias, self.padding, ones, ones, 1, "none", [], ""
        )
        y = out[:, :, 0].permute(2, 0, 1)
        return y if add_to is None else add_to.add_(y.reshape(n * d, -1)[:frames])

    def _relu_in_phases(self, x: torch.Tensor, frames: int, slope: float, scratch: Scratch) -> torch.Tensor:
        """LeakyReLU of the first `frames` samples as [d, n, C], zeros where a phase ends before the first one does."""
        given, phases, channels = x.shape
        d = self.dilation
        if d == 1:
            h = scratch("relu", given * phases, channels)
            torch._C._nn.leaky_relu(x, slope, out=h.view(given, phases, channels))
            return h[None, :frames]
        flat, n, whole = x.reshape(given * phases, channels), -(-frames // d), frames // d
        h, rest = scratch("relu", d, n, channels), frames - whole * d
        torch._C._nn.leaky_relu(flat[: whole * d].view(whole, d, channels).transpose(0, 1), slope, out=h[:, :whole])
        if rest:
            torch._C._nn.leaky_relu(flat[whole * d : frames], slope, out=h[:rest, whole])
            h[rest:, whole] = 0.0
        return h


class TransformedConv(_Conv):
    """Fast filters: transformed tiles, one matrix product of the channels for each multiplication, and back."""

    def __init__(self, conv: nn.Conv1d):
        super().__init__(conv)
        self.filter = filter_for(self.taps)
        weight = nn.functional.pad(conv.weight.detach().double(), (0, self.filter.taps - self.taps))
        self.weight = torch.einsum("pk,ock->pco", torch.from_numpy(self.filter.G), weight).float().contiguous()
        self.into = torch.from_numpy(self.filter.B).float()
        self.back = torch.from_numpy(self.filter.A).float()

    def after_relu(
        self, x: torch.Tensor, frames: int, slope: float, scratch: Scratch, add_to: torch.Tensor | None = None
    ) -> torch.Tensor:
        given, phases, channels = x.shape
        f, d = self.filter, self.dilation
        n = -(-frames // (d * f.tile))  # tiles in each phase
        size = max(d * (n * f.tile + f.taps - 1), self.reach + given * phases)
        h = scratch("relu", size, channels)
        h[: self.reach] = 0.0
        inside = h[self.reach : self.reach + given * phases]
        torch._C._nn.leaky_relu(x, slope, out=inside.view(given, phases, channels))
        h[self.reach + frames :] = 0.0
        tiles = scratch("tiles", d, n, f.products, channels)
        for phase in range(d):
            view = h.as_strided(
                (n, f.tile + f.taps - 1, channels),
                (f.tile * d * channels, d * channels, 1),
                h.storage_offset() + phase * channels,
            )
            torch.bmm(self.into.expand(n, -1, -1), view, out=tiles[phase])
        products = scratch("products", f.products, d * n, self.weight.shape[2])
        torch.bmm(tiles.view(d * n, f.products, channels).transpose(0, 1), self.weight, out=products)
        products[f.one].add_(self.bias)
        back, products = self.back.expand(d * n, -1, -1), products.transpose(0, 1)
        if add_to is not None and d == 1 and frames % f.tile == 0:
            add_to.view(n, f.tile, -1).baddbmm_(back, products)
            return add_to
        out = torch.bmm(back, products, out=scratch("out", d * n, f.tile, self.weight.shape[2]))
        y = out.view(d, n * f.tile, -1).transpose(0, 1)
        return y if add_to is None else add_to.add_(y.reshape(d * n * f.tile, -1)[:frames])


class CompiledConv(TransformedConv):
    """The same with both transforms compiled: LeakyReLU, phases, bias and sum happen on the way, in the cache."""

    def __init__(self, conv: nn.Conv1d, kernels: Kernels):
        super().__init__(conv)
        self.kernels = kernels
        self.bias = self.bias.contiguous()

    def after_relu(
        self, x: torch.Tensor, frames: int, slope: float, scratch: Scratch, add_to: torch.Tensor | None = None
    ) -> torch.Tensor:
        f, d = self.filter, self.dilation
        x = x.reshape(-1, x.shape[2])[:frames]
        wide, out_wide = x.shape[1], self.weight.shape[2]
        rows = d * -(-frames // (d * f.tile))
        size = min(rows, max(32, BLOCK * torch.get_num_threads() // max(wide, out_wide)))
        out = scratch("out", frames, out_wide) if add_to is None else add_to
        for first in range(0, rows, size):
            part = range(first, min(rows, first + size))
            tiles = scratch("tiles", f.products, len(part), wide)
            self.kernels.into(f, x, d, self.reach, slope, part, tiles)
            products = torch.bmm(tiles, self.weight, out=scratch("products", f.products, len(part), out_wide))
            self.kernels.back(f, products, self.bias, d, add_to is not None, part, out)
        return out[:, None] if add_to is None else out
