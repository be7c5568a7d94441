"""Levels, and how much a recording is raised."""

import numpy as np
import pytest

from evc2.feats.loudness import PEAK, level, raising_gain


def tone(amplitude):
    return amplitude * np.sin(2 * np.pi * np.arange(16000) / 16)  # 1000 whole periods, samples at the peaks


def test_level():
    assert level(np.ones(10)) == 0.0 and level(-0.1 * np.ones(10)) == pytest.approx(-20)
    assert level(tone(1.0)) == pytest.approx(-3.0103, abs=1e-4)
    assert level(np.zeros(10)) == level(np.zeros(0)) == -np.inf


def test_quiet_ones_are_raised_to_the_target():
    gain, limited = raising_gain(tone(0.01), -30.0)
    assert gain == pytest.approx(-30 + 43.0103, abs=1e-4) and not limited
    assert level(tone(0.01) * 10 ** (gain / 20)) == pytest.approx(-30)


def test_loud_ones_are_left_alone():
    assert raising_gain(tone(0.5), -30.0) == (0.0, False)


def test_nothing_clips():
    wav = tone(0.001)
    wav[100] = 0.5  # a click in a quiet recording
    gain, limited = raising_gain(wav, -20.0)
    assert limited and np.abs(wav * 10 ** (gain / 20)).max() == pytest.approx(PEAK)
    full = np.zeros(16000)
    full[5] = -1.0
    assert raising_gain(full, -20.0) == (0.0, True)


def test_silence_has_no_level():
    for wav in (np.zeros(16000), np.zeros(0)):
        assert raising_gain(wav, -30.0) == (0.0, False)
