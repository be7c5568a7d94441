"""Lightweight convolution: equal to a matrix of bands, gradients included."""

import pytest
import torch

from evc2.nets.layers.lightconv import LightConv, lightconv


def reference_lightconv(x, weight, keep=None, mask=None):
    """y[b, t, c] = sum over k of softmax(weight[head of c])[k] * keep[b, head of c, k] * x[b, t + k - K//2, c].

    A matrix [T, T] of bands for each item and head; x [B, T, C], weight [H, 1, K], keep [B, H, K], mask bool [B, T].
    """
    (batch, frames, _), (heads, _, kernel) = x.shape, weight.shape
    x = x if mask is None else x.masked_fill(~mask[..., None], 0.0)
    kernels = weight.softmax(-1)[:, 0].expand(batch, -1, -1) * (1 if keep is None else keep)
    bands = []
    for t in range(frames):
        row = [
            kernels[..., at - t + kernel // 2]
            if 0 <= at - t + kernel // 2 < kernel
            else torch.zeros_like(kernels[..., 0])
            for at in range(frames)
        ]
        bands.append(torch.stack(row, -1))
    band = torch.stack(bands, -2)  # [B, H, T, T]
    y = torch.einsum("bhts,bshr->bthr", band, x.view(batch, frames, heads, -1)).reshape(x.shape)
    return y if mask is None else y.masked_fill(~mask[..., None], 0.0)


def lengths_mask(frames, *lengths):
    return torch.arange(frames) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("kernel", [3, 15, 17])
@pytest.mark.parametrize("frames", [1, 7, 31])
def test_equals_bands(frames, kernel, heads):
    torch.manual_seed(frames + kernel + heads)
    net = LightConv(16, heads, kernel, dropout=0.3).eval()
    x = torch.randn(3, frames, 16, requires_grad=True)
    mask = lengths_mask(frames, frames, max(frames // 2, 1), 1)
    for given in (None, mask):
        g = torch.randn(3, frames, 16)
        ours, theirs = net(x, given), reference_lightconv(x, net.weight, mask=given)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        gradients = [torch.autograd.grad(y, (x, net.weight), g) for y in (ours, theirs)]
        for mine, other in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6 * float(1 + other.abs().max()))


@pytest.mark.parametrize("frames", [4, 21])
def test_own_kernels_equal_bands(frames):
    torch.manual_seed(0)
    weight, keep = torch.randn(4, 1, 15, requires_grad=True), (torch.rand(3, 4, 15) > 0.3) / 0.7
    x, g = torch.randn(3, frames, 8, requires_grad=True), torch.randn(3, frames, 8)
    outputs = lightconv(x, weight.softmax(-1)[:, 0] * keep), reference_lightconv(x, weight, keep)
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(y, (x, weight), g) for y in outputs]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6 * float(1 + other.abs().max()))


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5)])
def test_gradcheck(shape):
    torch.manual_seed(0)
    x = torch.randn(2, 7, 8, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lightconv, (x, kernels))


def test_known_sums():
    net = LightConv(4, 2, 3)
    torch.nn.init.zeros_(net.weight)  # a mean of three frames, zeros beyond the edges
    x = torch.tensor([3.0, 6.0, 0.0, 9.0]).view(1, 4, 1).expand(1, 4, 4)
    torch.testing.assert_close(net(x)[0, :, 0], torch.tensor([3.0, 3.0, 5.0, 3.0]))
    torch.testing.assert_close(net(x)[0, :, 3], net(x)[0, :, 0])


def test_padding_says_nothing():
    torch.manual_seed(0)
    net, x = LightConv(8, 2, 5), torch.randn(2, 9, 8)
    y = net(x, lengths_mask(9, 9, 6))
    torch.testing.assert_close(y[1, :6], net(x[1:, :6])[0])
    assert not y[1, 6:].any()


def test_drop_connect():
    """Kernel values are dropped for items and heads apart, the same at all frames; evaluation drops none."""
    torch.manual_seed(0)
    net, kept = LightConv(4, 2, 3, dropout=0.5), []
    torch.nn.init.zeros_(net.weight)
    x = torch.zeros(50, 9, 4)
    x[:, 4] = 1.0  # an impulse shows its kernel at frames 3, 4, 5
    for _ in range(40):
        y = net(x)
        assert torch.equal(y[..., 0], y[..., 1]) and not y[:, :3].any() and not y[:, 6:].any()
        kept.append(y[:, 3:6, ::2])
    kept = torch.stack(kept)
    assert kept.unique().tolist() == [0.0, pytest.approx(2 / 3)]
    assert float(kept.mean()) == pytest.approx(1 / 3, abs=0.01)
    assert (kept[0] != kept[0, :1]).any() and (kept[0, ..., 0] != kept[0, ..., 1]).any()
    x = torch.randn(1, 40, 4)
    for k in (0, 25):  # what is dropped does not depend on the frame
        torch.manual_seed(3)
        torch.testing.assert_close(net(x)[:, k + 1 : k + 9], _again(net, x[:, k : k + 10])[:, 1:9])
    assert torch.equal(net.eval()(x), net(x))


def _again(net, x):
    torch.manual_seed(3)
    return net(x)


@pytest.mark.parametrize("train", [True, False])
def test_autocast(train):
    torch.manual_seed(0)
    net, x = LightConv(8, 2, 5, dropout=0.2 if train else 0.0).train(train), torch.randn(2, 9, 8)
    torch.manual_seed(1)
    exact = net(x)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.03, atol=0.03)
    assert net.kernels(2).dtype == torch.float32


def test_initial_weights():
    torch.manual_seed(0)
    weight = LightConv(64, 8, 15).weight
    assert weight.shape == (8, 1, 15)
    assert 0.8 < weight.abs().max().item() / (6 / (15 + 8 * 15)) ** 0.5 <= 1  # Glorot: fans 15 and 8 * 15


@pytest.mark.parametrize("bad", [(10, 4, 3, 0.0), (8, 2, 4, 0.0), (8, 2, 3, 1.0)])
def test_refuses(bad):
    with pytest.raises(ValueError, match="do not fit"):
        LightConv(*bad)
