"""The distances of a copy from its original, on signals whose distance is known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soxr

from evc2.errors import UserError
from evc2.evaluate.analysis import Analysis, evaluation_contract
from evc2.evaluate.item import Item, sample_pairs
from evc2.evaluate.mel_l1 import mel_contract, mel_l1
from evc2.evaluate.mr_stft import RESOLUTIONS, mr_stft
from evc2.evaluate.pesq import pesq_missing, pesq_wb
from evc2.evaluate.registry import ON_REQUEST, all_metrics, get_metric
from evc2.evaluate.score import Clip, Job, score
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.fileio.audio import write_audio

HIFIGAN = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml"
NAMES = ["mel_l1", "mr_stft", "pesq_wb"]
needs_pesq = pytest.mark.skipif(importlib.util.find_spec("pesq") is None, reason="needs the package pesq")


@pytest.fixture(scope="module")
def loud():
    """Noise that is far above every floor in every band: [n] at 22.05 kHz."""
    return 0.1 * np.random.default_rng(0).standard_normal(22050)


def test_a_copy_of_itself(loud, speech):
    for wav in (loud, speech.voice(rate=22050), np.zeros(5000)):
        assert mel_l1(wav, wav.copy()) == 0 and mr_stft(wav, wav.copy()) == 0


@pytest.mark.parametrize("gain", [2.0, 0.5])
def test_a_known_gain(loud, gain):
    """Every magnitude is off by the gain: mel L1 is |ln gain|, the spectral convergence |gain - 1|."""
    assert mel_l1(gain * loud, loud) == pytest.approx(np.log(2), abs=1e-6)
    assert mr_stft(gain * loud, loud) == pytest.approx(abs(gain - 1) + np.log(2), abs=1e-3)


def test_below_the_floor_nothing_differs():
    noise = np.random.default_rng(0).standard_normal(22050)
    assert mel_l1(1e-8 * noise, 2e-8 * noise) == 0
    assert mr_stft(1e-8 * noise, 2e-8 * noise) == 0
    # Silence instead of sound costs the distance to the floor.
    found = mel_l1(np.zeros(22050), 0.1 * noise)
    assert found == pytest.approx(log_mel(0.1 * noise, mel_contract()).mean() - np.log(1e-5), rel=1e-6)


def test_the_mel_is_the_one_of_hifigan():
    own, file = mel_contract(), FeatureContract.load(HIFIGAN)
    assert not own.differences(file, [key for key in own.to_dict() if key != "name"])


def test_mr_stft_against_the_published_definition(loud):
    """Frames and windows as torch.stft makes them; powers floored at 1e-7."""
    torch = pytest.importorskip("torch")
    x = loud + 0.05 * np.random.default_rng(1).standard_normal(len(loud))
    total = 0.0
    for n_fft, hop, win in RESOLUTIONS:
        a, b = (
            torch.stft(torch.tensor(wav), n_fft, hop, win, torch.hann_window(win).double(), return_complex=True)
            for wav in (x, loud)
        )
        a, b = (one.abs().square().clamp_min(1e-7).sqrt() for one in (a, b))
        total += ((b - a).norm() / b.norm() + (b.log() - a.log()).abs().mean()).item() / 3
    assert mr_stft(x, loud) == pytest.approx(total, rel=1e-6)
    with pytest.raises(ValueError, match="22050 and 22049"):
        mr_stft(loud, loud[1:])


def test_distances_grow_with_the_damage(loud, speech):
    wav = speech.voice(rate=22050)
    noise = np.random.default_rng(2).standard_normal(len(wav))
    for metric in (mel_l1, mr_stft):
        found = [metric(wav + level * noise, wav) for level in (1e-4, 1e-3, 1e-2)]
        assert 0 < found[0] < found[1] < found[2]
    shifted = np.roll(wav, 2205)  # in time with each other: a tenth of a second is no small matter
    assert mel_l1(shifted, wav) > 0.5 and mr_stft(shifted, wav) > 0.5


def test_no_value_for_signals_of_different_lengths(item, speech):
    wav = speech.voice()
    functions = [all_metrics()[name].function for name in NAMES[:2]]
    for extra, defined in ((0, True), (160, True), (161, False), (4000, False)):
        longer = item(np.pad(wav, (0, extra)), wav)
        for function in functions:
            value = function(longer)
            assert (value == 0) if defined and extra == 0 else (value is not None) is defined
    assert sample_pairs(item(wav).converted, item(wav[:-161]).converted, 16000) is None
    x, y = sample_pairs(item(wav).converted, item(wav[:-160]).converted, 16000)
    assert len(x) == len(y) == len(wav) - 160


def test_the_file_is_read_at_its_own_rate_only_when_asked_for(tmp_path, speech):
    """Noise above 8 kHz: the analysis at 16 kHz has lost it, these metrics must not."""
    rng = np.random.default_rng(0)
    wav = speech.voice(rate=22050) + 0.02 * np.diff(rng.standard_normal(19846))[: len(speech.voice(rate=22050))]
    half = soxr.resample(soxr.resample(wav, 22050, 16000), 16000, 22050)[: len(wav)]
    entries = {}
    for name, one in (("same", wav), ("half", half)):
        path = tmp_path / f"{name}.wav"
        write_audio(path, one, 22050, "FLOAT")
        entries[name] = Clip(f"cat {path}; echo x >> {tmp_path}/{name}.reads |")
    job = Job("t", "s1", "angry", "neutral", entries, entries["same"], None)
    found = {row.system: row for row in score([job], get_metric(["ddur"]))}
    assert (tmp_path / "half.reads").read_text() == "x\n"
    found = {row.system: row for row in score([job], get_metric(["mel_l1", "mr_stft"]))}
    assert found["same"].problem is None and set(found["same"].values.values()) == {0.0}
    assert found["half"].values["mr_stft"] == pytest.approx(mr_stft(half, wav), rel=1e-4)
    assert found["half"].values["mr_stft"] > 0.3


def test_analysis_of_samples_is_resampled():
    wav = np.sin(np.arange(16000) / 10).astype(np.float32)
    contract = evaluation_contract()
    assert len(Analysis(wav, contract).wav_at(22050)) == 22050
    assert Analysis(wav, contract).wav_at(16000) is wav
    calls = []
    one = Analysis(wav, contract, lambda rate: calls.append(rate) or wav)
    assert one.wav_at(22050) is one.wav_at(22050) is wav and calls == [22050]


def test_a_file_that_is_gone_is_a_problem_of_its_row(item):
    def gone(rate):
        raise UserError("nothing there")

    wav = np.sin(np.arange(16000) / 10).astype(np.float32)
    one = Analysis(wav, evaluation_contract(), gone)
    with pytest.raises(UserError, match="nothing there"):
        all_metrics()["mel_l1"].function(Item("t", "s", "angry", one, one))


def test_computed_on_request_only():
    assert ON_REQUEST == ("signal",)
    assert not set(NAMES) & {metric.name for metric in get_metric()}
    assert [metric.name for metric in get_metric(NAMES)] == NAMES
    assert {metric.group for metric in get_metric(NAMES)} == {"signal"}


def test_pesq_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("evc2.evaluate.pesq.find_spec", lambda name: None)
    assert "pip install pesq" in pesq_missing() and "licence" in pesq_missing()


@needs_pesq
def test_pesq(item, speech):
    assert pesq_missing() is None
    wav = speech.voice(1.5, vowels="aiuai")
    assert pesq_wb(wav, wav) == pytest.approx(4.64, abs=0.01)
    noise = 0.03 * np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)
    assert 1 <= pesq_wb(wav + noise, wav) < 3
    assert pesq_wb(np.zeros(16000), np.zeros(16000)) is None
    assert pesq_wb(wav[:1000], wav[:1000]) is None
    function = all_metrics()["pesq_wb"].function
    assert function(item(wav, wav)) > 4.6 and function(item(wav[:-200], wav)) is None
