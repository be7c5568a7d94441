from dataclasses import replace

import numpy as np
import pytest

from evc2.bin.anchors import main as command
from evc2.convert.anchors import ANCHORS, anchor, at_rate, mel_frame_times, power_on_world, world_contract
from evc2.convert.evc import EVC
from evc2.convert.jobs import checked_trials, utterance
from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.feats.stats import Moments, Stats, speech_mask
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir, Trial, read_table, write_table, write_trials
from evc2.vocoder import build_vocoder


@pytest.fixture
def make(tiny_data, tiny_stats, tiny_contract):
    data = DataDir(tiny_data)
    trials = checked_trials(tiny_data / "trials", data)
    return lambda name: anchor(name, data, trials, tiny_stats, tiny_contract)


def mean_lf0(f0):
    return float(np.log(f0[f0 > 0]).mean())


def test_names_are_those_of_the_command():
    from evc2.bin.anchors import ANCHORS as offered

    assert offered == ANCHORS


def test_zero_effort_is_the_source_itself(make, tiny_data):
    data = DataDir(tiny_data)
    assert make("zero_effort")("s1-n2a") == data.table("wav.scp")["s1-neutral"]


def test_zero_effort_of_pipes_and_segments_gets_files(make, tiny_data, tiny_stats, tiny_contract):
    data = DataDir(tiny_data)
    wav, _ = utterance(data, "s1-neutral")
    table = dict(data.table("wav.scp"))
    table["s1-neutral"] = f"cat {table['s1-neutral']} |"
    write_table(tiny_data / "wav.scp", table)
    data = DataDir(tiny_data)
    made, rate = anchor("zero_effort", data, checked_trials(tiny_data / "trials", data), tiny_stats, tiny_contract)(
        "s1-n2a"
    )
    assert rate == 16000 and np.array_equal(made, wav)


def test_analysis_synthesis_is_of_the_reference(make, tiny_data, tiny_contract):
    wav, rate = make("analysis_synthesis")("s1-n2a")
    reference, _ = read_audio(DataDir(tiny_data).table("wav.scp")["s1-angry"])
    assert len(wav) == len(reference)
    found, aim = (world.analyze(w, tiny_contract) for w in (wav, reference))
    assert mean_lf0(found["f0"]) == pytest.approx(mean_lf0(aim["f0"]), abs=0.01)
    voiced = aim["f0"] > 0
    assert np.abs(found["feats"] - aim["feats"])[voiced].mean() < 0.2
    assert make("analysis_synthesis")("s3-n2a") is None  # has no reference


@pytest.mark.parametrize("name", ["f0", "f0_power", "f0_power_mcep"])
def test_mean_pitch_becomes_the_targets(make, tiny_data, tiny_stats, tiny_contract, name):
    wav, rate = make(name)("s1-n2a")
    source, _ = read_audio(DataDir(tiny_data).table("wav.scp")["s1-neutral"])
    assert len(wav) == len(source) and rate == 16000
    found, before = world.analyze(wav, tiny_contract), world.analyze(source, tiny_contract)
    src, tgt = tiny_stats.get("s1", "neutral"), tiny_stats.get("s1", "angry")
    expected = (mean_lf0(before["f0"]) - src.lf0_mean) / src.lf0_std * tgt.lf0_std + tgt.lf0_mean
    assert mean_lf0(found["f0"]) == pytest.approx(expected, abs=0.02)
    assert mean_lf0(found["f0"]) - mean_lf0(before["f0"]) > 0.3
    voiced = (before["f0"] > 0) & (found["f0"] > 0)
    louder = float((found["power"] - before["power"])[voiced].mean())
    assert louder == pytest.approx(0.0 if name == "f0" else tgt.power_mean - src.power_mean, abs=0.6)


def test_a_speaker_that_the_statistics_do_not_know(make, tiny_data, tiny_contract):
    wav, _ = make("f0")("s3-n2a")
    source, _ = read_audio(DataDir(tiny_data).table("wav.scp")["s3-neutral"])
    change = mean_lf0(world.analyze(wav, tiny_contract)["f0"]) - mean_lf0(world.analyze(source, tiny_contract)["f0"])
    assert change == pytest.approx(np.log(1.5), abs=0.05)


def test_anchors_and_the_system_share_one_path(make, tiny_data, tiny_model):
    source, rate = read_audio(DataDir(tiny_data).table("wav.scp")["s1-neutral"])
    evc = EVC.from_pretrained(tiny_model)
    for name, spectrum, power in (("f0", "keep", "keep"), ("f0_power", "keep", "gaussian")):
        wav, _ = evc.convert(source, rate, "angry", "s1", spectrum=spectrum, power=power)
        assert np.array_equal(wav, make(name)("s1-n2a")[0])
    wav, _ = evc.convert(source, rate, "angry", "s1", spectrum="gaussian", power="gaussian")
    assert np.array_equal(wav, make("f0_power_mcep")("s1-n2a")[0])


