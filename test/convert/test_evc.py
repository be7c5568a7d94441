import logging

import numpy as np
import pytest
import torch
import yaml

from evc2.convert import EVC
from evc2.errors import UserError
from evc2.feats import world
from evc2.nets.weights import weight_files


@pytest.fixture
def evc(tiny_model):
    return EVC.from_pretrained(tiny_model)


@pytest.mark.parametrize(
    ("rate", "n"),
    [(16000, 320), (16000, 1520), (16000, 1600), (16000, 1601), (16000, 7999), (16000, 8079), (8000, 4001),
     (22050, 11027), (44100, 5003), (48000, 4801), (11025, 3333), (96000, 20001)],
)  # fmt: skip
def test_output_is_exactly_as_long_as_the_input(evc, voice, rate, n):
    out, info = evc.convert(voice(1.3, rate)[:n], rate, "angry")
    assert out.shape == (round(n * 16000 / rate),) and out.dtype == np.float32 and np.isfinite(out).all()
    assert info["rate"] == 16000 and len(info["source"]) == len(out)


def test_conversion_changes_the_sound_and_intensity_scales_the_change(evc, voice):
    wav = voice(0.6)
    kept, _ = evc.convert(wav, 16000, "angry", intensity=0.0)
    copy, _ = evc.convert(wav, 16000, "angry", f0="keep", spectrum="keep", power="keep")
    assert np.abs(kept - copy).max() < 1e-3 * np.abs(copy).max()
    pitch = []
    for intensity in (0.0, 0.5, 1.0):
        _, info = evc.convert(wav, 16000, "angry", speaker="s1", intensity=intensity)
        pitch.append(np.log(info["f0"][info["f0"] > 0]).mean())
    # s1: 120 Hz neutral, 180 Hz angry
    assert pitch[2] - pitch[0] == pytest.approx(np.log(180 / 120), abs=0.05)
    assert pitch[1] - pitch[0] == pytest.approx(np.log(180 / 120) / 2, abs=0.05)


@pytest.mark.parametrize("spectrum", ["network", "gaussian"])
def test_the_spectrum_alone_has_an_intensity(evc, voice, spectrum):
    def change(a, b):
        return np.abs(np.abs(np.fft.rfft(a)) - np.abs(np.fft.rfft(b))).mean()

    wav = voice(0.6)
    none, half, whole = (
        evc.convert(wav, 16000, "angry", speaker="s1", spectrum=spectrum, power="keep", spectrum_intensity=x)
        for x in (0.0, 0.5, 1.0)
    )
    bare, _ = evc.convert(wav, 16000, "angry", speaker="s1", spectrum="keep", power="keep")
    np.testing.assert_array_equal(none[1]["f0"], whole[1]["f0"])
    assert change(none[0], bare) < 1e-2 * change(whole[0], bare)
    assert 0.2 * change(whole[0], bare) < change(half[0], bare) < 0.8 * change(whole[0], bare)


def test_a_known_speaker_lands_on_its_own_statistics(evc, tiny_stats, voice):
    _, info = evc.convert(voice(1.0, f0=120, level=0.1), 16000, "angry", speaker="s1")
    lf0 = np.log(info["f0"][info["f0"] > 0])
    assert lf0.mean() == pytest.approx(tiny_stats.get("s1", "angry").lf0_mean, abs=0.02)


def test_any_other_voice_moves_by_what_the_emotion_changes(evc, voice):
    _, info = evc.convert(voice(0.8, f0=150), 16000, "angry")
    change = np.log(info["f0"][info["f0"] > 0] / info["source_f0"][info["source_f0"] > 0]).mean()
    assert change == pytest.approx(np.log(1.5), abs=0.05)


def test_f0_keep_keeps_every_frame(evc, voice):
    out, info = evc.convert(voice(0.6), 16000, "angry", f0="keep")
    assert np.array_equal(info["f0"], info["source_f0"])
    again = world.analyze(out, evc.contract)["f0"]
    both = (again > 0) & (info["source_f0"] > 0)
    assert both.sum() > 60 and np.abs(np.log(again[both] / info["source_f0"][both])).mean() < 0.02


