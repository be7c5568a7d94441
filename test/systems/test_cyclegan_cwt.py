"""CycleGAN on wavelet coefficients of log-F0: what it reads, what it learns, what it converts."""

import numpy as np
import pytest
import torch
import yaml

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.cwt import TYPICAL_STD, cwt, interpolate_lf0
from evc2.feats.prosody import convert_f0
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter
from evc2.fileio.datadir import Trial, utts_by_speaker, write_table, write_trials
from evc2.systems import build, get_class
from evc2.train.abs_model import ConversionTarget
from evc2.train.turns import Owners

SMALL = {"generator": {"channels": 4, "num_res": 1}, "discriminator": {"channels": 2}}


def pitch(frames, middle, wobble, seed):
    """A contour that falls and wobbles at 3 Hz, voiced in stretches."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) * 0.005
    lf0 = (
        np.log(middle) - 0.1 * t + wobble * np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6)) + rng.normal(0, 0.005, frames)
    )
    return np.where(np.arange(frames) % 50 < 35, np.exp(lf0), 0.0).astype(np.float32)


def utterance(emotion, frames=160, seed=0, speaker="s1"):
    rng = np.random.default_rng(seed)
    f0 = pitch(frames, 120.0, 0.05, seed) if emotion == "neutral" else pitch(frames, 220.0, 0.2, seed)
    feats = np.cumsum(rng.normal(0, 0.1, (frames, 24)), axis=0).astype(np.float32)
    power = rng.normal(-5, 1, frames).astype(np.float32)
    return {"feats": feats, "f0": f0, "power": power, "speaker": speaker, "emotion": emotion}


@pytest.fixture(scope="module")
def stats():
    stats = Stats()
    for seed in range(4):
        for emotion in ("neutral", "angry"):
            x = utterance(emotion, seed=seed)
            stats.add("s1", emotion, x["feats"], x["f0"], x["power"])
    return stats


@pytest.fixture
def model(stats, tiny_contract):
    torch.manual_seed(0)
    model = build("cyclegan_cwt", SMALL).eval()
    model.stats, model.contract = stats, tiny_contract
    return model


@pytest.fixture
def folder(tmp_path, tiny_contract):
    """Feature directories train and dev as the recipes make them; one utterance of train is unvoiced."""
    for name, count in (("train", 3), ("dev", 2)):
        path = tmp_path / name
        path.mkdir()
        tiny_contract.save(path / "feats.yaml")
        utts = {f"s1-{e}-{i}": utterance(e, 120 + 10 * i, i) for e in ("neutral", "angry") for i in range(count)}
        if name == "train":
            utts["s1-neutral-9"] = {**utterance("neutral"), "f0": np.zeros(160, np.float32)}
        for kind in ("feats", "f0", "power"):
            with ArkWriter(path / f"{kind}.ark", path / f"{kind}.scp") as writer:
                for utt, x in utts.items():
                    writer[utt] = x[kind]
        spk = dict.fromkeys(utts, "s1")
        write_table(path / "utt2spk", spk)
        write_table(path / "spk2utt", utts_by_speaker(spk))
        write_table(path / "utt2emo", {utt: x["emotion"] for utt, x in utts.items()})
        write_table(path / "wav.scp", {utt: f"{utt}.wav" for utt in utts})
        write_trials(path / "trials", [Trial("t", "s1-neutral-1", "s1", "angry", "s1-angry-1")])
    return tmp_path


def identity(x, pair, target):
    return x


def test_it_reads_normalised_coefficients(folder, stats):
    reader, normalize = get_class("cyclegan_cwt").crops(str(folder / "train"), stats, lambda name: None)
    assert len(reader) == 6 and "s1-neutral-9" not in set(reader), "what has no pitch is left out"
    assert reader.shape("s1-angry-2") == (140, 10)
    crop = reader.crop("s1-angry-2", 20, 64)
    lf0, _ = interpolate_lf0(utterance("angry", 140, 2)["f0"])
    np.testing.assert_allclose(crop, cwt(lf0)[20:84], rtol=1e-4, atol=1e-5)
    moments = stats.get("s1", "angry")
    expected = cwt((lf0 - moments.lf0_mean) / moments.lf0_std)[20:84] / np.array(TYPICAL_STD)
    np.testing.assert_allclose(normalize(crop, "s1", "angry"), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(KeyError):
        reader["s1-neutral-9"]


def test_nothing_voiced(folder, stats):
    with ArkWriter(folder / "dev/f0.ark", folder / "dev/f0.scp") as writer:
        writer["s1-angry-0"] = np.zeros(50)
    with pytest.raises(UserError, match="no utterance has a voiced frame"):
        get_class("cyclegan_cwt").crops(str(folder / "dev"), stats, lambda name: None)


def test_every_turn_trains_what_it_owns():
    torch.manual_seed(0)
    model = build("cyclegan_cwt", SMALL)
    data = {k: torch.randn(2, 64, 10) + i for i, k in enumerate("AB")}
    for turn in model.turns:
        optimizer = torch.optim.Adam(list(model.turn_parameters(turn)), lr=1e-3)
        Owners(model).only(turn)
        found = []
        for _ in range(3):
            cache = model.begin_batch(0, data)
            if turn == "discriminator":
                model(turn="generator", cache=cache, **data)
            loss, _, _ = model(turn=turn, cache=cache, **data)
            found.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert found[-1] < found[0]
        model.requires_grad_(True)


@pytest.mark.parametrize("frames", [16, 32, 128, 200])
def test_the_discriminator_takes_ten_values_a_frame(frames):
    model = build("cyclegan_cwt", SMALL)
    assert model.D_A(torch.zeros(1, 10, frames))[0].shape == (1, 3, -(-frames // 16))


def test_generators_that_change_nothing_leave_the_gaussian_transform(model, stats):
    model.network = identity
    x = utterance("neutral")
    y = model.convert(x, ConversionTarget("angry"))
    expected = convert_f0(x["f0"], *stats.pair("s1", "neutral", "angry"))
    np.testing.assert_allclose(y["f0"], expected, rtol=1e-4)
    assert y["power"] is None and np.array_equal(y["feats"], x["feats"])


def test_what_the_generators_add_is_added(model, stats):
    """Twice the coefficients: twice the movement about the utterance's mean, in the band of the scales."""
    model.network = lambda x, pair, target: 2 * x
    x = utterance("neutral", frames=400)
    y = model.convert(x, ConversionTarget("angry"))["f0"]
    plain = convert_f0(x["f0"], *stats.pair("s1", "neutral", "angry"))
    (once, voiced), (twice, _) = interpolate_lf0(plain), interpolate_lf0(y)
    expected = once + (once - once.mean())
    assert np.corrcoef(twice[voiced], expected[voiced])[0, 1] > 0.99
    assert np.abs(twice - expected)[voiced].mean() < 0.1 * np.abs(once - once.mean()).mean()


