"""DeepSpeaker's input: equal to the package that its weights were trained with, which need not be installed."""

import math

import numpy as np
import pytest

from evc2.feats import fbank

KNOWN = {5: 0.000133, 10: 0.007209, 12: 0.223373, 13: 0.020735, 35: 0.001717, 60: 4.1e-05}
"""Frame 3 of tones(), computed once with python_speech_features 0.6 itself: fbank(wav, 16000, nfilt=64)."""


def tones():
    t = np.arange(16000) / 16000
    return 0.3 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 2500 * t)


def test_known_energies():
    found = fbank.fbank(tones())
    assert found.shape == (99, 64) and found[3].argmax() == 38
    assert found.sum() == pytest.approx(111.75136489979738, rel=1e-9)
    assert found[3, list(KNOWN)] == pytest.approx(list(KNOWN.values()), abs=6e-7)
    # The last frame is filled up with zeros.
    assert found[-1, [12, 35]] == pytest.approx([0.14846477370917982, 0.0013473402541160542], rel=1e-9)


def test_equals_the_package():
    package = pytest.importorskip("python_speech_features")
    for n in (300, 400, 401, 560, 561, 12345):
        wav = np.random.default_rng(n).standard_normal(n)
        np.testing.assert_allclose(fbank.fbank(wav), package.fbank(wav, 16000, nfilt=64)[0], rtol=1e-9)


def test_filters_are_triangles_between_rounded_bins():
    found = fbank.filters()
    mel = 2595 * math.log10(1 + 8000 / 700) / 65
    left, middle, right = (int(513 * 700 * (10 ** (mel * k / 2595) - 1) / 16000) for k in (40, 41, 42))
    assert found.shape == (64, 257) and np.argmax(found[40]) == middle and found[40, middle] == 1
    assert np.flatnonzero(found[40]).tolist() == list(range(left + 1, right))
    assert found[40, left + 1] == pytest.approx(1 / (middle - left))


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (400, 1), (401, 2), (560, 2), (561, 3)])
def test_frames_cover_the_signal(samples, frames):
    assert fbank.fbank(np.ones(samples)).shape == (frames, 64)


def test_digital_silence_has_a_floor():
    assert (fbank.fbank(np.zeros(1000)) == np.finfo(float).eps).all()


def test_voice_is_between_the_loudest_samples():
    wav = np.full(1000, 0.01)
    wav[300:330], wav[600:620] = 0.5, -0.5  # 50 of 1000 samples are above the 95th percentile
    assert len(fbank.voiced_part(wav)) == 619 - 300
    for silent in (np.zeros(1000), np.full(1000, 0.3), np.zeros(0)):
        with pytest.raises(ValueError, match="silent"):
            fbank.voiced_part(silent)


def test_each_frame_is_normalised_and_the_level_does_not_matter():
    found = fbank.deepspeaker_input(tones())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(fbank.deepspeaker_input(0.01 * tones()), found, atol=1e-4)
    # No logarithm, as in the published code: the strongest band stands out by more than a log spectrum allows.
    assert found[3].max() > 5
