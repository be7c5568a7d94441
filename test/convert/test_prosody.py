"""F0 by a model of its own, styles, and durations, through EVC."""

import numpy as np
import pytest
import yaml

from evc2.convert import EVC
from evc2.convert.options import Options
from evc2.convert.render import render
from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.train.abs_model import AbsEVCModel, ConversionTarget


def with_durations(tiny_stats, ratio=1.25):
    """The tiny statistics, with angry speech `ratio` as long as neutral."""
    stats = Stats()
    stats.merge(tiny_stats)
    for speaker in ("s1", "s2"):
        for emotion in ("neutral", "angry"):
            counted = Stats()
            counted.add(speaker, emotion, np.zeros((1, 24)), duration=0.1 * (ratio if emotion == "angry" else 1.0))
            stats.merge(counted)
    return stats


@pytest.fixture
def evc(tiny_model, tiny_f0_model):
    return EVC.from_pretrained(tiny_model, f0_model=tiny_f0_model)


class Styled(AbsEVCModel):
    """Says what it was asked for; the source is its conversion."""

    styles = ("mean", "reference", "random")
    max_domains = 8

    def __init__(self, domains, contract, stats):
        super().__init__()
        self.domains = self.emotions = domains
        self.contract, self.stats, self.asked = contract, stats, None

    def forward(self, turn=None, step=0, cache=None, **batch):
        raise NotImplementedError

    def convert(self, source, target):
        self.asked = target
        return {"feats": source["feats"], "f0": source["f0"], "power": None}


def styled(tiny_contract, tiny_stats, *domains):
    stats = Stats()
    stats.merge(tiny_stats)
    for emotion in domains:
        if emotion not in stats.emotions:
            stats.add("s1", emotion, np.zeros((4, 24)), np.full(4, 100.0), np.zeros(4))
    return EVC(Styled(domains, tiny_contract, stats))


def test_f0_by_its_own_model(evc, voice):
    wav = voice(0.6)
    plain, cwt, keep = (evc.convert(wav, 16000, "angry", f0=way)[1] for way in ("convert", "cwt", "keep"))
    voiced = keep["f0"] > 0
    assert np.array_equal(cwt["f0"] > 0, voiced) and np.array_equal(keep["f0"], keep["source_f0"])
    assert np.abs(np.log(cwt["f0"][voiced] / plain["f0"][voiced])).max() > 1e-3, "an untrained network moves it somehow"
    given = world.analyze(wav, evc.contract)
    given |= {"speaker": None, "emotion": "neutral"}
    expected = evc.f0_model.convert(given, ConversionTarget("angry"))["f0"]
    np.testing.assert_array_equal(cwt["f0"], expected)
    _, still = evc.convert(wav, 16000, "angry", f0="cwt", intensity=0.0)
    np.testing.assert_allclose(still["f0"], still["source_f0"], rtol=1e-5)


def test_f0_model_alone_or_without(tiny_model, tiny_f0_model, voice):
    evc = EVC.from_pretrained(tiny_model)
    with pytest.raises(UserError, match="f0 cwt needs a model for F0: give --f0_model"):
        evc.convert(voice(0.3), 16000, "angry", f0="cwt")
    out, info = EVC.from_pretrained(tiny_f0_model).convert(voice(0.3), 16000, "angry")  # as a system: F0 alone
    assert len(out) == 4800 and not np.array_equal(info["f0"], info["source_f0"])


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("frame_period", 10.0, r"frame_period: 5\.0 \(the model\), 10\.0 \(the F0 model\)"),
        ("f0_floor", 60.0, r"f0_floor: 71\.0 \(the model\), 60\.0 \(the F0 model\)"),
        ("order", 30, None),
    ],
)
def test_f0_models_of_another_contract(tiny_model, tiny_f0_model, key, value, reason):
    config = yaml.safe_load((tiny_f0_model / "config.yaml").read_text())
    config["feats_contract"][key] = value
    (tiny_f0_model / "config.yaml").write_text(yaml.safe_dump(config))
    if reason is None:  # says nothing about F0
        EVC.from_pretrained(tiny_model, f0_model=tiny_f0_model)
        return
    with pytest.raises(UserError, match=reason):
        EVC.from_pretrained(tiny_model, f0_model=tiny_f0_model)


def test_f0_model_of_other_emotions(tiny_model, tiny_f0_model, tiny_contract, tiny_stats, voice):
    f0_model = EVC.from_pretrained(tiny_f0_model).model
    evc = styled(tiny_contract, tiny_stats, "neutral", "sad")
    evc = EVC(evc.model, f0_model=f0_model)
    with pytest.raises(UserError, match="F0 model converts between neutral and angry, not from neutral to sad"):
        evc.convert(voice(0.3), 16000, "sad", f0="cwt")


