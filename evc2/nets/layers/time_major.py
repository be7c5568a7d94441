"""Layers of waveform generators for a CPU, with time as the outer dimension in memory.

Tensors keep their shape [B, C, T], but a sample's channels lie side by side (as ``channels_last`` images). So oneDNN
needs no copies to and from its own order and reaches a matrix product's speed forwards and in the gradient by the
input, the gradient of a tap is one matrix product of two slices, and a transposed convolution is an ordinary one of two
taps whose channels are the phases (:mod:`evc2.nets.layers.time_major_up`). Each Function here holds an activation and
what follows it, so that no pass over memory is made twice. All give torch's results and first derivatives (not second
ones).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

_leaky_relu_backward = torch.ops.aten.leaky_relu_backward


def suits(x: torch.Tensor) -> bool:
    """Whether these functions may take the place of torch's convolutions of x [B, C, T]."""
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


def rows(x: torch.Tensor) -> torch.Tensor:
    """[B, C, T] to contiguous [B, T, C]: no copy of what these functions give."""
    return x.transpose(1, 2).contiguous()


def _image(x: torch.Tensor) -> torch.Tensor:
    """[B, T, C] as a ``channels_last`` image [B, C, 1, T]."""
    return x.transpose(1, 2).unsqueeze(2)


def conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int = 1) -> torch.Tensor:
    """Convolution of [B, T, C] with a kernel [O, C, 1, k]: [B, T', O]."""
    return rows(F.conv2d(_image(x), weight, bias, dilation=(1, dilation)).squeeze(2))


def input_gradient(g: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, dilation: int = 1) -> torch.Tensor:
    """What :func:`_conv` gives back to its input, for a gradient [B, T', O]: [B, T, C]."""
    how = ([1, 1], [0, 0], [1, dilation], False, [0, 0], 1, [True, False, False])
    back = torch.ops.aten.convolution_backward(_image(g), _image(x), weight, None, *how)[0]
    return rows(back.squeeze(2))


def taps_gradient(g: torch.Tensor, x: torch.Tensor, taps: int, dilation: int = 1) -> torch.Tensor:
    """Gradient of :func:`_conv` by its weight: [taps, O, C]. oneDNN takes twice the time of these products."""
    out = g.new_empty(taps, g.shape[2], x.shape[2])
    for j, tap in enumerate(out):
        parts = zip(g, x[:, j * dilation : j * dilation + g.shape[1]], strict=True)
        for i, (g_one, x_one) in enumerate(parts):
            tap.addmm_(g_one.T, x_one, beta=min(i, 1))  # 0 at first: what is there does not count
    return out


def relu_backward(g: torch.Tensor, result: torch.Tensor, slope: float) -> torch.Tensor:
    """g in place times the derivative of a LeakyReLU, told by its result (which has its input's sign)."""
    return _leaky_relu_backward.grad_input(g, result, slope, True, grad_input=g)


def _reflected_relu(x: torch.Tensor, slope: float, pad: int) -> torch.Tensor:
    """LeakyReLU of x [B, T, C] with ``pad`` reflected places on each side."""
    batch, length, channels = x.shape
    out = x.new_empty(batch, length + 2 * pad, channels)
    torch._C._nn.leaky_relu(x, slope, out=out[:, pad : pad + length])
    if pad:
        out[:, :pad] = out[:, pad + 1 : 2 * pad + 1].flip(1)
        out[:, pad + length :] = out[:, length - 1 : length + pad - 1].flip(1)
    return out


def _fold_edges(g: torch.Tensor, pad: int) -> torch.Tensor:
    """Gradient of padded places [B, T + 2 pad, C] by the places [B, T, C] that were reflected."""
    length = g.shape[1] - 2 * pad
    if pad:
        g[:, pad + 1 : 2 * pad + 1] += g[:, :pad].flip(1)
        g[:, length - 1 : length + pad - 1] += g[:, pad + length :].flip(1)
    return g[:, pad : pad + length]


