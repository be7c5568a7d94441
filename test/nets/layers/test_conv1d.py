"""Convolutions as matrix products: equal to torch's, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

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
def test_transposed_convolution_equals_torch(batch, length, kernel, stride, padding, monkeypatch):
    torch.manual_seed(0)
    calls = []
    monkeypatch.setattr(conv1d, "spread_weight", lambda *a, f=conv1d.spread_weight: calls.append(1) or f(*a))
    x, more = torch.randn(batch, 6, length), {"stride": stride, "padding": padding}
    ours, plain = conv1d.ConvTranspose1d(6, 5, kernel, **more), nn.ConvTranspose1d(6, 5, kernel, **more)
    for a, b in both(ours, plain, x):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)
    assert calls, "torch's own was compared with itself"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_weight_in_a_part_for_each_thread_is_the_same_weight(threads, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    weight, cols, g, bias = torch.randn(6, 4, 3), torch.randn(12, 5), torch.randn(6, 10), torch.randn(6)
    assert torch.allclose(conv1d.apply_weight(weight, cols, bias), weight.flatten(1) @ cols + bias[:, None], atol=1e-5)
    assert torch.allclose(conv1d.apply_weight(weight, cols), weight.flatten(1) @ cols, atol=1e-5)
    spread = conv1d.spread_weight(weight, g, torch.Size((4, 2, 5)), conv1d.How(3, 1, 1, 1)).transpose(0, 1)
    x = torch.zeros(2, 4, 5, requires_grad=True)
    F.conv1d(x, weight, padding=1).backward(g.view(6, 2, 5).transpose(0, 1))
    assert torch.allclose(spread, x.grad, atol=1e-5)


def layers(kind, steps):
    return kind(
        conv1d.Conv1d(6, 8, 4, stride=2, padding=1), nn.BatchNorm1d(8), nn.LeakyReLU(0.1),
        conv1d.Conv1d(8, 10, 3, padding=1), nn.BatchNorm1d(10), nn.ReLU(), nn.Conv1d(10, 4, 1), nn.LeakyReLU(0.1),
    )[:steps]  # fmt: skip


@pytest.mark.parametrize("frozen", [(), ("0.weight",), ("1.",), ("0.", "1.weight"), ("x",), ("x", "weight")])
@pytest.mark.parametrize("steps", [2, 3, 8])
def test_layers_with_batch_norm_equal_torch(steps, frozen, monkeypatch):
    torch.manual_seed(0)
    calls = []
    fused = conv1d._ConvNorm.apply
    monkeypatch.setattr(conv1d._ConvNorm, "apply", lambda *a: calls.append(a[-1]) or fused(*a))
    ours, plain = layers(conv1d.Layers, steps), layers(nn.Sequential, steps)
    plain.load_state_dict(ours.state_dict())
    results = []
    for net in (ours, plain):
        for name, value in net.named_parameters():
            nn.init.normal_(value, generator=torch.Generator().manual_seed(value.numel()))
            value.requires_grad_(not any(part in name for part in frozen))
        for turn in range(2):  # running averages move twice
            x = torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(turn)).requires_grad_("x" not in frozen)
            y = net(x)
            if y.requires_grad:
                (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
        values = {"y": y, "dx": x.grad, **{f"d {k}": v.grad for k, v in net.named_parameters()}, **net.state_dict()}
        with torch.no_grad():
            values["eval"] = net.eval()(x)
        results.append({name: value if value is None else value.detach() for name, value in values.items()})
    assert calls == {2: [1.0], 3: [0.1], 8: [0.1, 1.0]}[steps] * 2, "the first net, in training, and no other"
    for name, value in results[1].items():
        mine = results[0][name]
        assert (mine is None) == (value is None), name
        if value is not None:
            assert torch.allclose(mine, value, rtol=1e-4, atol=1e-4 * max(1, float(value.abs().max()))), name


def test_batch_norms_of_other_kinds_and_single_values_are_torchs(monkeypatch):
    monkeypatch.setattr(conv1d._ConvNorm, "apply", None)
    conv, x = conv1d.Conv1d(2, 3, 3, padding=1), torch.randn(2, 2, 8)
    for norm in (nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3, track_running_stats=False), nn.GroupNorm(1, 3)):
        assert torch.equal(conv1d.conv_norm(conv, norm, x), norm(conv(x)))
    with pytest.raises(ValueError, match="more than 1 value"):
        conv1d.conv_norm(conv, nn.BatchNorm1d(3), x[:1, :, :1])


def test_frozen_weights_get_no_gradient_and_long_input_is_torchs():
    conv = conv1d.Conv1d(2, 3, 3, padding=1).requires_grad_(False)
    x = torch.randn(1, 2, 8, requires_grad=True)
    conv(x).sum().backward()
    assert conv.weight.grad is None and conv.bias.grad is None and x.grad.abs().sum() > 0
    long = torch.randn(1, 2, conv1d.MOST_COLUMNS + 1)
    assert torch.equal(conv(long), nn.functional.conv1d(long, conv.weight, conv.bias, padding=1))


def test_compiled_gives_the_same(monkeypatch):
    torch.manual_seed(0)
    net, x = layers(conv1d.Layers, 8), torch.randn(2, 6, 20)
    plain = net(x)
    monkeypatch.setattr(conv1d._ConvNorm, "apply", None)  # not to be reached
    assert torch.allclose(torch.compile(net, backend="eager", fullgraph=True)(x), plain, atol=1e-5)
