"""One-dimensional convolutions as matrix products, for the short sequences of code networks on a CPU.

oneDNN plans a convolution along its sequence, and reaches a fraction of a matrix product's speed where there are a few
dozen places and hundreds of channels, in the gradients above all. Here the places of all items of a batch are the
columns of one product, and the weights stay in their own order, so that only the small side is copied. Elsewhere
(GPUs, other types, long sequences) these modules are torch's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

MOST_COLUMNS = 1024  # places of a batch above which torch's own convolutions are faster


def columns(x: torch.Tensor, kernel: int, stride: int, dilation: int, places: int) -> torch.Tensor:
    """Windows of [B, C, L] as the columns of a matrix [C * kernel, B * places]."""
    batch, channels, length = x.shape
    steps = (length, dilation, channels * length, stride)
    return x.contiguous().as_strided((channels, kernel, batch, places), steps).reshape(channels * kernel, -1)


def add_columns(cols: torch.Tensor, shape: torch.Size, kernel: int, stride: int, dilation: int) -> torch.Tensor:
    """The transpose of :func:`columns`: each value is added where it came from, [B, C, L] of that shape."""
    batch, channels, _ = shape
    out = cols.new_zeros(shape)
    parts = cols.view(channels, kernel, batch, -1)
    reach = stride * (parts.shape[3] - 1) + 1
    for j in range(kernel):
        out[:, :, j * dilation : j * dilation + reach : stride] += parts[:, j].transpose(0, 1)
    return out


def to_matrix(x: torch.Tensor) -> torch.Tensor:
    """[B, C, T] -> [C, B * T]."""
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def from_matrix(x: torch.Tensor, batch: int) -> torch.Tensor:
    """[C, B * T] -> [B, C, T]."""
    return x.view(x.shape[0], batch, -1).transpose(0, 1)


class _Conv(torch.autograd.Function):
    """y = W columns(x) + b; the weight is [O, C, k], its gradient comes in that order."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int, dilation: int
    ) -> torch.Tensor:
        kernel = weight.shape[2]
        places = (x.shape[2] - dilation * (kernel - 1) - 1) // stride + 1
        cols = columns(x, kernel, stride, dilation, places)
        ctx.save_for_backward(cols, weight)
        ctx.x_shape, ctx.how = x.shape, (kernel, stride, dilation)
        return from_matrix(torch.addmm(bias[:, None], weight.flatten(1), cols), len(x))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        cols, weight = ctx.saved_tensors
        g = to_matrix(gradient)
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        dx = add_columns(weight.flatten(1).T @ g, ctx.x_shape, *ctx.how) if need_x else None
        dw = (g @ cols.T).view_as(weight) if need_w else None
        return dx, dw, g.sum(1) if need_b else None, None, None


class _ConvTranspose(torch.autograd.Function):
    """The transpose of _Conv without dilation; the weight is [C, O, k]."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int, padding: int
    ) -> torch.Tensor:
        _, outside, kernel = weight.shape
        matrix = to_matrix(x)
        length = (x.shape[2] - 1) * stride + kernel
        shape = torch.Size((len(x), outside, length))
        y = add_columns(weight.flatten(1).T @ matrix, shape, kernel, stride, 1)
        ctx.save_for_backward(matrix, weight)
        ctx.how = (kernel, stride, 1, x.shape[2])
        ctx.padding = padding
        return y[:, :, padding : length - padding] + bias[:, None]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        matrix, weight = ctx.saved_tensors
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        cols = columns(F.pad(gradient, (ctx.padding, ctx.padding)), *ctx.how)
        dx = from_matrix(weight.flatten(1) @ cols, len(gradient)) if need_x else None
        dw = (matrix @ cols.T).view_as(weight) if need_w else None
        return dx, dw, gradient.sum((0, 2)) if need_b else None, None, None


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stride, dilation, padding = self.stride[0], self.dilation[0], self.padding[0]
        if not suits(x, x.shape[2] // stride):
            return super().forward(x)
        if padding:
            x = F.pad(x, (padding, padding))
        return _Conv.apply(x, self.weight, self.bias, stride, dilation)


class ConvTranspose1d(nn.ConvTranspose1d):
    """torch's, [B, C, T] -> [B, O, T'], by another way where that is faster. One group, no output padding, a bias."""

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if not suits(x, x.shape[2]) or self.output_padding[0] or output_size is not None:
            return super().forward(x, output_size)
        return _ConvTranspose.apply(x, self.weight, self.bias, self.stride[0], self.padding[0])
