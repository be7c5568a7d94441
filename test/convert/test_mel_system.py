"""A system on mel spectrograms: through a vocoder, and its teacher-forced features for the training of one."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml

from evc2 import systems
from evc2.bin.convert import main as convert
from evc2.bin.extract_feats import main as extract_feats
from evc2.bin.format_wav import main as format_wav
from evc2.bin.gta import main as gta
from evc2.convert import EVC
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import read_table
from evc2.train.abs_model import AbsEVCModel
from evc2.vocoder import build_vocoder

CONTRACT = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 128, "win": 512, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 40, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip

PITCH = {"f0_method": "dio", "f0_floor": 71.0, "f0_ceil": 800.0}


class Louder(AbsEVCModel):
    """Raises every band by a learned amount, times the intensity."""

    def __init__(self, n_mels: int = 40, stretch: int = 1):
        super().__init__()
        self.rise, self.stretch = torch.nn.Parameter(torch.full((n_mels,), 0.5)), stretch

    def forward(self, turn=None, step=0, cache=None, **batch):
        raise NotImplementedError

    def convert(self, source, target):
        feats = np.repeat(source["feats"], self.stretch, axis=0)
        return {"feats": feats + target.intensity * self.rise.numpy(), "f0": None, "power": None}

    def teacher_forced(self, source):
        return source["feats"] + self.rise.numpy()


class InOwnTime(Louder):
    """Says a whole utterance twice as slowly, with the sound that it is given, and is cut off."""

    collation = "utterance"
    sound: np.ndarray

    def convert(self, source, target):
        made = super().convert(source, target)
        return {**made, "wav": self.sound[: 128 * len(made["feats"])], "ending": "limit", "whole": False}


@pytest.fixture
def mel_model(tmp_path, monkeypatch, voice):
    """make(**conf) -> model directory of the system above."""
    module = ModuleType("louder_for_tests")
    module.Louder = Louder
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(systems.SYSTEMS, "louder", "louder_for_tests:Louder")
    contract = FeatureContract.from_dict(CONTRACT)
    stats = Stats()
    for speaker in ("s1", "s2"):
        for emotion in ("neutral", "angry"):
            feats = log_mel(voice(0.5), contract)
            stats.add(speaker, emotion, feats, np.full(len(feats), 120.0), np.zeros(len(feats)))

    def make(**conf):
        folder = tmp_path / "exp" / "louder" / "main"
        folder.mkdir(parents=True, exist_ok=True)
        config = {"system": "louder", "system_conf": conf, "feats_contract": CONTRACT}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        torch.save(Louder(**conf).state_dict(), folder / "1epoch.pth")
        stats.save(folder / "stats.npz")
        return folder

    return make


def test_a_snippet_of_fewer_samples_than_a_window(mel_model, voice):
    evc = EVC.from_pretrained(mel_model(), vocoder=build_vocoder("griffin_lim", FeatureContract.from_dict(CONTRACT)))
    out, _ = evc.convert(0.3 * voice(0.7)[2000:2400], 16000, "angry")
    assert out.shape == (400,) and np.isfinite(out).all() and out.any()


def test_it_is_heard_through_a_vocoder(mel_model, voice):
    evc = EVC.from_pretrained(mel_model(), vocoder=build_vocoder("griffin_lim", FeatureContract.from_dict(CONTRACT)))
    wav = 0.3 * voice(0.7)
    level = []
    for intensity in (0.0, 1.0):
        out, info = evc.convert(wav, 16000, "angry", intensity=intensity)
        assert len(out) == len(wav) and out.dtype == np.float32 and info["rate"] == 16000
        level.append(np.log(np.sqrt((out**2).mean())))
    assert level[1] - level[0] == pytest.approx(0.5, abs=0.05)  # nats, as the network has learned


def test_without_a_vocoder_one_is_chosen_that_fits(mel_model, voice, caplog):
    out, _ = EVC.from_pretrained(mel_model()).convert(voice(0.4), 16000, "angry")
    assert np.isfinite(out).all() and "griffin_lim, because of hifigan_universal" in caplog.text


def test_a_system_may_change_the_duration(mel_model, voice):
    out, _ = EVC.from_pretrained(mel_model(stretch=2)).convert(voice(0.4), 16000, "angry")
    assert len(out) == 2 * (6400 // 128) * 128


@pytest.fixture
def in_own_time(tiny_stats, voice):
    """A system that speaks at 220 Hz."""
    model = InOwnTime(stretch=2)
    model.sound = voice(2.0, f0=220.0)
    model.contract, model.stats = FeatureContract.from_dict({**CONTRACT, **PITCH}), tiny_stats
    return EVC(model)


def middle(f0):
    return np.median(f0[f0 > 0])


def test_f0_of_speech_in_its_own_time_is_measured(in_own_time, voice):
    wav, info = in_own_time.convert(voice(0.6, f0=120.0), 16000, "angry")
    assert len(info["f0"]) == len(wav) // 128 == len(info["made"]["feats"])
    assert middle(info["source_f0"]) == pytest.approx(120, rel=0.06) and len(info["source_f0"]) == len(info["f0"]) / 2
    assert middle(info["f0"]) == pytest.approx(220, rel=0.06)
    in_own_time.model.contract = in_own_time.contract = FeatureContract.from_dict(CONTRACT)
    wav, info = in_own_time.convert(voice(0.6), 16000, "angry")
    assert len(info["f0"]) == len(wav) // 128 and not info["f0"].any()


def test_speech_that_was_cut_off_is_said(in_own_time, voice, caplog):
    in_own_time.convert(voice(0.4), 16000, "angry")
    assert "cut off after" in caplog.text and "words may be missing" in caplog.text


def test_silence_around_whole_utterances_is_cut(in_own_time, voice, caplog):
    """1 s of hiss before and after: only 50 ms of either stay, of the recording and of a reference."""
    wav = voice(0.6)
    hiss = np.random.default_rng(0).normal(scale=1e-5, size=(2, 16000)).astype(np.float32)
    long = np.concatenate([hiss[0], wav, hiss[1]])
    _, info = in_own_time.convert(long, 16000, "angry")
    seconds = len(info["source"]) / 16000
    assert 0.6 <= seconds < 0.75 and len(info["given"]["feats"]) == len(info["source"]) // 128
    assert len(in_own_time.reference(long, 16000)["feats"]) == len(info["given"]["feats"])
    nothing, info = in_own_time.convert(np.zeros(16000, np.float32), 16000, "angry")
    assert info["silent"] and len(nothing) == 16000 and "silent" in caplog.text
    with pytest.raises(UserError, match="reference recording is silent"):
        in_own_time.reference(np.zeros(16000, np.float32), 16000)


def test_systems_in_time_keep_the_silence(mel_model, voice):
    wav = np.pad(voice(0.4), 8000)
    evc = EVC.from_pretrained(mel_model(), vocoder=build_vocoder("griffin_lim", FeatureContract.from_dict(CONTRACT)))
    assert len(evc.convert(wav, 16000, "angry")[0]) == len(wav) == len(evc.reference(wav, 16000)["feats"]) * 128


@pytest.mark.parametrize(
    "words, message",
    [
        (["--input", "text", "--data_dir", "{data}", "--out", "{out}"], "--input text: Louder reads no text; leave it"),
        (["--details", "true", "--emotion", "angry", "{data}", "{out}"], "--details: Louder does not convert mel"),
    ],
)
def test_options_of_other_systems_are_refused_before_anything_is_made(mel_model, tiny_data, tmp_path, words, message):
    words = [word.format(data=tiny_data, out=tmp_path / "out") for word in words]
    with pytest.raises(UserError, match=message):
        convert(["--model", str(mel_model()), *words])
    assert not (tmp_path / "out").exists()


def test_only_world_features_have_parts_to_keep(mel_model, voice):
    evc = EVC.from_pretrained(mel_model())
    for name, value in (("f0", "keep"), ("spectrum_intensity", 0.5)):
        with pytest.raises(UserError, match=f"{name} {value}: only systems on WORLD"):
            evc.convert(voice(0.4), 16000, "angry", **{name: value})


def test_vocoders_that_cannot_serve_are_refused(mel_model, tiny_model, tiny_data, tmp_path):
    other = build_vocoder("griffin_lim", FeatureContract.from_dict({**CONTRACT, "hop": 64}))
    with pytest.raises(UserError, match="hop: 128 .model., 64 .vocoder."):
        EVC.from_pretrained(mel_model(), vocoder=other)
    with pytest.raises(UserError, match="leave out --vocoder"):
        EVC.from_pretrained(tiny_model, vocoder=other)
    words = ["--data_dir", str(tiny_data), "--out", str(tmp_path / "out"), "--model", str(mel_model())]
    with pytest.raises(UserError, match="did you mean griffin_lim"):
        convert([*words, "--vocoder", "griffin_lin"])
    with pytest.raises(UserError, match="KEY=VALUE"):
        convert([*words, "--vocoder", "griffin_lim", "--vocoder_conf", "n_iter"])


def test_the_commands(mel_model, tiny_data, tmp_path, voice):
    model = mel_model()
    convert(
        ["--data_dir", str(tiny_data), "--model", str(model), "--out", str(tmp_path / "decode")]
        + ["--vocoder", "griffin_lim", "--vocoder_conf", "n_iter=4"]
    )
    assert len(read_table(tmp_path / "decode" / "wav.scp")) == 4
    FeatureContract.from_dict(CONTRACT).save(tmp_path / "feats.yaml")
    common = ["--contract", str(tmp_path / "feats.yaml"), "--out", str(tmp_path / "dump")]
    format_wav(["--data_dir", str(tiny_data), "--trim", "false", *common])
    extract_feats(["--data_dir", str(tmp_path / "dump"), *common])
    words = ["--model", str(model), "--data_dir", str(tmp_path / "dump"), "--out", str(tmp_path / "gta")]
    for job in ("1", "2"):
        gta([*words, "--njobs", "2", "--job", job])
    gta([*words, "--njobs", "2", "--merge", "true"])
    made, natural = ScpReader(tmp_path / "gta" / "feats.scp"), ScpReader(tmp_path / "dump" / "feats.scp")
    assert set(made) == set(natural) and len(made) == 5
    assert all(np.allclose(made[utt], natural[utt] + 0.5) for utt in made)
    wav, _ = read_audio(read_table(tmp_path / "decode" / "wav.scp")["s1-n2a"])
    assert len(wav) == len(voice(0.6))


def test_a_system_without_teacher_forced_features_says_so(tiny_model, tiny_data, tiny_contract, tmp_path):
    tiny_contract.save(tmp_path / "feats.yaml")
    common = ["--contract", str(tmp_path / "feats.yaml"), "--out", str(tmp_path / "dump")]
    format_wav(["--data_dir", str(tiny_data), "--trim", "false", *common])
    extract_feats(["--data_dir", str(tmp_path / "dump"), *common])
    words = ["--model", str(tiny_model), "--data_dir", str(tmp_path / "dump"), "--out", str(tmp_path / "gta")]
    with pytest.raises(UserError, match="CycleGAN makes no teacher-forced"):
        gta(words)
    assert not (tmp_path / "gta" / "feats.scp").exists()
