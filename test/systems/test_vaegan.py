"""The VAE-GAN: losses by hand, who learns in which turn, pairings, conversion of any length, errors."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.systems import build
from evc2.train.abs_model import ConversionTarget
from evc2.train.turns import Owners

SMALL = {"dim": 4, "encoder": {"n_res": 1}, "generator": {"n_res": 1}, "discriminator": {"dim": 4}, "window": 32}
MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 128, "win": 512, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 32, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "db", "floor": 1e-5, "floor_place": "clip", "scale": [-100, 0],
}  # fmt: skip


def make(names="ab", **conf):
    torch.manual_seed(0)
    return build("vaegan", {**SMALL, "domains": list(names), **conf})


def crops(number, n=3):
    return {"feats": torch.rand(n, number, 32, 32, generator=torch.Generator().manual_seed(1))}


def utterance(frames=75, speaker="a"):
    feats = np.random.default_rng(0).random((frames, 32)).astype(np.float32)
    return {"feats": feats, "f0": None, "power": np.zeros(frames), "speaker": speaker, "emotion": "neutral"}


def test_losses_are_those_of_the_specification():
    model, data = make().eval(), crops(2)  # in evaluation no noise is added, so the terms can be repeated
    _, stats, weight = model(**data)
    x = [data["feats"][:, i].transpose(1, 2)[:, None] for i in range(2)]
    mu = [model.encoder(v)[0] for v in x]
    decode = lambda i, m: model.G[i](model.shared(m))  # noqa: E731
    fake = [decode(0, mu[1]), decode(1, mu[0])]
    back = [model.encoder(v)[0] for v in fake]
    terms = {
        "gan_a": F.mse_loss(model.D[0](fake[0]), torch.ones(3, 1, 2, 2)),
        "gan_b": F.mse_loss(model.D[1](fake[1]), torch.ones(3, 1, 2, 2)),
        "id_a": F.l1_loss(decode(0, mu[0]), x[0]),
        "cyc_a": F.l1_loss(decode(0, back[1]), x[0]),  # what was made of a for b, made a again
        "cyc_b": F.l1_loss(decode(1, back[0]), x[1]),
        "kl": mu[0].square().mean() + mu[1].square().mean(),
        "kl_fake": back[0].square().mean() + back[1].square().mean(),
        "latent": F.l1_loss(mu[0].mean(0), mu[1].mean(0)),
    }
    for name, value in terms.items():
        assert stats[name].item() == pytest.approx(value.item(), rel=1e-4), name
    id_b = F.l1_loss(decode(1, mu[1]), x[1])
    whole = 10 * (terms["gan_a"] + terms["gan_b"]) + 100 * (terms["id_a"] + id_b + terms["cyc_a"] + terms["cyc_b"])
    whole = whole + 0.1 * (terms["kl"] + terms["kl_fake"]) + 10 * terms["latent"]
    assert stats["loss_generator"].item() == pytest.approx(whole.item(), rel=1e-4) and weight == 3
    score = [F.mse_loss(model.D[i](x[i]), torch.ones(3, 1, 2, 2)) + model.D[i](fake[i]).square().mean() for i in (0, 1)]
    assert stats["loss_discriminator"].item() == pytest.approx(sum(score).item(), rel=1e-4)


@pytest.mark.parametrize("conf", [{}, {"noise": "learned"}, {"noise": "none"}, {"pairing": "pair"}, {"kl_weight": 0.0}])
def test_every_turn_trains_its_own(conf):
    model, data = make("abc", **conf), crops(3)
    cache = model.begin_batch(0, data)
    active = set(cache.source)
    assert active == ({0, 1, 2} if model.pairing == "all" else active) and len(active) in (2, 3)
    for turn in model.turns:
        Owners(model).only(turn)
        model(turn=turn, cache=cache, **data)[0].backward()
        owned = {id(p) for p in model.turn_parameters(turn)}
        for name, p in model.named_parameters():
            idle = name[0] in "GD" and int(name.split(".")[1]) not in active
            assert (p.grad is not None) == (id(p) in owned and not idle), name
        model.zero_grad()
        model.requires_grad_(True)
    mine = [id(p) for turn in model.turns for p in model.turn_parameters(turn)]
    assert len(mine) == len(set(mine)) == len(list(model.parameters()))  # the shared block is stepped once


def test_no_domain_comes_from_itself_and_all_pairs_come_up():
    model, seen = make("abcd"), set()
    for step in range(60):
        source = model.sources(step)
        assert sorted(source) == sorted(source.values()) == [0, 1, 2, 3]
        assert all(i != j for i, j in source.items())
        seen |= set(source.items())
    assert len(seen) == 12
    pair = make("abcd", pairing="pair")
    chosen = [pair.sources(step) for step in range(60)]
    assert all(len(s) == 2 and s[s[step % 4]] == step % 4 for step, s in enumerate(chosen))
    assert len({frozenset(s) for s in chosen}) == 6
    assert make("abc").eval().sources(0) == make("abc").eval().sources(7)


def test_it_learns():
    model, data = make(noise="unit"), crops(2)
    optimizers = {t: torch.optim.Adam(list(model.turn_parameters(t)), lr=2e-3, betas=(0.5, 0.999)) for t in model.turns}
    history = []
    for step in range(40):
        cache = model.begin_batch(step, data)
        for turn, optimizer in optimizers.items():
            Owners(model).only(turn)
            optimizer.zero_grad()
            loss, stats, _ = model(turn=turn, step=step, cache=cache, **data)
            loss.backward()
            optimizer.step()
            history.append({k: v.item() for k, v in stats.items()})
    assert all(np.isfinite(list(h.values())).all() for h in history)
    assert history[-2]["recon"] < 0.9 * history[0]["recon"]
    assert history[-1]["loss_discriminator"] < history[1]["loss_discriminator"]


def test_noise_is_added_in_training_only():
    model, x = make(), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        one, two = model.encode(x)[1], model.encode(x)[1]
        assert not torch.equal(one, two)
        model.eval()
        assert torch.equal(model.encode(x)[1], model.encode(x)[1])
    learned = make(noise="learned").eval()
    mean, _, kl = learned.encode(x)
    logvar = learned.encoder(x)[1]
    assert kl.item() == pytest.approx(-0.5 * (1 + logvar - mean**2 - logvar.exp()).mean().item(), rel=1e-5)


@pytest.mark.parametrize("frames", [1, 31, 32, 75, 200])
def test_conversion_of_any_length(frames):
    model = make().eval()
    made = model.convert(utterance(frames), ConversionTarget(speaker="b"))
    assert made["feats"].shape == (frames, 32) and made["f0"] is None
    assert 0.0 <= made["feats"].min() and made["feats"].max() <= 1.0
    source = utterance(frames)["feats"]
    half = model.convert(utterance(frames), ConversionTarget(speaker="b", intensity=0.5))["feats"]
    assert np.allclose(half, 0.5 * (source + made["feats"]), atol=1e-6)


def test_any_source_but_known_targets():
    model = make("abc").eval()
    unknown = model.convert(utterance(speaker=None), ConversionTarget(speaker="c"))["feats"]
    assert np.array_equal(unknown, model.convert(utterance(speaker="a"), ConversionTarget(speaker="c"))["feats"])
    assert set(model.panels(utterance(speaker=None), ConversionTarget(speaker="c"))) == {"converted"}
    panels = model.panels(utterance(), ConversionTarget(speaker="c"))
    assert set(panels) == {"converted", "cyclic", "reconstruction"}
    assert np.array_equal(panels["reconstruction"], model.teacher_forced(utterance()))
    assert np.array_equal(model.convert(utterance(), ConversionTarget())["feats"], panels["reconstruction"])
    with pytest.raises(UserError, match="target 'z' is unknown; this model has a, b, c .--target_speaker"):
        model.convert(utterance(), ConversionTarget(speaker="z"))
    with pytest.raises(UserError, match="no source was named"):
        model.teacher_forced(utterance(speaker=None))


def test_domains_of_emotions_and_of_both():
    model = make(["neutral", "angry"], domain_by="emotion").eval()
    assert model.emotions == ("neutral", "angry") and model.speakers == ()
    model.convert(utterance(), ConversionTarget("angry"))
    both = make(["a:neutral", "a:angry"], domain_by="speaker_emotion").eval()
    assert both.emotions == ("neutral", "angry") and both.speakers == ("a", "a")
    both.convert(utterance(), ConversionTarget("angry"))
    with pytest.raises(UserError, match="a:sad"):
        both.convert(utterance(), ConversionTarget("sad"))


def test_values_in_other_units_come_back_in_them():
    model = make(value_range=[-11.5, 2.0]).eval()
    source = {**utterance(40), "feats": 4 * utterance(40)["feats"] - 8}
    made = model.convert(source, ConversionTarget(speaker="b"))["feats"]
    assert -11.5 <= made.min() and made.max() <= 2.0
    image = model.unit_images(source["feats"])
    assert image.shape == (32, 40) and np.allclose(image, (source["feats"].T + 11.5) / 13.5, atol=1e-6)


def test_trials_are_scored():
    model = make().eval()
    model.contract = FeatureContract.from_dict(MEL)
    scores = model.score_trial(utterance(), utterance(60, "b"), "neutral")
    assert set(scores) == {"mcd", "mcd_gv", "mcd_source", "mcd_moved", "gv"} and scores["mcd"] > 0


def test_what_cannot_be_is_refused():
    for conf, message in (
        ({"noise": "some"}, "noise is 'some'"),
        ({"pairing": "none"}, "pairing is 'none'"),
        ({"domains": ["a"]}, "2 to 64 different names"),
        ({"value_range": [1, 0]}, "low < high"),
        ({"window": 40}, "multiple of 16 frames"),
        ({"overlap": 0}, "overlap 0"),
    ):
        with pytest.raises(UserError, match=message):
            make(**conf) if "domains" not in conf else build("vaegan", {**SMALL, **conf})
    for change, message in (({"n_mels": 40}, "multiple of 16 bands"), ({"scale": "none"}, "set value_range")):
        model = make()
        model.contract = FeatureContract.from_dict({**MEL, **change})
        with pytest.raises(UserError, match=message):
            model.check_contract()