class ResidualStack(torch.autograd.Function):
    """y = W4 lrelu(W2 * lrelu(x) + b2) + b4 + Ws x + bs, W2 dilated over reflected edges; W4 and Ws are [C, C, 1]."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor, w4: torch.Tensor, b4: torch.Tensor,
        ws: torch.Tensor, bs: torch.Tensor, dilation: int, slope: float,
    ) -> torch.Tensor:  # fmt: skip
        x, channels, pad = rows(x), x.shape[1], (w2.shape[2] - 1) // 2 * dilation
        active = _reflected_relu(x, slope, pad)
        w2 = w2.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        hidden = F.leaky_relu_(conv(active, w2, b2, dilation), slope)
        y = conv(hidden, w4.unsqueeze(2), b4 + bs)
        y.view(-1, channels).addmm_(x.view(-1, channels), ws[:, :, 0].T)
        ctx.save_for_backward(x, active, hidden, w2, w4, ws)
        ctx.how = (dilation, pad, slope)
        return y.transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, active, hidden, w2, w4, ws = ctx.saved_tensors
        dilation, pad, slope = ctx.how
        need, g = ctx.needs_input_grad, rows(gradient)
        flat = g.view(-1, g.shape[2])
        d_hidden = relu_backward((flat @ w4[:, :, 0]).view_as(x), hidden, slope)
        out: list[Any] = [None] * 9
        if need[0]:
            into = _fold_edges(input_gradient(d_hidden, active, w2, dilation), pad)
            dx = _leaky_relu_backward(into, x, slope, False).contiguous()
            dx.view_as(flat).addmm_(flat, ws[:, :, 0])
            out[0] = dx.transpose(1, 2)
        if need[1]:
            out[1] = taps_gradient(d_hidden, active, w2.shape[3], dilation).permute(1, 2, 0)
        if need[3]:
            out[3] = (flat.T @ hidden.view_as(flat))[:, :, None]
        if need[5]:
            out[5] = (flat.T @ x.view_as(flat))[:, :, None]
        if need[2]:
            out[2] = d_hidden.sum((0, 1))
        if need[4] or need[6]:
            out[4] = out[6] = flat.sum(0)
        return tuple(out)


class LastConv(torch.autograd.Function):
    """LeakyReLU and a convolution over reflected edges to a few channels: [B, C, T] -> [B, O, T].

    All taps are made in one product with their places, and summed along the diagonals.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float) -> torch.Tensor:
        active = F.leaky_relu(rows(x), slope)
        (batch, length, inside), taps = active.shape, weight.shape[2]
        pad, wide = taps // 2, weight.permute(1, 2, 0).reshape(inside, -1)
        each = (active.view(-1, inside) @ wide).view(batch, length, taps, -1)
        edges = each[:, 1 : pad + 1].flip(1), each[:, length - pad - 1 : length - 1].flip(1)
        each = torch.cat((edges[0], each, edges[1]), 1)
        y = bias + each[:, :length, 0]
        for j in range(1, taps):
            y += each[:, j : j + length, j]
        ctx.save_for_backward(active, wide)
        ctx.slope = slope
        return y.transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        active, wide = ctx.saved_tensors
        need_x, need_w, need_b = ctx.needs_input_grad[:3]
        (batch, length, inside), outside = active.shape, gradient.shape[1]
        taps, g = wide.shape[1] // outside, gradient.transpose(1, 2)
        each = g.new_zeros(batch, length + taps - 1, taps * outside)
        for j in range(taps):
            each[:, j : j + length, j * outside : (j + 1) * outside] = g
        each = _fold_edges(each, taps // 2).reshape(batch * length, -1)
        dx = dw = None
        if need_x:
            dx = relu_backward((each @ wide.T).view_as(active), active, ctx.slope).transpose(1, 2)
        if need_w:
            dw = (active.view(-1, inside).T @ each).view(inside, taps, outside).permute(2, 0, 1)
        return dx, dw, g.sum((0, 1)) if need_b else None, None
