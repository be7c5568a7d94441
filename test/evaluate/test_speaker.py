"""Speaker similarity and its natural baseline."""

import subprocess
import sys

import numpy as np
import pytest

from evc2.evaluate import speaker
from evc2.evaluate.registry import get_metric

needs_weights = pytest.mark.skipif(speaker.speaker_missing() is not None, reason=str(speaker.speaker_missing()))
SIM, SIM_SOURCE = get_metric(["spk_sim", "spk_sim_source"])


def test_cosine():
    assert speaker.cosine(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == pytest.approx(1)
    assert speaker.cosine(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 0
    assert speaker.cosine(np.array([1.0, 0.0]), np.array([-1.0, 1.0])) == pytest.approx(-np.sqrt(0.5))
    with pytest.raises(ValueError, match="length 0"):
        speaker.cosine(np.zeros(2), np.ones(2))


@needs_weights
def test_same_voice_and_another(item, speech):
    low, high = speech.voice(base=110), speech.voice(base=240)
    assert SIM.function(item(low, low.copy(), low.copy())) == pytest.approx(1, abs=1e-6)
    same = SIM.function(item(0.3 * low, low))
    other = SIM.function(item(high, low))
    assert other < same - 0.05 and same > 0.95
    assert SIM_SOURCE.function(item(high, None, low)) == pytest.approx(other)


@needs_weights
def test_silence_around_the_speech_does_not_count(item, speech):
    padded = speech.voice(silence=1.0)
    assert SIM.function(item(padded, speech.voice())) > 0.98


@needs_weights
def test_baseline_is_natural_speech_of_one_speaker(item, speech):
    one = item(speech.voice(), speech.voice(base=150), speech.voice(base=130))
    for metric in (SIM, SIM_SOURCE):
        one.source_speaker = "s2"
        assert metric.baseline(one) is None  # a conversion between speakers has no such yardstick
        one.source_speaker = one.speaker
        expected = speaker.cosine(speaker.embedding(one.source), speaker.embedding(one.reference))
        assert metric.baseline(one) == pytest.approx(expected)
    assert SIM.baseline(item(speech.voice(), speech.voice())) is None
    assert "both emotions" in SIM.baseline_doc


@needs_weights
def test_each_wav_is_embedded_once(item, speech, monkeypatch):
    calls = []
    encoder = speaker._encoder()

    class Counting:
        def embed(self, wav):
            calls.append(len(wav))
            return encoder.embed(wav)

    monkeypatch.setattr(speaker, "_encoder", Counting)
    one = item(speech.voice(), speech.voice(1.1), speech.voice(1.2))
    one.source_speaker = one.speaker
    for metric in (SIM, SIM_SOURCE):
        metric.function(one), metric.baseline(one)
    assert len(calls) == 3


def test_without_weights_a_line_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(speaker, "PACKAGE", "no_such_package_here")
    assert "pip install --no-deps Resemblyzer" in SIM.missing() and "\n" not in SIM.missing()


def test_asking_for_the_weights_imports_nothing():
    code = (
        "import sys; from evc2.evaluate import speaker; speaker.speaker_missing(); "
        "assert not {'torch', 'resemblyzer', 'librosa'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
