"""Correlation of energy contours."""

import numpy as np
import pytest

from evc2.evaluate.energy import energy_corr, level_diff
from evc2.evaluate.registry import get_metric

METRIC = get_metric(["energy_corr"])[0]


def test_known_numbers():
    x = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert energy_corr(x, 1.3 * x - 5) == pytest.approx(1)
    assert energy_corr(x, -x) == pytest.approx(-1)
    square = np.tile([0.0, 1.0], 8)
    assert energy_corr(square, np.repeat([0.0, 1.0], 8)) == pytest.approx(0, abs=1e-12)
    y = x.copy()
    y[-1] = 0  # sums of products about the means: 60, 110 and 100.909
    assert energy_corr(x, y) == pytest.approx(60 / np.sqrt(110 * 100.90909), abs=1e-5)


def test_not_defined():
    x = np.linspace(0, 1, 9)
    assert energy_corr(x, x) is None  # nine frames
    assert energy_corr(np.linspace(0, 1, 30), np.full(30, -3.0)) is None
    assert energy_corr(np.linspace(0, 1, 30), 1e-3 * np.linspace(0, 1, 30)) is None


def test_digital_zeros_in_a_pause_do_not_outweigh_the_speech():
    rng = np.random.default_rng(0)
    speech, other = rng.normal(-5, 2, 200), rng.normal(-5, 2, 200)
    pause = np.full(20, -14.0)
    x, y = np.concatenate([speech, pause - 23]), np.concatenate([other, pause - 23])  # -37: digital silence
    assert np.corrcoef(x, y)[0, 1] > 0.8 > energy_corr(x, y) + 0.15


def test_level_does_not_count_movement_does(item, speech):
    wav = speech.voice()
    swell = np.geomspace(0.02, 1, len(wav)).astype(np.float32)
    assert METRIC.function(item(0.1 * wav * swell, wav * swell)) > 0.99
    assert METRIC.function(item(wav * swell[::-1], wav * swell)) < 0


def test_level_in_db():
    assert level_diff(np.log([4.0, 4.0]), np.log([1.0])) == pytest.approx(6.02, abs=0.01)
    assert level_diff(np.log([1.0, 3.0]), np.log([2.0, 2.0])) == pytest.approx(
        0
    )  # of the mean power, not of the mean dB