def test_power_options(evc, voice, tiny_stats):
    wav = voice(1.0, f0=120, level=0.1)
    before = world.analyze(wav, evc.contract)

    def change(**options):
        out, info = evc.convert(wav, 16000, "angry", speaker="s1", f0="keep", **options)
        after = world.analyze(out / np.float32(info["gain"]), evc.contract)
        voiced = before["f0"] > 0
        return float((after["power"] - before["power"])[voiced].mean())

    target, source = tiny_stats.get("s1", "angry"), tiny_stats.get("s1", "neutral")
    assert change(power="keep") == pytest.approx(0.0, abs=0.3)
    assert change(power="gaussian") == pytest.approx(target.power_mean - source.power_mean, abs=0.5)
    assert change(power="gaussian", spectrum="keep") == pytest.approx(target.power_mean - source.power_mean, abs=0.5)
    assert change() == pytest.approx(change(power="gaussian"), abs=1e-6)  # the default of this system


def test_gaussian_spectrum_needs_no_network(evc, voice, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(evc.model, "convert", refuse)
    out, _ = evc.convert(voice(0.4), 16000, "angry", spectrum="gaussian")
    assert len(out) == 6400


def test_direct_and_differential_envelopes(evc, voice):
    wav = voice(0.5)
    direct, differential = (evc.convert(wav, 16000, "angry", envelope=e)[0] for e in ("direct", "differential"))
    assert not np.allclose(direct, differential, atol=1e-4)


def test_no_clipping(evc, voice, caplog):
    out, info = evc.convert(voice(0.6, level=0.95), 16000, "angry", power="gaussian")
    assert np.abs(out).max() <= 1.0 and info["gain"] < 1.0


def test_stereo_is_averaged(evc, voice):
    wav = voice(0.4)
    mono, _ = evc.convert(wav, 16000, "angry")
    stereo, _ = evc.convert(np.stack([2 * wav, 0 * wav], axis=1), 16000, "angry")
    assert np.array_equal(mono, stereo)


def test_silence_gives_silence_and_noise_gives_sound(evc, caplog):
    with caplog.at_level(logging.WARNING):
        out, info = evc.convert(np.zeros(4410, np.float32), 44100, "angry")
    assert len(out) == 1600 and not out.any() and info["silent"] and "silent" in caplog.text
    assert len(info["f0"]) == world.n_frames(1600, 16000, 5.0)
    whisper = 0.1 * np.random.default_rng(0).standard_normal(4800).astype(np.float32)
    out, info = evc.convert(whisper, 16000, "angry")
    assert out.any() and np.isfinite(out).all() and not info["silent"]


@pytest.mark.parametrize(
    ("wav", "reason"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.full(300, 0.1, np.float32), r"shorter than 0\.02 s \(0\.019 s at 16000 Hz\)"),
        (np.full(4000, np.nan, np.float32), "NaN"),
    ],
)
def test_unusable_recordings(evc, wav, reason):
    with pytest.raises(UserError, match=reason):
        evc.convert(wav, 16000, "angry")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"emotion": "angri"}, r"unknown emotion 'angri' \(did you mean angry\?\).*neutral, angry"),
        ({"emotion": "angry", "speaker": "s9"}, "unknown speaker 's9'.*s1, s2"),
        ({"emotion": "angry", "source_emotion": "sad"}, "unknown source emotion 'sad'"),
        ({"emotion": "angry", "source_emotion": "angry"}, "from neutral speech"),
        ({"emotion": "angry", "f0": "maybe"}, "expected one of convert, keep"),
        ({"emotion": "angry", "intensity": float("nan")}, "intensity"),
        ({"emotion": "angry", "intensity": -1}, "intensity"),
        ({"emotion": "angry", "spectrum_intensity": 3}, "spectrum_intensity is 3"),
    ],
)
def test_unknown_options_name_the_known_ones(evc, voice, options, reason):
    with pytest.raises(UserError, match=reason):
        evc.convert(voice(0.3), 16000, **options)


def test_directions(evc):
    assert evc.direction("A2B") == ("neutral", "angry") and evc.direction("B2A") == ("angry", "neutral")
    with pytest.raises(UserError, match="A2B or B2A"):
        evc.direction("A2A")