def test_unknown_anchor(make):
    with pytest.raises(UserError, match="did you mean f0_power"):
        make("f0_pover")


MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 1024, "hop": 200, "win": 800, "window": "hann",
    "center": True, "pad": "constant", "power": 1, "n_mels": 40, "fmin": 40, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "db", "floor": 1e-5, "floor_place": "clip", "scale": [-100, 0],
    "f0_method": "dio", "f0_floor": 71, "f0_ceil": 800,
}  # fmt: skip


class OfMels:
    """A mel contract with statistics of the tiny voices, and trials from speaker to speaker."""

    def __init__(self, data, voice, voices, **keys):
        self.contract = FeatureContract.from_dict({**MEL, **keys})
        self.stats = Stats()
        for seed, ((speaker, emotion), (f0, level)) in enumerate(voices.items()):
            feats = extract(voice(1.0, self.contract.rate, f0=f0, level=level, seed=seed), self.contract)
            self.stats.add(speaker, emotion, feats["feats"], feats.get("f0"), feats["power"])
        self.data = DataDir(data)
        trials = [
            Trial("s1-to-s2", "s1-neutral", "s2", "neutral", "s2-neutral"),
            Trial("s2-to-s1", "s2-angry", "s1", "angry"),
            Trial("s3-to-s1", "s3-neutral", "s1", "neutral"),
        ]
        self.trials = {trial.id: trial for trial in trials}

    def make(self, name, trial, vocoder=None):
        return anchor(name, self.data, self.trials, self.stats, self.contract, vocoder)(trial)

    def source(self, trial):
        return read_audio(self.data.table("wav.scp")[self.trials[trial].source])[0]


@pytest.fixture
def of_mels(tiny_data, voice):
    voices = {
        ("s1", "neutral"): (120.0, 0.1), ("s1", "angry"): (180.0, 0.3),
        ("s2", "neutral"): (200.0, 0.2), ("s2", "angry"): (300.0, 0.1),
    }  # fmt: skip
    return lambda **keys: OfMels(tiny_data, voice, voices, **keys)


@pytest.mark.parametrize("trial", ["s1-to-s2", "s2-to-s1"])
@pytest.mark.parametrize("keys", [{}, {"center": False, "pad": "reflect", "hop": 256, "win": 1024, "rate": 22050}])
def test_of_mels_the_mean_pitch_becomes_the_target_speakers(of_mels, trial, keys):
    made = of_mels(**keys)
    of = made.trials[trial]
    wav, rate = made.make("f0", trial)
    source = at_rate(made.source(trial), 16000, made.contract)
    assert rate == made.contract.rate and len(wav) == len(source)
    found, before = extract(wav, made.contract), extract(source, made.contract)
    src, tgt = made.stats.get(of.source[:2], of.emotion), made.stats.get(of.speaker, of.emotion)
    expected = (mean_lf0(before["f0"]) - src.lf0_mean) / src.lf0_std * tgt.lf0_std + tgt.lf0_mean
    assert mean_lf0(found["f0"]) == pytest.approx(expected, abs=0.02)
    assert mean_lf0(found["f0"]) == pytest.approx(tgt.lf0_mean, abs=0.06)  # 0.08 is how far the tiny voices swing
    speech = speech_mask(before["power"])
    assert float((found["power"] - before["power"])[speech].mean()) == pytest.approx(0.0, abs=0.4)


@pytest.mark.parametrize("trial", ["s1-to-s2", "s2-to-s1"])
def test_of_mels_the_power_gets_the_target_speakers_mean(of_mels, trial):
    made = of_mels()
    of = made.trials[trial]
    levels = []
    for name in ("f0", "f0_power"):
        power = extract(made.make(name, trial)[0], made.contract)["power"]
        levels.append(float(power[speech_mask(power)].mean()))
    src, tgt = made.stats.get(of.source[:2], of.emotion), made.stats.get(of.speaker, of.emotion)
    assert abs(tgt.power_mean - src.power_mean) > 1  # nats: 6 and 10 dB in what the voices were made with
    assert levels[1] - levels[0] == pytest.approx(tgt.power_mean - src.power_mean, abs=0.3)


def test_of_mels_a_speaker_that_the_statistics_do_not_know(of_mels):
    made = of_mels()
    found = extract(made.make("f0", "s3-to-s1")[0], made.contract)["f0"]
    assert mean_lf0(found) == pytest.approx(made.stats.get("s1", "neutral").lf0_mean, abs=0.02)


def test_the_gain_of_a_frame_goes_to_the_same_time():
    """A gain that rises with time: WORLD's frames of 5 ms must get what the mel frames around them have."""
    contract = FeatureContract.from_dict({**MEL, "center": False, "pad": "reflect", "hop": 320})
    assert mel_frame_times(3, contract) == pytest.approx([0.01, 0.03, 0.05])  # the middles of 20 ms each
    assert mel_frame_times(3, FeatureContract.from_dict(MEL)) == pytest.approx([0, 0.0125, 0.025])
    power = np.linspace(0, 3, 31)
    src = Moments(np.zeros(1), np.ones(1), 5.0, 0.1, 1.0, 1.0, 9)
    pair = (src, replace(src, power_mean=4.0, power_std=2.0))  # p -> 2 p + 2: a gain of p + 2
    analysis = {"power": np.zeros(120)}
    found = power_on_world(power, pair, contract, analysis)
    seconds = 0.005 * np.arange(120)
    assert found == pytest.approx(2 + np.clip((seconds - 0.01) / 0.02, 0, 30) * 0.1, abs=1e-6)


