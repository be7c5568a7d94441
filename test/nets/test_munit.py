"""The networks of the style-transfer autoencoder: published sizes, shapes, adaptive normalisation."""

import pytest
import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.nets.layers.conv import GatedConv1d, pad_same
from evc2.nets.munit import AdaptiveResidual, ContentEncoder, Decoder, StyleEncoder, StyleMLP, adaptive_norm


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_published_parameter_counts():
    decoder = Decoder()
    assert count(StyleEncoder()) == 4_888_336
    assert count(ContentEncoder()) == 11_191_552
    assert count(StyleMLP(16, 512, decoder.norms, "shared")) == 1_321_984
    assert count(decoder) == 10_408_472


def test_shapes():
    style, content = StyleEncoder(channels=4), ContentEncoder(channels=4, num_res=1)
    decoder, mlp = Decoder(channels=4, num_res=2), StyleMLP(16, 16, 6)
    x = torch.randn(3, 24, 64)
    c, s = content(x), style(x)
    assert c.shape == (3, 16, 16) and s.shape == (3, 16)
    assert decoder(c, mlp(s)).shape == x.shape
    with pytest.raises(ValueError, match="multiple of 4"):
        content(torch.randn(1, 24, 62))


def test_adaptive_norm_sets_mean_and_deviation():
    x = 5.0 + 3.0 * torch.randn(2, 4, 4000)
    gain, bias = torch.rand(2, 4, 1) + 0.5, torch.randn(2, 4, 1)
    y = adaptive_norm(x, gain, bias)
    torch.testing.assert_close(y.mean(2, keepdim=True), bias, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(y.std(2, keepdim=True, correction=0), gain, atol=1e-4, rtol=1e-4)


def test_fused_pair_equals_value_and_gate_apart():
    torch.manual_seed(0)
    block, x, params = AdaptiveResidual(4), torch.randn(2, 4, 12), torch.randn(2, 3, 2, 4, 1)
    padded = pad_same(x, (3,), (1,))
    weights = zip(block.pair.weight.chunk(2), block.pair.bias.chunk(2), strict=True)
    value, gate = (
        adaptive_norm(F.conv1d(padded, w, b), params[:, k, 0], params[:, k, 1]) for k, (w, b) in enumerate(weights)
    )
    h = block.conv(pad_same(value * gate.sigmoid(), (3,), (1,)))
    torch.testing.assert_close(block(x, params), x + adaptive_norm(h, params[:, 2, 0], params[:, 2, 1]))


def test_layer_norm_treats_value_and_gate_apart():
    """Each half has mean 0 and deviation 1 over channels and time, whatever the other half is."""
    block = GatedConv1d(3, 4, 5, norm="layer")
    h = block.norm(torch.cat((100.0 + torch.randn(2, 4, 50), 0.01 * torch.randn(2, 4, 50)), 1))
    for half in h.chunk(2, dim=1):
        torch.testing.assert_close(half.mean((1, 2)), torch.zeros(2), atol=1e-4, rtol=0)
        torch.testing.assert_close(half.std((1, 2)), torch.ones(2), atol=2e-2, rtol=0)


def test_shared_gains_are_one_pair_and_layers_have_their_own():
    shared, own = StyleMLP(4, 6, 5, "shared"), StyleMLP(4, 6, 5)
    s = torch.randn(2, 4)
    assert shared(s).shape == own(s).shape == (2, 5, 2, 6, 1)
    assert torch.equal(shared(s)[:, 0], shared(s)[:, 4])
    assert not torch.equal(own(s)[:, 0], own(s)[:, 4])
    with pytest.raises(UserError, match="adain is 'both'"):
        StyleMLP(4, 6, 5, "both")
