"""Speaking rate on signals of which the syllables are known."""

import numpy as np
import pytest

from evc2.evaluate.rate import nuclei, speaking_rate
from evc2.evaluate.registry import get_metric

RATE, RATIO = get_metric(["rate", "rate_ratio"])


def bursts(count, seconds, voiced=True, depth=0.02, level=0.3):
    """`count` swells of a vowel (or of noise) in `seconds`: float32 [n] at 16 kHz."""
    t = np.arange(int(seconds * 16000)) / 16000
    rng = np.random.default_rng(0)
    sound = sum(np.cos(2 * np.pi * 140 * k * t) / k for k in range(1, 30)) if voiced else rng.standard_normal(len(t))
    swell = depth + (1 - depth) * np.sin(np.pi * count * t / seconds) ** 2
    wav = level * sound / np.abs(sound).max() * swell + 1e-4 * rng.standard_normal(len(t))
    return wav.astype(np.float32)


@pytest.mark.parametrize(("count", "seconds"), [(5, 1.0), (4, 1.0), (7, 1.4), (3, 1.5), (1, 0.4), (8, 1.25)])
def test_bursts_are_counted(item, count, seconds):
    assert RATE.function(item(bursts(count, seconds))) == pytest.approx(count / seconds, rel=0.08)


def test_silence_and_level_do_not_count(item):
    wav = np.pad(bursts(5, 1.0), 8000) + 1e-6 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
    assert RATE.function(item(wav)) == pytest.approx(5, rel=0.08)
    assert RATE.function(item(0.05 * wav)) == pytest.approx(5, rel=0.08)


def test_noise_has_no_syllables(item):
    assert RATE.function(item(bursts(5, 1.0, voiced=False))) <= 1


def test_shallow_dips_do_not_split_a_syllable(item):
    # A dip to 0.9 of the amplitude is 0.9 dB, one to 0.5 is 6 dB.
    assert RATE.function(item(bursts(5, 1.0, depth=0.9))) <= 1.1
    assert RATE.function(item(bursts(5, 1.0, depth=0.5))) == pytest.approx(5, rel=0.08)


def test_ratio(item):
    assert RATIO.function(item(bursts(6, 1.0), bursts(4, 1.0))) == pytest.approx(1.5, rel=0.1)
    wav = bursts(4, 1.0)
    assert RATIO.function(item(wav, wav.copy())) == 1
    assert RATIO.function(item(wav, bursts(1, 0.5, voiced=False))) is None  # nothing to divide by
    assert RATE.baseline(item(wav, bursts(6, 1.0), wav)) == pytest.approx(6, rel=0.08)


def test_frames_of_nuclei():
    frames = np.arange(200)
    power = np.log(1e-3 + np.sin(np.pi * frames / 50) ** 2)  # peaks at 25, 75, 125, 175
    voiced = np.where(frames < 150, 120.0, 0.0)
    assert nuclei(power, voiced, 0.005).tolist() == [25, 75, 125]  # the fourth is not voiced
    quiet = power - np.where(frames >= 100, np.log(1000), 0)  # 30 dB below the loud ones
    assert nuclei(quiet, np.full(200, 120.0), 0.005).tolist() == [25, 75]
    assert len(nuclei(np.zeros(1), np.zeros(1), 0.005)) == 0
    assert nuclei(np.zeros(40), np.full(40, 99.0), 0.005).size == 1  # a steady vowel is one syllable


def test_rate_of_known_numbers():
    assert speaking_rate(7, 2.0) == 3.5
    assert speaking_rate(0, 1.0) == 0
    assert speaking_rate(3, 0.0) is None