def test_worlds_analysis_for_mels_suits_the_pitch():
    for rate, floor, fft_size in ((16000, 71, 1024), (22050, 71, 1024), (22050, 50, 2048), (48000, 71, 2048)):
        contract = FeatureContract.from_dict({**MEL, "rate": rate, "f0_floor": floor})
        found = world_contract(contract)
        assert (found.rate, found.f0_floor, found.fft_size, found.frame_period) == (rate, floor, fft_size, 5.0)


def test_of_mels_analysis_synthesis_goes_through_the_vocoder(of_mels, monkeypatch, caplog):
    made = of_mels()
    vocoder = build_vocoder("griffin_lim", made.contract, n_iter=4)
    wav, rate = made.make("analysis_synthesis", "s1-to-s2", vocoder)
    reference = read_audio(made.data.table("wav.scp")["s2-neutral"])[0]
    feats = extract(reference, made.contract)["feats"]
    assert np.array_equal(wav, vocoder({"feats": feats}, contract=made.contract, length=len(reference)))
    assert rate == 16000 and len(wav) == len(reference) and np.abs(wav).max() <= 1
    assert np.abs(extract(wav, made.contract)["feats"] - feats).mean() < 0.1  # of 1, that is, 100 dB
    assert made.make("analysis_synthesis", "s2-to-s1", vocoder) is None  # has no reference
    monkeypatch.setattr("evc2.convert.anchors.choose_vocoder", lambda contract: vocoder)  # and not 64 iterations
    assert np.array_equal(made.make("analysis_synthesis", "s1-to-s2")[0], wav)


def test_of_mels_what_cannot_be_made(of_mels, tiny_data, tiny_stats, tiny_contract):
    with pytest.raises(UserError, match="f0_power_mcep needs a contract of kind 'world', 'mel' is 'mel'"):
        of_mels().make("f0_power_mcep", "s1-to-s2")
    without = {key: value for key, value in MEL.items() if not key.startswith("f0")}
    made = of_mels()
    made.contract = FeatureContract.from_dict(without)
    with pytest.raises(UserError, match="anchor f0 needs F0 in the features, contract 'mel' has none: add f0_method"):
        made.make("f0", "s1-to-s2")
    assert str(made.make("zero_effort", "s1-to-s2")).endswith("s1-neutral.wav")
    vocoder = build_vocoder("griffin_lim", FeatureContract.from_dict({**MEL, "hop": 160}))
    with pytest.raises(UserError, match="hop: 200 .model., 160 .vocoder."):
        of_mels().make("analysis_synthesis", "s1-to-s2", vocoder)
    with pytest.raises(UserError, match="leave out --vocoder"):
        anchor("analysis_synthesis", DataDir(tiny_data), {}, tiny_stats, tiny_contract, vocoder)


def test_the_command_with_a_vocoder(of_mels, tmp_path):
    made = of_mels()
    made.contract.save(tmp_path / "feats.yaml")
    made.stats.save(tmp_path / "stats.npz")
    write_trials(tmp_path / "trials", made.trials.values())
    words = ["--stats", str(tmp_path / "stats.npz"), "--contract", str(tmp_path / "feats.yaml"), "--trials"]
    words += [str(tmp_path / "trials"), "--data_dir", str(made.data.path), "--out"]
    quick = ["--vocoder", "griffin_lim", "--vocoder_conf", "n_iter=2"]
    command([*words, str(tmp_path / "as"), "--anchor", "analysis_synthesis", *quick])
    assert list(read_table(tmp_path / "as" / "wav.scp")) == ["s1-to-s2"]
    command([*words, str(tmp_path / "f0"), "--anchor", "f0_power", "--vocoder", "no_such_vocoder"])  # has no use for it
    assert len(read_table(tmp_path / "f0" / "wav.scp")) == 3
    for more, message in (
        (["--vocoder", "griffin_lin"], "did you mean griffin_lim"),
        (["--vocoder", "world"], "needs features of kind 'world'"),
        (["--vocoder_conf", "n_iter=2"], "goes with --vocoder"),
    ):
        with pytest.raises(UserError, match=message):
            command([*words, str(tmp_path / "no"), "--anchor", "analysis_synthesis", *more])
    write_trials(tmp_path / "trials", [made.trials["s2-to-s1"]])  # no trial has a reference: a list without entries
    command([*words, str(tmp_path / "none"), "--anchor", "analysis_synthesis", *quick])
    assert read_table(tmp_path / "none" / "wav.scp", allow_empty=True) == {}
