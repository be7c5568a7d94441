"""Transposed convolutions of a kernel of two strides with time as the outer dimension, see
:mod:`evc2.nets.layers.time_major`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from evc2.nets.layers.time_major import conv, input_gradient, relu_backward, rows, taps_gradient


class Upsample(torch.autograd.Function):
    """LeakyReLU and a transposed convolution of stride r; the weight is [C, O, 2 r]. [B, C, T] -> [B, O, T r].

    A row of r samples is made by two taps, of the place before and this one; the first and last rows are cut.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, r: int, slope: float
    ) -> torch.Tensor:
        x = rows(x)
        (batch, length, inside), outside = x.shape, weight.shape[1]
        active = x.new_empty(batch, length + 2, inside)
        active[:, 0] = active[:, -1] = 0
        torch._C._nn.leaky_relu(x, slope, out=active[:, 1:-1])
        parts = weight.view(inside, outside, 2, r).permute(3, 1, 2, 0).flip(2)  # [r, O, 2, C]
        weight = parts.reshape(r * outside, 2, inside).transpose(1, 2).unsqueeze(2)
        y = conv(active, weight, bias.repeat(r))
        ctx.save_for_backward(active, weight)
        ctx.how = (outside, r, slope)
        return _cut(y, outside, r)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        active, weight = ctx.saved_tensors
        outside, r, slope = ctx.how
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        g, dx, dw = _uncut(gradient, r), None, None
        if need_x:
            dx = relu_backward(input_gradient(g, active, weight)[:, 1:-1], active[:, 1:-1], slope).transpose(1, 2)
        if need_w:
            parts = taps_gradient(g, active, 2).view(2, r, outside, -1).flip(0)
            dw = parts.permute(3, 2, 0, 1).flatten(2)
        return dx, dw, g.view(-1, outside).sum(0) if need_b else None, None, None


class UpsampleFew(torch.autograd.Function):
    """:class:`Upsample` for fewer places than channels: the activations change their order, not the weight.

    Its weight is that of weight norm, ``norm_g`` v / |v|, whose factors go into the activations, so that the largest
    weight of a generator is made nowhere; without weight norm ``norm_g`` is None and v is the weight.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, v: torch.Tensor, norm_g: torch.Tensor | None, bias: torch.Tensor, r: int,
        slope: float,
    ) -> torch.Tensor:  # fmt: skip
        active = F.leaky_relu(rows(x), slope)
        (batch, length, inside), outside = active.shape, v.shape[1]
        norm = v.flatten(1).norm(dim=1)
        scaled = active if norm_g is None else active * (norm_g.flatten() / norm)
        cols = (scaled.view(-1, inside) @ v.flatten(1)).view(batch, length, outside, 2, r)
        now, before = cols.permute(3, 0, 1, 4, 2)
        y = bias.expand(batch, length + 1, r, outside).contiguous()
        y[:, :length] += now
        y[:, 1:] += before
        ctx.save_for_backward(active, v, norm_g, norm)
        ctx.how = (r, slope)
        return _cut(y, outside, r)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        active, v, norm_g, norm = ctx.saved_tensors
        r, slope = ctx.how
        need_x, need_v, need_g, need_b = ctx.needs_input_grad[:4]
        (inside, outside, _), dx, dv, dg = v.shape, None, None, None
        g = _uncut(gradient, r)
        steps = g.view(len(g), -1, r, outside)
        cols = torch.stack((steps[:, :-1], steps[:, 1:])).permute(1, 2, 4, 0, 3).reshape(-1, 2 * r * outside)
        raw = (cols @ v.flatten(1).T).view_as(active)  # the gradient of what v is applied to
        scale = torch.ones_like(norm) if norm_g is None else norm_g.flatten() / norm
        along = (active * raw).sum((0, 1))  # the sum of v times its weight's gradient
        if need_v:
            dv = ((active * scale).view(-1, inside).T @ cols).view_as(v)
            if norm_g is not None:
                dv.addcmul_(v, (scale * along / norm.square())[:, None, None], value=-1)
        if need_g:
            dg = (along / norm).view_as(norm_g)
        if need_x:
            dx = relu_backward(raw * scale, active, slope).transpose(1, 2)
        return dx, dv, dg, g.view(-1, outside).sum(0) if need_b else None, None, None


def _cut(y: torch.Tensor, outside: int, r: int) -> torch.Tensor:
    """Rows of r samples, one more than there are places, to the samples of a layer's output [B, O, T r]."""
    y, first = y.view(len(y), -1, outside), r // 2 + r % 2
    return y[:, first : first + y.shape[1] - r].transpose(1, 2)


def _uncut(gradient: torch.Tensor, r: int) -> torch.Tensor:
    """The gradient of :func:`_cut`: [B, T + 1, r O]."""
    (batch, outside, length), first = gradient.shape, r // 2 + r % 2
    g = gradient.new_empty(batch, length + r, outside)
    g[:, :first] = g[:, first + length :] = 0
    g[:, first : first + length] = gradient.transpose(1, 2)
    return g.view(batch, -1, r * outside)