def test_styles_are_passed_on(tiny_contract, tiny_stats, voice):
    evc = styled(tiny_contract, tiny_stats, "neutral", "angry")
    evc.convert(voice(0.3), 16000, "angry")
    assert evc.model.asked.style is None and evc.model.asked.reference is None
    evc.convert(voice(0.3), 16000, "angry", style="random", style_seed=7, intensity=0.5)
    assert (evc.model.asked.style, evc.model.asked.seed, evc.model.asked.intensity) == ("random", 7, 0.5)
    spoken = voice(0.4, 44100)
    evc.convert(voice(0.3), 16000, "angry", style="reference", reference=(spoken, 44100))
    found = evc.model.asked.reference
    assert found["feats"].shape == (81, 24) and (found["f0"] > 0).any() and found["speaker"] is None
    evc.convert(voice(0.3), 16000, "angry", style="reference", reference=evc.reference(spoken, 44100))
    np.testing.assert_array_equal(evc.model.asked.reference["feats"], found["feats"])
    with pytest.raises(UserError, match="silent: it has no style"):
        evc.reference(np.zeros(8000, np.float32), 16000)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"style": "meen"}, r"'meen' \(did you mean mean\?\): the system Styled offers mean, reference, random"),
        ({"style": "reference"}, "go together"),
        ({"reference": (np.zeros(9), 16000)}, "go together"),
        ({"style": "mean", "reference": (np.zeros(9), 16000)}, "go together"),
        ({"duration": "longer"}, "duration is 'longer', expected one of keep, scale"),
    ],
)
def test_styles_that_cannot_be(tiny_contract, tiny_stats, voice, options, reason):
    with pytest.raises(UserError, match=reason):
        styled(tiny_contract, tiny_stats, "neutral", "angry").convert(voice(0.3), 16000, "angry", **options)


def test_a_system_without_styles(evc, voice):
    with pytest.raises(UserError, match="style 'mean': the system CycleGAN has no styles.*leave out --style"):
        evc.convert(voice(0.3), 16000, "angry", style="mean")


def test_several_emotions_need_the_sources(tiny_contract, tiny_stats, voice):
    evc = styled(tiny_contract, tiny_stats, "neutral", "angry", "sad")
    with pytest.raises(UserError, match="3 emotions.*--source_emotion.*neutral, angry, sad"):
        evc.convert(voice(0.3), 16000, "sad")
    evc.convert(voice(0.3), 16000, "sad", source_emotion="angry")
    with pytest.raises(UserError, match="no two domains A and B"):
        evc.direction("A2B")


@pytest.mark.parametrize("options", [{}, {"spectrum": "keep"}, {"spectrum": "gaussian", "f0": "keep"}])
def test_duration_scales_everything(evc, tiny_stats, voice, options):
    evc.model.stats = evc.stats = with_durations(tiny_stats)
    wav = voice(0.8)
    kept, before = evc.convert(wav, 16000, "angry", **options)
    out, info = evc.convert(wav, 16000, "angry", duration="scale", **options)
    assert info["ratio"] == pytest.approx(1.25) and before["ratio"] == 1.0
    assert len(kept) == len(wav) and len(out) == round(1.25 * len(wav)) and np.isfinite(out).all()
    assert len(info["f0"]) == round(1.25 * len(before["f0"])) and len(info["source_f0"]) == len(before["f0"])
    assert abs((info["f0"] > 0).mean() - (before["f0"] > 0).mean()) < 0.02
    voiced = [x["f0"][x["f0"] > 0] for x in (before, info)]
    assert np.log(voiced[1]).mean() == pytest.approx(np.log(voiced[0]).mean(), abs=0.01), "slower, not lower"
    again = world.analyze(out, evc.contract)["f0"]
    n = min(len(again), len(info["f0"]))
    both = (again[:n] > 0) & (info["f0"][:n] > 0)
    assert both.sum() > 100 and np.abs(np.log(again[:n][both] / info["f0"][:n][both])).mean() < 0.02


@pytest.mark.parametrize(("speaker", "source"), [("s1", "neutral"), (None, "neutral"), (None, "angry")])
def test_duration_by_direction_and_intensity(evc, tiny_stats, voice, speaker, source):
    evc.model.stats = evc.stats = with_durations(tiny_stats)
    target = "angry" if source == "neutral" else "neutral"
    for intensity in (0.0, 0.5, 1.0):
        _, info = evc.convert(voice(0.3), 16000, target, speaker, duration="scale", intensity=intensity)
        assert info["ratio"] == pytest.approx(1.25 ** (intensity if source == "neutral" else -intensity))


def test_statistics_without_durations(evc, voice):
    with pytest.raises(UserError, match="hold no durations.*run stage 4 again"):
        evc.convert(voice(0.3), 16000, "angry", duration="scale")


def test_rendering_an_anchor_in_another_tempo(voice, tiny_contract):
    analysis = world.analyze(voice(0.5), tiny_contract, with_envelope=True)
    level = []
    for ratio in (1.0, 0.5, 1.7):
        wav, _ = render(analysis, tiny_contract, 8000, ratio=ratio)
        assert len(wav) == round(8000 * ratio)
        level.append(10 * np.log10(np.mean(wav**2)))
    assert np.ptp(level) < 1.0, "dB"


def test_options_are_checked_once_for_all():
    with pytest.raises(UserError, match=r"f0 is 'cwd', expected one of convert, keep, cwt \(did you mean cwt\?\)"):
        Options(emotion="angry", f0="cwd")
    assert Options(emotion="angry", power="keep", duration="scale").changed() == {"power": "keep", "duration": "scale"}


def test_mel_systems_have_no_f0_model(tiny_f0_model, tiny_contract, tiny_stats):
    from evc2.convert.checks import check_f0_model

    mel = FeatureContract.from_dict(
        {"name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 128, "win": 512, "window": "hann",
         "center": False, "pad": "reflect", "power": 1, "n_mels": 40, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
         "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none"}
    )  # fmt: skip
    with pytest.raises(UserError, match="goes with systems on WORLD features"):
        check_f0_model(mel, EVC.from_pretrained(tiny_f0_model).model)
