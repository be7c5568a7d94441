"""Generator, discriminator and their blocks against known answers."""

import pytest
import torch
from torch.nn import functional as F

from evc2.nets.cyclegan import Discriminator, Generator
from evc2.nets.layers.conv import GatedConv1d, pad_same, pixel_shuffle_1d, same_padding


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_published_parameter_counts():
    assert count(Generator()) == 38_055_704
    assert count(Discriminator()) == 21_837_825


def test_shapes_of_the_published_layout():
    assert Generator(channels=4)(torch.randn(2, 24, 128)).shape == (2, 24, 128)
    assert Discriminator(channels=4)(torch.randn(2, 24, 128))[0].shape == (2, 6, 8)
    patch, logits = Discriminator(channels=4, num_classes=3)(torch.randn(2, 23, 128))
    assert patch.shape == (2, 6, 8) and logits.shape == (2, 3)


def test_same_padding_is_tensorflows():
    assert same_padding(128, 5, 2) == (1, 2)
    assert same_padding(128, 15, 1) == (7, 7)
    assert same_padding(24, 3, 2) == (0, 1)
    assert same_padding(23, 3, 2) == (1, 1)
    assert same_padding(6, 6, 1) == (2, 3)
    padded = pad_same(torch.ones(1, 1, 6, 8), (6, 3), (1, 2))
    assert padded.shape == (1, 1, 11, 9) and padded[0, 0, :2].sum() == 0 and padded[0, 0, 2, 0] == 1


def test_pixel_shuffle_order():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [10.0, 20.0], [30.0, 40.0]]])  # [1, 4 channels, 2 frames]
    y = pixel_shuffle_1d(x, 2)
    assert y.tolist() == [[[1, 10, 2, 20], [3, 30, 4, 40]]]
    published = x.transpose(1, 2).reshape(1, 4, 2).transpose(1, 2)  # reshape in channel-last memory
    assert torch.equal(y, published)


def test_fused_pair_equals_two_convolutions():
    torch.manual_seed(0)
    block = GatedConv1d(6, 4, 5, shuffle=2)
    x = torch.randn(2, 6, 16)
    value, gate = (
        F.instance_norm(
            pixel_shuffle_1d(F.conv1d(F.pad(x, (2, 2)), w, b), 2), weight=nw, bias=nb, eps=1e-6
        )
        for w, b, nw, nb in zip(
            block.conv.weight.chunk(2), block.conv.bias.chunk(2), block.norm.weight.chunk(2), block.norm.bias.chunk(2),
            strict=True,
        )
    )  # fmt: skip
    torch.testing.assert_close(block(x), value * gate.sigmoid())


def test_forward_refuses_other_lengths():
    with pytest.raises(ValueError, match="multiple of 4"):
        Generator(channels=4, num_res=1)(torch.randn(1, 24, 130))


@pytest.mark.parametrize("sigmoid", [True, False])
def test_sigmoid_option(sigmoid):
    torch.manual_seed(0)
    net = Discriminator(channels=4, sigmoid=sigmoid)
    with torch.no_grad():
        net.patch.bias.fill_(5.0)
    out = net(torch.randn(4, 24, 64))[0]
    assert (out.max() <= 1) == sigmoid


def test_spectral_norm_bounds_the_kernels():
    torch.manual_seed(0)
    net = Discriminator(channels=4, spectral=True)
    for _ in range(30):
        net(torch.randn(1, 24, 32))
    weight = net.trunk[1].conv.weight.detach().flatten(1)
    assert torch.linalg.matrix_norm(weight, 2) == pytest.approx(1, abs=0.05)
