"""The MUNIT system: losses as published, turns, many domains, styles, conversion."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.stats import Stats
from evc2.systems import build
from evc2.train.abs_model import ConversionTarget
from evc2.train.turns import Owners

SMALL = {
    "content": {"channels": 4, "num_res": 1},
    "style": {"channels": 4},
    "decoder": {"channels": 4, "num_res": 1},
    "discriminator": {"channels": 2},
}
THREE = {**SMALL, "domains": ["neutral", "angry", "sad"]}


def batch(pair=(0, 1), n=2, order=24):
    g = torch.Generator().manual_seed(0)
    halves = {k: torch.randn(n, 32, order, generator=g) + i for i, k in enumerate("AB")}
    return {**halves, "domains": pair}


def utterance(speaker, emotion, frames=90, seed=0):
    rng = np.random.default_rng([seed, len(emotion)])
    f0 = np.where(np.arange(frames) % 20 < 12, 150.0 + 20 * rng.random(frames), 0.0)
    feats = rng.normal(len(emotion) / 5, 1.0, (frames, 24)).astype(np.float32)
    return {"feats": feats, "f0": f0, "power": rng.normal(2.0, 1.0, frames), "speaker": speaker, "emotion": emotion}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build("munit", THREE).eval()
    model.stats = Stats()
    for emotion in model.domains:
        for speaker in ("x", "y"):
            u = utterance(speaker, emotion, 200, 1)
            model.stats.add(speaker, emotion, u["feats"], u["f0"], u["power"])
    torch.nn.init.normal_(model.style_mean)
    return model


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("conf", [{}, {"shared": []}, {"shared": ["content", "style", "mlp", "decoder"]},
                                  {"lambda_cls": 1.0},
                                  {"adain": "shared", "lambda_cycle": 2.0, "power": "network"}])  # fmt: skip
def test_every_turn_trains_what_the_pair_owns(pair, conf):
    torch.manual_seed(0)
    model, data = build("munit", {**THREE, **conf}), batch(pair)
    unused = ({0, 1, 2} - set(pair)).pop()
    for turn in model.turns:
        cache = model.begin_batch(0, data)
        Owners(model).only(turn)
        model(turn=turn, cache=cache, **data)[0].backward()
        owned = {id(p) for p in model.turn_parameters(turn)}
        for name, p in model.named_parameters():
            part, number = name.split(".")[:2]
            idle = len(getattr(model, part)) > 1 and int(number) == unused
            assert (p.grad is not None) == (id(p) in owned and not idle), name
        model.zero_grad()
        model.requires_grad_(True)


def test_both_turns_learn_one_batch():
    torch.manual_seed(0)
    model, data, history = build("munit", THREE), batch((0, 2)), []
    optimizers = {t: torch.optim.Adam(list(model.turn_parameters(t)), lr=2e-3, betas=(0.5, 0.999)) for t in model.turns}
    for _ in range(40):
        cache = model.begin_batch(0, data)
        for turn, optimizer in optimizers.items():
            Owners(model).only(turn)
            optimizer.zero_grad()
            loss, stats, weight = model(turn=turn, cache=cache, **data)
            loss.backward()
            optimizer.step()
        model.requires_grad_(True)
        history.append({k: float(v) for k, v in stats.items()})
        assert weight == 2
    assert history[-1]["recon"] < 0.8 * history[0]["recon"]
    assert history[-1]["content"] < 0.8 * history[0]["content"]


def test_losses_equal_the_published_scheme():
    """Shared passes and cached fakes give the numbers of every forward done by itself."""
    torch.manual_seed(0)
    conf = {**SMALL, "shared": [], "style_draw": "encoded", "power": "network"}
    conf |= {"lambda_cycle": 3.0, "fixed_targets": False}
    model, data = build("munit", conf), batch()
    a, b = (data[k].transpose(1, 2) for k in "AB")
    content, style = model.content, model.style

    def dec(i, c, s):
        return model.decoder[i](c, model.mlp[i](s))

    c_a, c_b, s_a, s_b = content[0](a), content[1](b), style[0](a), style[1](b)
    x_ba, x_ab = dec(0, c_b, s_a), dec(1, c_a, s_b)
    recon = F.l1_loss(dec(0, c_a, s_a), a) + F.l1_loss(dec(1, c_b, s_b), b)
    styles = F.l1_loss(style[0](x_ba), s_a) + F.l1_loss(style[1](x_ab), s_b)
    contents = F.l1_loss(content[0](x_ba), c_b) + F.l1_loss(content[1](x_ab), c_a)
    cycle = F.l1_loss(dec(0, content[1](x_ab), s_a), a) + F.l1_loss(dec(1, content[0](x_ba), s_b), b)
    adv = (model.D[0](x_ba)[0] - 1).square().mean() + (model.D[1](x_ab)[0] - 1).square().mean()
    cache = model.begin_batch(0, data)
    loss, stats, _ = model(turn="generator", cache=cache, **data)
    expected = adv + 10 * recon + styles + contents + 3 * cycle
    torch.testing.assert_close(loss, expected)
    owned = list(model.turn_parameters("generator"))
    grads = [torch.autograd.grad(x, owned, retain_graph=True) for x in (loss, expected)]
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-3)
    real = sum((d(x)[0] - 1).square().mean() for d, x in zip(model.D, (a, b), strict=True))
    fake = sum(d(x)[0].square().mean() for d, x in zip(model.D, (x_ba, x_ab), strict=True))
    torch.testing.assert_close(model(turn="discriminator", cache=cache, **data)[0], real + fake)
    both, everything, _ = model(**data)
    torch.testing.assert_close(both, loss + real + fake)
    assert {"D_A", "D_B", "recon", "style", "content", "cycle"} <= set(everything)


def test_repo_preset_has_the_published_sizes():
    networks = build("munit", {"shared": [], "adain": "shared", "power": "network"}).networks()
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    assert count == {
        f"{part}_{emotion}": number
        for part, number in {"content": 11_191_552, "style": 4_888_336, "mlp": 1_321_984, "decoder": 10_408_472,
                             "D": 21_837_825}.items()
        for emotion in ("neutral", "angry")
    }  # fmt: skip


def test_mean_style_follows_the_data():
    torch.manual_seed(0)
    model = build("munit", THREE)
    codes = torch.randn(300, 8, 16) * 2 + 3
    for code in codes:
        model.remember(1, code)
    torch.testing.assert_close(model.style_mean[1], codes[-100:].mean((0, 1)), atol=0.3, rtol=0)
    torch.testing.assert_close(model.style_std[1], torch.full((16,), 2.0), atol=0.3, rtol=0)
    assert model.style_mean[0].abs().sum() == 0
    model.begin_batch(0, batch((0, 2)))
    assert model.style_mean[0].abs().sum() > 0
    before = model.style_mean.clone()
    model.eval().begin_batch(0, batch((0, 2)))
    assert torch.equal(model.style_mean, before)  # validation leaves it alone


def test_conversion_is_deterministic_and_depends_on_emotion_and_style(model):
    source = utterance("x", "neutral")
    out = {e: model.convert(source, ConversionTarget(e)) for e in ("angry", "sad")}
    again = model.convert(source, ConversionTarget("angry"))
    assert np.array_equal(out["angry"]["feats"], again["feats"])
    assert np.abs(out["angry"]["feats"] - out["sad"]["feats"]).max() > 0.1
    assert out["angry"]["feats"].shape == source["feats"].shape
    one, two, three = (
        model.convert(source, ConversionTarget("angry", style="random", seed=s))["feats"] for s in (0, 1, 0)
    )
    assert np.array_equal(one, three) and not np.array_equal(one, two)
    given = [
        model.convert(source, ConversionTarget("angry", style="reference", reference=r))["feats"]
        for r in (utterance("y", "angry", 64, 5), {**utterance("y", "angry", 33, 6), "speaker": None, "emotion": None})
    ]
    assert not np.array_equal(*given)


def test_intensity_goes_from_the_source_through_the_conversion(model):
    source = utterance("x", "neutral")
    feats = {i: model.convert(source, ConversionTarget("sad", intensity=i))["feats"] for i in (0.0, 0.5, 1.0, 1.5)}
    np.testing.assert_allclose(feats[0.0], source["feats"], atol=1e-5)
    distance = [np.abs(feats[i] - source["feats"]).mean() for i in (0.0, 0.5, 1.0)]
    assert distance[0] < distance[1] < distance[2]
    assert not np.array_equal(feats[1.0], feats[1.5])


@pytest.mark.parametrize("frames", [1, 3, 8, 66])
def test_any_length(model, frames):
    made = model.convert(utterance("x", "neutral", frames), ConversionTarget("sad"))
    assert made["feats"].shape == (frames, 24) and np.isfinite(made["feats"]).all()


def test_errors(model):
    source = utterance("x", "neutral")
    with pytest.raises(UserError, match="needs a reference recording"):
        model.convert(source, ConversionTarget("sad", style="reference"))
    with pytest.raises(UserError, match="style is 'loud', expected one of mean, reference, random"):
        model.convert(source, ConversionTarget("sad", style="loud"))
    with pytest.raises(UserError, match="must be told the source's: neutral, angry, sad"):
        model.convert({**source, "emotion": None}, ConversionTarget("sad"))
    with pytest.raises(UserError, match="not to 'happy'"):
        model.convert(source, ConversionTarget("happy"))
    with pytest.raises(UserError, match="makes sad speech from neutral or angry speech"):
        model.convert({**source, "emotion": "sad"}, ConversionTarget("sad"))
    with pytest.raises(UserError, match="no part 'contents' .did you mean"):
        build("munit", {**THREE, "shared": ["contents"]})
    with pytest.raises(UserError, match="2 to 12 different emotions"):
        build("munit", {**SMALL, "domains": ["sad"]})
    with pytest.raises(UserError, match="style_draw is 'none'"):
        build("munit", {**SMALL, "style_draw": "none"})