@pytest.mark.parametrize("frames", [1, 2, 5, 9, 161])
def test_any_length_and_voicing_stays(model, frames):
    x = {**utterance("neutral", frames), "f0": pitch(frames, 120, 0.1, 0)}
    y = model.convert(x, ConversionTarget("angry"))["f0"]
    assert y.shape == (frames,) and y.dtype == np.float32 and np.array_equal(y > 0, x["f0"] > 0)
    assert (y[y > 0] >= 40).all() and (y <= 1200).all()


def test_intensity(model):
    x = utterance("neutral")
    zero, half, one = (model.convert(x, ConversionTarget("angry", intensity=i))["f0"] for i in (0.0, 0.5, 1.0))
    voiced = x["f0"] > 0
    np.testing.assert_allclose(zero, x["f0"], rtol=1e-5)
    np.testing.assert_allclose(half[voiced] ** 2, zero[voiced] * one[voiced], rtol=1e-4)


def test_unvoiced_speech_and_wrong_directions(model):
    x = {**utterance("neutral"), "f0": np.zeros(160, np.float32)}
    assert not model.convert(x, ConversionTarget("angry"))["f0"].any()
    assert model.score_trial(x, utterance("angry"), "angry") == {}
    with pytest.raises(UserError, match="between neutral and angry"):
        model.convert(utterance("neutral"), ConversionTarget("sad"))
    with pytest.raises(UserError, match="two different emotions"):
        build("cyclegan_cwt", {"domains": ["sad", "sad"]})
    with pytest.raises(UserError, match="no key 'order'"):
        build("cyclegan_cwt", {"order": 10})


def test_scores_beside_the_gaussian_transform(model):
    model.network = identity
    scores = model.score_trial(utterance("neutral"), utterance("angry"), "angry")
    assert set(scores) == {"lf0_rmse", "lf0_corr", "lf0_rmse_gaussian"}
    assert scores["lf0_rmse"] == pytest.approx(scores["lf0_rmse_gaussian"], rel=1e-3)
    perfect = {**utterance("neutral"), "emotion": "angry"}
    perfect["f0"] = model.convert(utterance("neutral"), ConversionTarget("angry"))["f0"]
    assert model.score_trial(utterance("neutral"), perfect, "angry")["lf0_rmse"] == pytest.approx(0.0, abs=1e-6)


def test_training_leaves_a_model_that_converts(folder, stats, tiny_contract):
    from evc2.bin.evc_train import main
    from evc2.convert.loading import load_model

    stats.save(folder / "stats.npz")
    turn = {"optim": "adam", "lr": 1e-3}
    config = {
        "system": "cyclegan_cwt", "system_conf": SMALL, "optims": {"generator": turn, "discriminator": turn},
        "batch_size": 2, "crop_frames": 64, "num_iters_per_epoch": 3, "max_epoch": 2, "num_valid_trials": 1,
        "best_model_criterion": [["valid", "lf0_rmse", "min"]], "keep_nbest_models": 1, "media_interval": 1,
        "use_matplotlib": False,
    }  # fmt: skip
    (folder / "conf.yaml").write_text(yaml.safe_dump(config))
    main(
        ["--config", str(folder / "conf.yaml"), "--output_dir", str(folder / "exp")]
        + ["--feats_contract", str(folder / "dev/feats.yaml"), "--stats", str(folder / "stats.npz")]
        + ["--train_dir", str(folder / "train"), "--valid_dir", str(folder / "dev")]
        + ["--valid_trials", str(folder / "dev/trials")]
    )
    assert (folder / "exp/valid.lf0_rmse.best.pth").exists()
    model, emotions = load_model(folder / "exp", None, "cpu")
    assert emotions == ["angry", "neutral"] and model.contract == FeatureContract.load(folder / "dev/feats.yaml")
    assert model.convert(utterance("neutral"), ConversionTarget("angry"))["f0"].any()
