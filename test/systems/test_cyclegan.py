"""The CycleGAN system: losses, turns, gradients, conversion."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.stats import Stats
from evc2.systems import build
from evc2.train.abs_model import ConversionTarget
from evc2.train.turns import Owners

SMALL = {"generator": {"channels": 4, "num_res": 1}, "discriminator": {"channels": 2}}


def batch(n: int = 2, order: int = 24) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {k: torch.randn(n, 32, order, generator=g) + i for i, k in enumerate("AB")}


def losses(model, data, turn=None, step=0):
    cache = model.begin_batch(step, data)
    if turn == "discriminator":
        model(turn="generator", step=step, cache=cache, **data)
    return model(turn=turn, step=step, cache=cache, **data)


@pytest.mark.parametrize("conf", [{}, {"lambda_cls": 1.0}, {"power": "network"}, {"power": "keep"}])
def test_every_turn_trains_what_it_owns(conf):
    torch.manual_seed(0)
    model, data = build("cyclegan", {**SMALL, **conf}), batch()
    for turn in model.turns:
        optimizer = torch.optim.Adam(list(model.turn_parameters(turn)), lr=1e-3)
        before, _, weight = losses(model, data, turn)
        assert weight == 2
        Owners(model).only(turn)
        losses(model, data, turn)[0].backward()
        owned = {id(p) for p in model.turn_parameters(turn)}
        for name, p in model.named_parameters():
            assert (p.grad is not None) == (id(p) in owned), name
            assert p.grad is None or p.grad.abs().sum() > 0 or name.endswith("conv.bias"), name
        optimizer.step()
        after, _, _ = losses(model, data, turn)
        assert after < before
        model.zero_grad()
        model.requires_grad_(True)


def test_losses_equal_the_published_scheme():
    """One pass for conversion and identity, cached fakes, fused pairs: the same numbers as every forward done anew."""
    torch.manual_seed(0)
    model, data = build("cyclegan", {**SMALL, "power": "network"}), batch()
    a, b = data["A"].transpose(1, 2), data["B"].transpose(1, 2)
    fake_b, fake_a = model.G_AB(a), model.G_BA(b)
    adversarial = (model.D_B(fake_b)[0] - 1).square().mean() + (model.D_A(fake_a)[0] - 1).square().mean()
    cycle = F.l1_loss(model.G_BA(model.G_AB(a)), a) + F.l1_loss(model.G_AB(model.G_BA(b)), b)
    identity = F.l1_loss(model.G_AB(b), b) + F.l1_loss(model.G_BA(a), a)
    expected = adversarial + 10 * cycle + 5 * identity
    torch.testing.assert_close(losses(model, data, "generator")[0], expected)
    parts = [
        0.5 * ((net(real)[0] - 1).square().mean() + net(fake)[0].square().mean())
        for net, real, fake in ((model.D_A, a, fake_a), (model.D_B, b, fake_b))
    ]
    torch.testing.assert_close(losses(model, data, "discriminator")[0], sum(parts))
    torch.testing.assert_close(losses(model, data)[0], expected + sum(parts))


def test_identity_stops():
    model, data = build("cyclegan", {**SMALL, "identity_stop": 10}), batch()
    assert "identity" in losses(model, data, "generator", step=9)[1]
    assert "identity" not in losses(model, data, "generator", step=10)[1]


def test_fakes_are_those_of_before_the_generator_step():
    torch.manual_seed(0)
    model, data = build("cyclegan", SMALL), batch()
    cache = model.begin_batch(0, data)
    loss, _, _ = model(turn="generator", cache=cache, **data)
    kept = cache.fake_b.clone()
    loss.backward()
    torch.optim.SGD(list(model.turn_parameters("generator")), lr=1.0).step()
    model(turn="discriminator", cache=cache, **data)
    assert torch.equal(cache.fake_b, kept)
    assert not torch.allclose(model.G_AB(cache.a), kept)


@pytest.fixture
def trained():
    """A model with statistics of two speakers; its generators are made to be the identity on normalised features."""
    model, stats, rng = build("cyclegan", SMALL), Stats(), np.random.default_rng(0)
    for speaker, shift in (("s1", 0.0), ("s2", 0.3)):
        for emotion, mean, pitch in (("neutral", 0.0, 120.0), ("angry", 1.0, 200.0)):
            feats = rng.normal(mean + shift, 0.5, (400, 24)).astype(np.float32)
            f0 = np.exp(rng.normal(np.log(pitch), 0.1, 400)).astype(np.float32)
            stats.add(speaker, emotion, feats, f0, rng.normal(-5 + mean, 1, 400).astype(np.float32))
    model.stats = stats
    identity = torch.nn.Identity()
    identity.convert = lambda x: x
    model.G_AB = model.G_BA = identity
    model.register_parameter("anchor", torch.nn.Parameter(torch.zeros(1)))
    return model


def source(frames=50, speaker="s1"):
    rng = np.random.default_rng(1)
    f0 = np.where(np.arange(frames) % 5 > 0, 120.0 * np.exp(rng.normal(0, 0.1, frames)), 0).astype(np.float32)
    feats = rng.normal(0, 0.5, (frames, 24)).astype(np.float32)
    power = rng.normal(-5, 1, frames).astype(np.float32)
    return {"feats": feats, "f0": f0, "power": power, "speaker": speaker, "emotion": "neutral"}


def test_identity_network_gives_the_mean_variance_mapping(trained):
    x = source()
    y = trained.convert(x, ConversionTarget("angry"))
    src, tgt = (trained.stats.get("s1", e) for e in ("neutral", "angry"))
    expected = (x["feats"] - src.feats_mean) / src.feats_std * tgt.feats_std + tgt.feats_mean
    np.testing.assert_allclose(y["feats"][:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(y["feats"][:, 0], x["feats"][:, 0])  # energy goes through the power transform
    assert y["feats"].shape == x["feats"].shape and len(y["power"]) == 50
    assert np.array_equal(y["f0"] > 0, x["f0"] > 0)
    voiced = x["f0"] > 0
    expected = np.exp((np.log(x["f0"][voiced]) - src.lf0_mean) / src.lf0_std * tgt.lf0_std + tgt.lf0_mean)
    np.testing.assert_allclose(y["f0"][voiced], expected, rtol=1e-4)


def test_intensity_zero_is_the_source_and_one_half_is_between(trained):
    x = source()
    zero, half, one = (trained.convert(x, ConversionTarget("angry", intensity=i)) for i in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(zero["feats"], x["feats"], atol=1e-5)
    np.testing.assert_allclose(zero["f0"], x["f0"], rtol=1e-5)
    np.testing.assert_allclose(half["feats"], (zero["feats"] + one["feats"]) / 2, atol=1e-4)


def test_the_spectrum_has_an_intensity_of_its_own(trained):
    x, whole = source(), trained.convert(source(), ConversionTarget("angry"))
    half = trained.convert(x, ConversionTarget("angry", spectrum_intensity=0.5))
    np.testing.assert_allclose(half["feats"], (x["feats"] + whole["feats"]) / 2, atol=1e-4)
    np.testing.assert_array_equal(half["f0"], whole["f0"])
    np.testing.assert_array_equal(half["power"], whole["power"])


def test_unknown_speaker_is_converted_by_the_mean_shift(trained):
    y = trained.convert(source(speaker=None), ConversionTarget("angry"))
    shift = (y["feats"] - source()["feats"])[:, 1:].mean()
    assert shift == pytest.approx(1.0, abs=0.15)


def test_wrong_emotion_is_said(trained):
    with pytest.raises(UserError, match="between neutral and angry, not to 'sad'"):
        trained.convert(source(), ConversionTarget("sad"))
    with pytest.raises(UserError, match="from angry speech"):
        trained.convert(source(), ConversionTarget("neutral"))


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"lambda_cycel": 1}, "did you mean lambda_cycle"),
        ({"power": "loud"}, "expected one of network, gaussian, keep"),
        ({"domains": ["sad", "sad"]}, "two different emotions"),
    ],
)
def test_wrong_configuration(conf, message):
    with pytest.raises(UserError, match=message):
        build("cyclegan", conf)


def test_unknown_system():
    with pytest.raises(UserError, match="did you mean cyclegan"):
        build("cyclgan", {})


def test_deepcopy_keeps_turns_apart():
    model = build("cyclegan", SMALL)
    other = copy.deepcopy(model)
    assert not {id(p) for p in other.parameters()} & {id(p) for p in model.parameters()}
