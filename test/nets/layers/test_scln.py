"""Speaker-condition layer norm: equal to its formula, gradients included."""

import pytest
import torch

from evc2.nets.layers.scln import SCLN, affines


def formula(net, x, s, offset):
    """gain * (x - mean) / (unbiased deviation + 1e-8) + bias, as published."""
    bias, gain = (s @ net.affine.weight.T)[:, None].chunk(2, -1)
    return (gain + offset) * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-8) + bias


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(3, 7, 16), (1, 1, 64), (2, 5, 2)])
def test_equals_formula(shape, offset):
    torch.manual_seed(0)
    net = SCLN(shape[-1], 12, gain_offset=offset)
    x, s = torch.randn(shape).mul_(2).add_(1).requires_grad_(), torch.randn(shape[0], 12, requires_grad=True)
    g, outputs = torch.randn(shape), (net(x, s), formula(net, x, s, offset))
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=2e-6)
    gradients = [torch.autograd.grad(y, (x, s, net.affine.weight), g) for y in outputs]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_bias_first():
    net = SCLN(4, 1)
    torch.nn.init.zeros_(net.affine.weight)
    net.affine.weight.data[:4] = 3.0
    assert torch.equal(net(torch.randn(1, 2, 4), torch.ones(1, 1)), torch.full((1, 2, 4), 3.0))


def test_equal_channels_give_the_bias():
    net, x, s = SCLN(8, 3), torch.zeros(2, 4, 8, requires_grad=True), torch.randn(2, 3)
    y = net(x, s)
    assert torch.equal(y, net.affine(s)[:, None, :8].expand_as(y))
    (y * 0).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))  # padded frames: neither infinite nor undefined


def test_parameters():
    net = SCLN(64, 64)
    assert {name: tuple(p.shape) for name, p in net.named_parameters()} == {"affine.weight": (128, 64)}


def test_autocast():
    torch.manual_seed(0)
    net, x, s = SCLN(16, 4), torch.randn(2, 5, 16), torch.randn(2, 4)
    exact = net(x, s)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x.bfloat16(), s)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)


def test_voices_of_several_norms():
    torch.manual_seed(0)
    norms, x, s = [SCLN(6, 3), SCLN(4, 3)], torch.randn(2, 5, 4), torch.randn(2, 3)
    first, second = affines(norms, s)
    assert first.shape == (2, 12)
    torch.testing.assert_close(norms[1].norm(x, second), norms[1](x, s))
