"""Layers with time outside: equal to torch's, gradients included."""

import pytest
import torch
from torch import nn

from evc2.nets.layers import time_major, time_major_up
from evc2.nets.melgan_generator import SLOPE, Conv, MelGANGenerator, ResidualStack, Upsample


class Last(Conv):
    """The last layer as the generator applies it."""

    def forward(self, x):
        if time_major.suits(x):
            return time_major.LastConv.apply(x, self.value(), self.bias, SLOPE)
        return super().forward(nn.functional.leaky_relu(x, SLOPE))


LAYERS = {
    "stack": (lambda norm: ResidualStack(12, 3, 1, norm), 12, 10, "ResidualStack"),
    "dilated stack": (lambda norm: ResidualStack(16, 3, 9, norm), 16, 13, "ResidualStack"),
    "wide kernel": (lambda norm: ResidualStack(4, 5, 2, norm), 4, 11, "ResidualStack"),
    "one channel": (lambda norm: ResidualStack(1, 3, 3, norm), 1, 11, "ResidualStack"),
    "kernel 1": (lambda norm: ResidualStack(6, 1, 1, norm), 6, 1, "ResidualStack"),
    "up by 2": (lambda norm: Upsample(16, 8, 2, norm), 16, 33, "Upsample"),
    "up by 5": (lambda norm: Upsample(10, 5, 5, norm), 10, 21, "Upsample"),
    "few up by 8": (lambda norm: Upsample(32, 16, 8, norm), 32, 3, "UpsampleFew"),
    "few up by 3": (lambda norm: Upsample(32, 4, 3, norm), 32, 3, "UpsampleFew"),
    "last": (lambda norm: Last(16, 1, 7, weight_norm=norm), 16, 19, "LastConv"),
    "last of four": (lambda norm: Last(8, 4, 7, weight_norm=norm), 8, 4, "LastConv"),
}


def passes(module, x, frozen=()):
    """Output, the way's name, and gradients by input and parameters."""
    x = x.detach().clone().requires_grad_("x" not in frozen)
    module.zero_grad(set_to_none=True)
    for name, value in module.named_parameters():
        value.requires_grad_(not any(part in name for part in frozen))
    y = module(x)
    (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    gradients = {"x": x.grad, **{name: value.grad for name, value in module.named_parameters()}}
    return y, y.grad_fn.name().removesuffix("Backward"), gradients


def compare(module, x, way, monkeypatch, frozen=()):
    y, name, ours = passes(module, x, frozen)
    assert name == way
    with monkeypatch.context() as patch:
        patch.setattr(time_major, "suits", lambda x: False)
        plain, name, theirs = passes(module, x, frozen)
    assert name != way, "a way was compared with itself"
    assert y.shape == plain.shape and torch.allclose(y, plain, rtol=1e-4, atol=1e-5)
    for name, value in theirs.items():
        assert (value is None) == (ours[name] is None), name
        if value is not None:
            assert ours[name].shape == value.shape, name
            assert torch.allclose(ours[name], value, rtol=1e-3, atol=1e-5 * float(value.abs().max()) + 1e-5), name


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layer", LAYERS)
def test_output_and_gradients_equal_torch(layer, batch, norm, monkeypatch):
    torch.manual_seed(0)
    build, channels, length, way = LAYERS[layer]
    compare(build(norm), torch.randn(batch, channels, length), way, monkeypatch)


@pytest.mark.parametrize("frozen", [("x",), ("bias",), ("weight_v",), ("weight_g",), ("weight", "bias"), ("stack",)])
@pytest.mark.parametrize("layer", ["dilated stack", "up by 2", "few up by 8", "last"])
def test_what_needs_no_gradient_gets_none(layer, frozen, monkeypatch):
    torch.manual_seed(0)
    build, channels, length, way = LAYERS[layer]
    compare(build(True), torch.randn(2, channels, length), way, monkeypatch, frozen)


def test_a_generator_goes_this_way_unless_something_speaks_against_it(monkeypatch):
    torch.manual_seed(0)
    net = MelGANGenerator(in_channels=6, channels=32, upsample_scales=[4, 2], stacks=3)
    calls = []
    for name in ("ResidualStack", "Upsample", "UpsampleFew", "LastConv"):
        layer = getattr(time_major_up if name.startswith("Up") else time_major, name)
        monkeypatch.setattr(layer, "apply", lambda *a, f=layer.apply, name=name: calls.append(name) or f(*a))
    x = torch.randn(1, 6, 12)
    y = net(x)
    few, plain = ["UpsampleFew", *["ResidualStack"] * 3], ["Upsample", *["ResidualStack"] * 3]
    assert calls == few + plain + ["LastConv"]
    with torch.inference_mode():
        assert torch.equal(net.eval()(x), y) and len(calls) == 18
    calls.clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(net(x).float(), y, atol=0.05)
    assert torch.allclose(net.double()(x.double()).float(), y, atol=1e-5) and not calls
    # reflected edges need more places than they are wide: torch says so, and so do we
    with pytest.raises(RuntimeError, match="[Pp]adding"):
        net.float()(x[:, :, :2])


def test_compiled_gives_the_same(monkeypatch):
    torch.manual_seed(0)
    net, x = MelGANGenerator(in_channels=6, channels=16, upsample_scales=[2], stacks=1), torch.randn(1, 6, 12)
    monkeypatch.setattr(time_major.ResidualStack, "apply", None)  # not to be reached
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    with monkeypatch.context() as patch:
        patch.setattr(time_major, "suits", lambda x: False)
        plain = net(x)
    assert torch.allclose(compiled(x), plain, atol=1e-6)
