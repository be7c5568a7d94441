"""Log-Gaussian conversion of F0 and power, with known answers."""

import dataclasses

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.prosody import F0_LIMITS, convert_f0, convert_power, interpolate
from evc2.feats.stats import Moments, moments_of


def moments(lf0=(5.0, 0.2), power=(-4.0, 1.5), feats=(0.0, 1.0)):
    return Moments(np.full(2, feats[0]), np.full(2, feats[1]), *lf0, *power, n_frames=10)


def test_glide_takes_the_targets_moments():
    """A glide over an octave, transformed with its own moments, has the target's mean and deviation exactly."""
    f0 = np.geomspace(100, 200, 101)
    f0[40:50] = 0
    src = moments_of(np.zeros((101, 2)), f0, np.zeros(101))
    new = convert_f0(f0, src, moments(lf0=(np.log(300.0), 0.1)))
    lf0 = np.log(new[new > 0])
    assert lf0.mean() == pytest.approx(np.log(300.0)) and lf0.std() == pytest.approx(0.1)
    assert np.array_equal(new == 0, f0 == 0)
    assert (np.diff(new[:40]) > 0).all()


def test_known_frames():
    """One deviation above the source's mean becomes one of the target's above the target's."""
    src, tgt = moments(lf0=(np.log(100.0), 0.5)), moments(lf0=(np.log(200.0), 0.25))
    f0 = np.array([100.0, 100.0 * np.exp(0.5), 0.0], dtype=np.float32)
    new = convert_f0(f0, src, tgt)
    np.testing.assert_allclose(new, [200.0, 200.0 * np.exp(0.25), 0.0], rtol=1e-6)
    assert new.dtype == np.float32


def test_intensity():
    src, tgt = moments(lf0=(np.log(100.0), 0.2)), moments(lf0=(np.log(200.0), 0.2))
    f0 = np.array([80.0, 100.0, 0.0])
    np.testing.assert_allclose(convert_f0(f0, src, tgt, 0.0), f0)
    np.testing.assert_allclose(convert_f0(f0, src, tgt, 0.5), f0 * np.sqrt(2))
    np.testing.assert_allclose(convert_f0(f0, src, tgt, 1.5), f0 * 2**1.5)
    half = interpolate(moments(feats=(0.0, 1.0)), moments(feats=(2.0, 4.0)), 0.5)
    np.testing.assert_allclose([half.feats_mean, half.feats_std], [[1, 1], [2, 2]])


def test_f0_stays_a_voice():
    new = convert_f0(np.array([60.0, 400.0]), moments(lf0=(np.log(150.0), 0.05)), moments(lf0=(np.log(200.0), 0.5)))
    assert new.tolist() == list(F0_LIMITS)


def test_f0_without_voice():
    nothing = dataclasses.replace(moments(), lf0_mean=float("nan"))
    silent = np.zeros(5)
    assert np.array_equal(convert_f0(silent, nothing, moments()), silent)
    with pytest.raises(UserError, match="no voiced frame"):
        convert_f0(np.array([100.0]), moments(), nothing)


def test_power_of_speech():
    rng = np.random.default_rng(0)
    power = rng.normal(-4.0, 1.5, 500)
    src = moments_of(np.zeros((500, 2)), np.zeros(500), power)
    new = convert_power(power, src, moments(power=(-2.0, 0.75)))
    assert (new.mean(), new.std()) == pytest.approx((-2.0, 0.75))
    np.testing.assert_allclose(convert_power(power, src, src), power)
    np.testing.assert_allclose(convert_power(power, src, moments(power=(-2.0, 0.75)), intensity=0.0), power)


def test_power_of_pauses():
    """Pauses get the gain of the quietest speech: no step, the order of loudness stays."""
    power = np.concatenate([np.linspace(0.0, -9.0, 300), np.linspace(-9.5, -25.0, 100)])
    src, tgt = moments(power=(-3.0, 2.0)), moments(power=(-2.0, 3.0))
    gain = convert_power(power, src, tgt) - power
    np.testing.assert_allclose(gain[300:], gain[300])
    assert np.abs(np.diff(gain)).max() < 0.2
    with pytest.raises(UserError, match="power cannot be converted"):
        convert_power(power, src, dataclasses.replace(tgt, power_mean=float("nan")))