def test_the_best_weights_are_taken_first(tmp_path):
    names = ["2epoch.pth", "10epoch.pth", "checkpoint.pth", "valid.loss.best.pth", "valid.mcd.best.pth"]
    names += ["valid.mcd.ave_5best.pth", "latest.pth"]
    for name in names:
        (tmp_path / name).touch()
    assert weight_files(tmp_path) == [
        "valid.mcd.best.pth", "valid.loss.best.pth", "valid.mcd.ave_5best.pth", "10epoch.pth", "2epoch.pth",
        "latest.pth",
    ]  # fmt: skip


def test_missing_weights_are_listed(tiny_model):
    with pytest.raises(UserError, match=r"4epoch\.pth: no such weights.*3epoch.*valid\.mcd\.best\.pth, 3epoch\.pth"):
        EVC.from_pretrained(tiny_model, "4epoch.pth")
    with pytest.raises(UserError, match="state of a training run.*valid.mcd.best.pth"):
        EVC.from_pretrained(tiny_model, "checkpoint.pth")
    (tiny_model / "state.pth").write_bytes((tiny_model / "checkpoint.pth").read_bytes())
    with pytest.raises(UserError, match="expected a state dict"):
        EVC.from_pretrained(tiny_model, "state.pth")


def test_folders_that_are_no_model(tiny_model, tmp_path):
    with pytest.raises(UserError, match="did you mean .*main"):
        EVC.from_pretrained(tiny_model.parent)
    with pytest.raises(UserError, match="found nothing"):
        EVC.from_pretrained(tmp_path / "nowhere")
    for path in tiny_model.glob("*.pth"):
        path.unlink()
    with pytest.raises(UserError, match="no weights yet"):
        EVC.from_pretrained(tiny_model)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_weights_with_code_are_refused_unexecuted(tiny_model, tmp_path):
    torch.save({"w": Evil(str(tmp_path / "executed"))}, tiny_model / "valid.mcd.best.pth")
    with pytest.raises(UserError, match="code"):
        EVC.from_pretrained(tiny_model)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut"])
def test_damaged_weights(tiny_model, content):
    (tiny_model / "valid.mcd.best.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"valid\.mcd\.best\.pth"):
        EVC.from_pretrained(tiny_model)


def test_weights_of_another_model_are_refused(tiny_model, tiny_weights):
    key = next(iter(tiny_weights))
    torch.save({k: v for k, v in tiny_weights.items() if k != key}, tiny_model / "valid.mcd.best.pth")
    with pytest.raises(UserError, match=f"lacks {key}"):
        EVC.from_pretrained(tiny_model)
    torch.save({**tiny_weights, "more": torch.zeros(1)}, tiny_model / "valid.mcd.best.pth")
    with pytest.raises(UserError, match="unlike the model, more"):
        EVC.from_pretrained(tiny_model)
    torch.save({**tiny_weights, key: torch.zeros(1, 2, 3, 4, 5)}, tiny_model / "valid.mcd.best.pth")
    with pytest.raises(UserError, match=f"other shapes for {key}"):
        EVC.from_pretrained(tiny_model)


def test_weights_without_discriminators_do(tiny_model, tiny_weights, voice):
    before, _ = EVC.from_pretrained(tiny_model).convert(voice(0.4), 16000, "angry")
    generators = {k: v for k, v in tiny_weights.items() if k.startswith("G_")}
    assert len(generators) < len(tiny_weights)
    torch.save(generators, tiny_model / "valid.mcd.best.pth")
    after, _ = EVC.from_pretrained(tiny_model).convert(voice(0.4), 16000, "angry")
    assert np.array_equal(before, after)


def test_config_must_be_plain_and_complete(tiny_model):
    config = yaml.safe_load((tiny_model / "config.yaml").read_text())
    (tiny_model / "config.yaml").write_text(yaml.safe_dump({**config, "system_conf": {"domain": ["a", "b"]}}))
    with pytest.raises(UserError, match=r"'domain' \(did you mean domains\?\)"):
        EVC.from_pretrained(tiny_model)
    del config["feats_contract"]
    (tiny_model / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="found no feats_contract"):
        EVC.from_pretrained(tiny_model)
    (tiny_model / "config.yaml").write_text("x: !!python/object/apply:os.getcwd []")
    with pytest.raises(UserError, match="plain YAML"):
        EVC.from_pretrained(tiny_model)


def test_devices(tiny_model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no GPU"):
        EVC.from_pretrained(tiny_model, device="cuda")
    with pytest.raises(UserError, match="not a device name"):
        EVC.from_pretrained(tiny_model, device="gpu9")
