"""One-dimensional convolutions as matrix products, for the short sequences of code networks on a CPU.

oneDNN plans a convolution along its sequence, and reaches a fraction of a matrix product's speed where there are a few
dozen places and hundreds of channels, in the gradients above all. Here the places of all items of a batch are the
columns of one product, and the weights stay in their own order, so that only the small side is copied. Tensors keep
their shape [B, C, L], but the channel is the outer dimension of their memory: so what one layer gives is the next one's
matrix [C, B L], and batch norm works on its rows. Elsewhere (GPUs, other types, long sequences) these modules are
torch's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

MOST_COLUMNS = 1024  # places of a batch above which torch's own convolutions are faster


class How(NamedTuple):
    """How a convolution goes over its input."""

    kernel: int
    stride: int
    dilation: int
    padding: int

    def places(self, length: int) -> int:
        """Outputs for an input of some length."""
        return (length + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


def channels_out(x: torch.Tensor) -> torch.Tensor:
    """[B, C, L] to contiguous [C, B, L]: no copy of what these modules give."""
    return x.transpose(0, 1).contiguous()


def columns(x: torch.Tensor, how: How) -> torch.Tensor:
    """Windows of [C, B, L] as the columns of a matrix [C * kernel, B * places]; zeros beyond the edges."""
    places = how.places(x.shape[2])
    x = F.pad(x, (how.padding, how.padding)) if how.padding else x
    channels, batch, length = x.shape
    steps = (batch * length, how.dilation, length, how.stride)
    return x.as_strided((channels, how.kernel, batch, places), steps).reshape(channels * how.kernel, -1)


def _shares(size: int) -> int:
    """In how many parts a weight's side is cut, one for each thread.

    With so few columns, MKL's threads wait for each other in one product; smaller ones at once take 0.7 of it.
    """
    threads = torch.get_num_threads()
    return 1 if size % threads else threads


def apply_weight(weight: torch.Tensor, cols: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """A weight [O, ...] times a matrix of columns [..., N], plus a bias: [O, N]."""
    n, flat = _shares(len(weight)), weight.flatten(1)
    parts, cols = flat.view(n, -1, flat.shape[1]), cols.expand(n, -1, -1)
    y = torch.bmm(parts, cols) if bias is None else torch.baddbmm(bias.view(n, -1, 1), parts, cols)
    return y.view(len(weight), -1)


def spread_weight(weight: torch.Tensor, g: torch.Tensor, shape: torch.Size, how: How) -> torch.Tensor:
    """The transpose of :func:`columns` after that of a weight [O, C, k], for g [O, N]: [C, B, L] of that shape.

    Each value is added where it came from. The places are the rows of this product: it takes less time when the larger
    side of its result lies side by side.
    """
    (channels, batch, length), pad, n = shape, how.padding, _shares(shape[0])
    parts = weight.flatten(1).view(len(g), n, -1).transpose(0, 1)
    parts = torch.bmm(g.T.expand(n, -1, -1), parts).view(n, batch, -1, channels // n, how.kernel)
    out = g.new_zeros(n, batch, length + 2 * pad, channels // n)
    reach = how.stride * (parts.shape[2] - 1) + 1
    for j in range(how.kernel):
        out[:, :, j * how.dilation : j * how.dilation + reach : how.stride] += parts[..., j]
    return out[:, :, pad : pad + length].permute(0, 3, 1, 2).reshape(shape)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, how: How) -> tuple[torch.Tensor, torch.Tensor]:
    """W columns(x) + b for [C, B, L], as [O, B, L'], and the columns; the weight is [O, C, k]."""
    cols = columns(x, how)
    return apply_weight(weight, cols, bias).view(len(weight), x.shape[1], -1), cols


def _product_backward(
    g: torch.Tensor, cols: torch.Tensor, weight: torch.Tensor, shape: torch.Size, how: How, need_x: bool, need_w: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients by x [B, C, L] and weight, in its own order, for one by the output [O, B, L']."""
    g = g.view(len(g), -1)
    dx = spread_weight(weight, g, shape, how).transpose(0, 1) if need_x else None
    return dx, (g @ cols.T).view_as(weight) if need_w else None


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, how: How) -> torch.Tensor:
        x = channels_out(x)
        y, cols = _product(x, weight, bias, how)
        ctx.save_for_backward(cols, weight)
        ctx.how = (x.shape, how)
        return y.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        g = channels_out(gradient)
        dx, dw = _product_backward(g, *ctx.saved_tensors, *ctx.how, need_x, need_w)
        return dx, dw, g.sum((1, 2)) if need_b else None, None


class _ConvNorm(torch.autograd.Function):
    """A convolution, batch norm by the batch's own statistics, and a LeakyReLU unless its slope is 1."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, how: How, scale: torch.Tensor,
        shift: torch.Tensor, norm: nn.BatchNorm1d, slope: float,
    ) -> torch.Tensor:  # fmt: skip
        x = channels_out(x)
        h, cols = _product(x, weight, bias, how)
        running = norm.running_mean, norm.running_var
        y, mean, factor = torch.native_batch_norm(
            h.view(1, len(h), -1), scale, shift, *running, True, norm.momentum, norm.eps
        )
        y = y.view_as(h) if slope == 1 else F.leaky_relu_(y.view_as(h), slope)
        ctx.save_for_backward(cols, weight, h, scale, mean, factor, y if slope != 1 else None)
        ctx.how = (x.shape, how, norm.eps, slope)
        return y.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        cols, weight, h, scale, mean, factor, y = ctx.saved_tensors
        shape, how, eps, slope = ctx.how
        need_x, need_w, need_b, _, need_scale, need_shift = ctx.needs_input_grad[:6]
        g = gradient.transpose(0, 1)
        if y is not None:
            g = torch.ops.aten.leaky_relu_backward(g, y, slope, True)
        need = [need_x or need_w, need_scale, need_shift]
        flat = (1, len(h), h[0].numel())
        g, d_scale, d_shift = torch.ops.aten.native_batch_norm_backward(
            g.contiguous().view(flat), h.view(flat), scale, None, None, mean, factor, True, eps, need
        )
        dx, dw = _product_backward(g.view_as(h), cols, weight, shape, how, need_x, need_w) if need[0] else (None, None)
        # the mean takes away what the bias adds: torch's gradient of it is nothing but rounding
        return dx, dw, torch.zeros_like(mean) if need_b else None, None, d_scale, d_shift, None, None


class _ConvTranspose(torch.autograd.Function):
    """The transpose of _Conv without dilation; the weight is [C, O, k]."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, how: How) -> torch.Tensor:
        x = channels_out(x)
        length = (x.shape[2] - 1) * how.stride + how.kernel - 2 * how.padding
        matrix, shape = x.view(len(x), -1), torch.Size((weight.shape[1], x.shape[1], length))
        y = spread_weight(weight, matrix, shape, how)
        y += bias[:, None, None]
        ctx.save_for_backward(matrix, weight)
        ctx.how = how
        return y.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        matrix, weight = ctx.saved_tensors
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        g = channels_out(gradient)
        cols = columns(g, ctx.how)
        dx = apply_weight(weight, cols).view(len(weight), g.shape[1], -1).transpose(0, 1) if need_x else None
        dw = (matrix @ cols.T).view_as(weight) if need_w else None
        return dx, dw, g.sum((1, 2)) if need_b else None, None


def suits(x: torch.Tensor, places: int) -> bool:
    """Whether the matrix product is the faster way."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and len(x) * places <= MOST_COLUMNS
        and not torch.compiler.is_compiling()
    )


class Conv1d(nn.Conv1d):
    """torch's, [B, C, T] -> [B, O, T'], by another way where that is faster. One group, zeros around, a bias."""

    @property
    def how(self) -> How:
        """In numbers."""
        return How(self.kernel_size[0], self.stride[0], self.dilation[0], self.padding[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not suits(x, x.shape[2] // self.stride[0]):
            return super().forward(x)
        return _Conv.apply(x, self.weight, self.bias, self.how)


class ConvTranspose1d(nn.ConvTranspose1d):
    """torch's, [B, C, T] -> [B, O, T'], by another way where that is faster. One group, no output padding, a bias."""

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if not suits(x, x.shape[2]) or self.output_padding[0] or output_size is not None:
            return super().forward(x, output_size)
        how = How(self.kernel_size[0], self.stride[0], 1, self.padding[0])
        return _ConvTranspose.apply(x, self.weight, self.bias, how)


def conv_norm(conv: nn.Module, norm: nn.Module, x: torch.Tensor, slope: float = 1.0) -> torch.Tensor:
    """Convolution [B, C, T] -> [B, O, T'], its batch norm, and a LeakyReLU unless the slope is 1; in one if it can."""
    fits = type(conv) is Conv1d and type(norm) is nn.BatchNorm1d and suits(x, x.shape[2] // conv.stride[0])
    if fits and norm.training and norm.affine and norm.track_running_stats and norm.momentum is not None:
        how = conv.how
        if len(x) * how.places(x.shape[2]) > 1:  # torch's own says what is wrong with a single value
            norm.num_batches_tracked.add_(1)
            return _ConvNorm.apply(x, conv.weight, conv.bias, how, norm.weight, norm.bias, norm, slope)
    y = norm(conv(x))
    return y if slope == 1 else F.leaky_relu(y, slope)


class Layers(nn.Sequential):
    """A sequence of layers whose convolutions take a batch norm and a LeakyReLU that follow them along."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers, i = list(self), 0
        while i < len(layers):
            norm, act = (*layers[i + 1 : i + 3], None, None)[:2]
            if isinstance(layers[i], nn.Conv1d) and isinstance(norm, nn.BatchNorm1d):
                fused = isinstance(act, nn.LeakyReLU)
                x = conv_norm(layers[i], norm, x, act.negative_slope if fused else 1.0)
                i += 2 + fused
            else:
                x, i = layers[i](x), i + 1
        return x
