"""Networks of the VAE-GAN: published parameter counts, sizes, and equality with the published layers."""

import pytest
import torch
from plain_vaegan import plain
from torch import nn

from evc2.errors import UserError
from evc2.nets.vaegan import Discriminator, Encoder, Generator, ResidualBlock, norm


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameter_counts_are_the_published_ones():
    assert count(Encoder()) == 1_346_304
    assert count(ResidualBlock(128)) == 295_168
    assert count(ResidualBlock(128)) + count(Generator(out="tanh")) == 1_346_177
    assert count(Discriminator()) == 2_759_105
    assert [count(plain(k, 64 if k[0] == "d" else 32)) for k in ("encoder", "generator", "discriminator")] == [
        1_346_304, 1_346_177, 2_759_105,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["encoder", "generator", "discriminator"])
def test_they_compute_what_the_specification_says(kind):
    torch.manual_seed(0)
    reference = plain(kind, 4)
    if kind == "generator":
        shared, own = ResidualBlock(16), Generator(4, out="tanh")
        ours, nets = lambda x: own(shared(x)), (shared, own)
    else:
        net = Encoder(4) if kind == "encoder" else Discriminator(4)
        ours, nets = (lambda x: net(x)[0]) if kind == "encoder" else net, (net,)
    mine = [p for net in nets for p in net.parameters()]
    theirs = list(reference.parameters())
    if kind == "generator":  # the last convolution is registered after the transposed ones in both
        assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        a.data.copy_(b.data)
    x = torch.randn(3, 16, 8, 12) if kind == "generator" else torch.rand(3, 1, 32, 48)
    assert torch.allclose(ours(x), reference(x), atol=2e-5)


def test_sizes_and_outputs():
    x = torch.rand(2, 1, 48, 64)
    mu, logvar = Encoder(4, learned_variance=True)(x)
    assert mu.shape == logvar.shape == (2, 16, 12, 16) and Encoder(4)(x)[1] is None
    for out, low in (("sigmoid", 0.0), ("tanh", -1.0)):
        y = Generator(4, out=out)(mu)
        assert y.shape == x.shape and y.min() >= low and y.max() <= 1.0
    assert Discriminator(4)(x).shape == (2, 1, 3, 4)
    with pytest.raises(UserError, match="'relu', expected sigmoid or tanh"):
        Generator(4, out="relu")


def test_norm_is_instance_normalisation_in_any_memory_order():
    x = 3 + 2 * torch.randn(2, 5, 7, 9)
    expected = nn.InstanceNorm2d(5)(x)
    for given in (x, x.to(memory_format=torch.channels_last)):
        assert torch.allclose(norm(given), expected, atol=1e-5)
    assert norm(x.bfloat16()).dtype == torch.bfloat16


def test_its_gradient_is_right():
    x = torch.randn(2, 3, 4, 5)
    one, two = (x.clone().requires_grad_() for _ in range(2))
    weight = torch.randn(2, 3, 4, 5)
    (norm(one) * weight).sum().backward()
    (nn.InstanceNorm2d(3)(two) * weight).sum().backward()
    assert torch.allclose(one.grad, two.grad, atol=1e-5)
