"""Convolutions as matrix products: equal to torch's, gradients included."""

import pytest
import torch
from torch import nn

from evc2.nets.layers import conv1d


def both(ours, plain, x):
    """Outputs and gradients (x, weight, bias) of two modules with equal weights."""
    plain.load_state_dict(ours.state_dict())
    results = []
    for module in (ours, plain):
        x = x.detach().clone().requires_grad_(True)
        y = module(x)
        (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
        results.append((y, x.grad, module.weight.grad, module.bias.grad))
    return zip(*results, strict=True)


@pytest.mark.parametrize(("batch", "length"), [(1, 16), (3, 20)])
@pytest.mark.parametrize(
    ("kernel", "more"),
    [(1, {}), (3, {"padding": 1}), (4, {"stride": 2, "padding": 1}), (3, {"padding": 3, "dilation": 3}), (5, {})],
)
def test_convolution_equals_torch(batch, length, kernel, more, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(batch, 6, length)
    calls = []
    monkeypatch.setattr(conv1d, "columns", lambda *a, f=conv1d.columns: calls.append(1) or f(*a))
    for ours, plain in both(conv1d.Conv1d(6, 5, kernel, **more), nn.Conv1d(6, 5, kernel, **more), x):
        assert torch.allclose(ours, plain, rtol=1e-4, atol=1e-4)
    assert calls, "torch's own was compared with itself"


@pytest.mark.parametrize(("batch", "length"), [(1, 16), (3, 20)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (6, 3, 0), (16, 8, 4)])
def test_transposed_convolution_equals_torch(batch, length, kernel, stride, padding):
    torch.manual_seed(0)
    x, more = torch.randn(batch, 6, length), {"stride": stride, "padding": padding}
    ours, plain = conv1d.ConvTranspose1d(6, 5, kernel, **more), nn.ConvTranspose1d(6, 5, kernel, **more)
    for a, b in both(ours, plain, x):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_frozen_weights_get_no_gradient_and_long_input_is_torchs():
    conv = conv1d.Conv1d(2, 3, 3, padding=1).requires_grad_(False)
    x = torch.randn(1, 2, 8, requires_grad=True)
    conv(x).sum().backward()
    assert conv.weight.grad is None and conv.bias.grad is None and x.grad.abs().sum() > 0
    long = torch.randn(1, 2, conv1d.MOST_COLUMNS + 1)
    assert torch.equal(conv(long), nn.functional.conv1d(long, conv.weight, conv.bias, padding=1))
