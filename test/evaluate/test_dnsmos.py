"""DNSMOS against the package that its weights come with."""

import numpy as np
import pytest

from evc2.evaluate import dnsmos
from evc2.evaluate.registry import get_metric

needs_package = pytest.mark.skipif(dnsmos.dnsmos_missing() is not None, reason=str(dnsmos.dnsmos_missing()))
NAMES = [f"dnsmos_{name}" for name in ("ovrl", "sig", "bak", "p808")]


def noise(seconds, level=0.05):
    wav = np.random.default_rng(0).standard_normal(int(seconds * dnsmos.RATE))
    return np.clip(level * wav, -1, 1).astype(np.float32)


def test_short_wavs_are_doubled():
    wav = noise(3)
    cut = dnsmos.windows(wav)
    assert cut.shape == (3, dnsmos.WINDOW) and cut.dtype == np.float32
    assert np.array_equal(cut[0], np.tile(wav, 4)[: dnsmos.WINDOW])
    assert np.array_equal(cut[2], np.tile(wav, 4)[32000 : 32000 + dnsmos.WINDOW])


def test_one_window_and_none():
    assert len(dnsmos.windows(noise(0.01))) >= 1
    wav = noise(9.5)
    assert np.array_equal(dnsmos.windows(wav)[0], wav[: dnsmos.WINDOW]) and len(dnsmos.windows(wav)) == 1
    with pytest.raises(ValueError, match="empty"):
        dnsmos.windows(np.zeros(0, np.float32))


def test_full_scale_is_not_exceeded():
    assert np.abs(dnsmos.windows(np.full(1000, 1.2, np.float32))).max() == 1


def test_without_the_package_one_line(monkeypatch):
    monkeypatch.setattr(dnsmos, "find_spec", lambda name: None)
    for metric in get_metric(NAMES):
        assert "pip install speechmos" in metric.missing() and "\n" not in metric.missing()


class Recorder:
    """Takes the place of a network and keeps what it is given."""

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def run(self, outputs, inputs):
        self.seen.append(inputs["input_1"][0])
        return [np.zeros((1, self.answers), np.float32)]


@needs_package
@pytest.mark.parametrize("seconds", [0.7, 4.4044, 9.01, 12.3, 20.0, 36.5])
def test_the_packages_own_windows(seconds):
    package = pytest.importorskip("speechmos.dnsmos", reason="tools/setup.sh --extras eval")
    judge = object.__new__(package.DNSMOS)
    judge.onnx_sess, judge.p808_onnx_sess = Recorder(3), Recorder(1)
    wav = noise(seconds)
    judge(wav, dnsmos.RATE, False)
    assert np.array_equal(np.stack(judge.onnx_sess.seen), dnsmos.windows(wav))
    assert np.array_equal(judge.p808_onnx_sess.seen[-1], dnsmos._log_mel(dnsmos.windows(wav)[-1][:-160]))


@needs_package
def test_the_packages_own_scores(speech):
    package = pytest.importorskip("speechmos.dnsmos", reason="tools/setup.sh --extras eval")
    wav = speech.voice(2.6)
    ours, theirs = dnsmos.dnsmos(wav), package.run(wav, dnsmos.RATE)
    for name in dnsmos.SCORES:
        assert ours[name] == pytest.approx(theirs[f"{name}_mos"], abs=1e-4)


@needs_package
def test_noise_is_heard_and_scored_once(item, speech, monkeypatch):
    metrics = {metric.name: metric for metric in get_metric(NAMES)}
    clean = speech.voice(2.6)
    noisy = item(clean + noise(2.6, 0.1))
    quiet = item(clean)
    assert metrics["dnsmos_bak"].function(quiet) > metrics["dnsmos_bak"].function(noisy) + 0.5
    monkeypatch.setattr(dnsmos, "dnsmos", None)
    assert all(1 <= metric.function(quiet) <= 5 for metric in metrics.values())
