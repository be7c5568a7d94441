"""The MelGAN generator against espnet2's, which has the published layers."""

import pytest
import torch
from espnet2.gan_tts.melgan.melgan import MelGANGenerator as Plain

from evc2.errors import UserError
from evc2.nets.melgan import build_generator
from evc2.nets.melgan_generator import MelGANGenerator

SIZES = {"in_channels": 6, "channels": 64, "upsample_scales": [5, 4, 2], "stacks": 2}


def test_published_size_of_the_code_vocoder():
    net = MelGANGenerator(in_channels=160, channels=1024, upsample_scales=[8, 8, 4, 2, 2])
    assert sum(p.numel() for p in net.parameters()) == 17_196_610
    assert net.upsample_factor == 1024


@pytest.mark.parametrize("batch", [1, 2])
def test_output_and_gradients_equal_espnet2(batch):
    torch.manual_seed(0)
    ours, plain = MelGANGenerator(**SIZES), Plain(**SIZES)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(batch, 6, 11)
    a, b = ours(x), plain(x)
    assert a.shape == (batch, 1, 11 * 40) and torch.allclose(a, b, atol=1e-5)
    for y in (a, b):
        (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    theirs = dict(plain.named_parameters())
    assert set(theirs) == {name for name, _ in ours.named_parameters()}
    for name, value in ours.named_parameters():
        assert torch.allclose(value.grad, theirs[name].grad, rtol=1e-3, atol=1e-5), name


def test_folded_weights_give_the_same_sound():
    net, x = MelGANGenerator(**SIZES), torch.randn(1, 6, 9)
    before = net(x)
    net.remove_weight_norm()
    net.remove_weight_norm()
    assert torch.allclose(net(x), before, atol=1e-5)
    assert not any(name.endswith(("_g", "_v")) for name in net.state_dict())
    again = MelGANGenerator(**SIZES, use_weight_norm=False)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(x), net(x))


def test_settings_of_other_projects_pass_if_they_are_ours():
    build_generator({"nonlinear_activation": "LeakyReLU", "bias": True, "channels": 32, "upsample_scales": [4, 4]})
    with pytest.raises(UserError, match="nonlinear_activation.*LeakyReLU"):
        build_generator({"nonlinear_activation": "PReLU"})
