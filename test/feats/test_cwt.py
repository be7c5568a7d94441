"""Wavelet transform of pitch contours: known answers by quadrature, linearity, the way back."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.cwt import SCALES, TAU0, TYPICAL_STD, cwt, interpolate_lf0, inverse_cwt, inverse_weights

FRAMES = 400  # 2 s


def contour(*hertz, frames=FRAMES):
    """Cosines that are their own mirror at both ends, so that an endless mirror continues them without a kink."""
    t = np.arange(frames) + 0.5
    half_turns = [max(1, round(2 * f * frames * TAU0)) for f in hertz]
    return sum(np.cos(np.pi * n * t / frames) for n in half_turns)


def test_coefficients_by_quadrature():
    """The integral of the definition, summed frame by frame over a long mirror."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=40).cumsum()
    w = cwt(x)
    period = np.concatenate((x, x[::-1]))
    for i in (1, 2, 3, 4):
        s = 2.0 ** (i + 1)
        for t in (0, 7, 39):
            v = np.arange(-int(8 * s), int(8 * s) + 1)
            u = v / s
            psi = 2 / (np.sqrt(3) * np.pi**0.25) * (1 - u**2) * np.exp(-(u**2) / 2)
            expected = (period[(t + v) % len(period)] * psi).sum() / np.sqrt(s)
            assert w[t, i - 1] == pytest.approx(expected, abs=1e-6 * np.abs(x).max()), (i, t)


def test_the_wavelet_answers_most_at_its_own_frequency():
    """A Mexican hat of scale s answers most to sqrt(2) / (2 pi s) Hz, in energy sqrt(2.5) by s^(1/2); scale 5: 0.70."""
    peak = np.sqrt(2) / (2 * np.pi * 2**6 * TAU0)
    frequencies = peak * 2.0 ** np.arange(-2, 3)
    level = np.array([np.abs(cwt(contour(f, frames=4000))[:, 4] / np.sqrt(2**6)).max() for f in frequencies])
    assert level.argmax() == 2
    expected = [r**2 * np.exp(1 - r**2) for r in 2.0 ** np.arange(-2, 3)]
    np.testing.assert_allclose(level / level[2], expected, atol=0.03)


def test_linear_and_blind_to_the_mean():
    x, y = contour(1.5) + 0.3, contour(4.0)
    np.testing.assert_allclose(cwt(2 * x - 3 * y), 2 * cwt(x) - 3 * cwt(y), atol=1e-9)
    np.testing.assert_allclose(cwt((x - 5.2) / 0.3), cwt(x) / 0.3, atol=1e-9)
    np.testing.assert_allclose(cwt(np.full(50, 5.0)), 0.0, atol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3, 17, 400])
def test_shapes_and_short_contours(frames):
    w = cwt(np.linspace(5.0, 5.3, frames))
    assert w.shape == (frames, SCALES) and w.dtype == np.float64 and np.isfinite(w).all()
    assert inverse_cwt(w).shape == (frames,)


def test_a_smooth_contour_comes_back():
    """The exact inverse holds to 1 % within the scales' band; the published weights follow the shape less closely."""
    x = contour(0.5, 1.0, 2.0, 4.0)
    exact, rule = (inverse_cwt(cwt(x), method) for method in ("delta", "published"))
    assert np.abs(exact - x).max() < 0.02 * np.abs(x).max()
    assert np.corrcoef(rule, x)[0, 1] > 0.98
    assert np.sqrt(np.mean((rule - x) ** 2)) < 0.25 * x.std()
    assert np.abs(rule - x).max() > np.abs(exact - x).max()
    mean = 5.0
    np.testing.assert_allclose(x + mean - inverse_cwt(cwt(x + mean)), mean, atol=0.02 * np.abs(x).max())


def test_weights():
    published = inverse_weights("published")
    np.testing.assert_allclose(published / published[0], ((np.arange(1, 11) + 2.5) / 3.5) ** -2.5)
    exact = inverse_weights()
    np.testing.assert_allclose(exact[:-1] / exact[1:], np.sqrt(2))
    with pytest.raises(UserError, match="expected one of delta, published"):
        inverse_cwt(np.zeros((3, 10)), "other")


def test_another_frame_period_gives_the_same_coefficients():
    coarse, fine = contour(2.0, frames=200), contour(1.0, frames=400)
    w = cwt(coarse, 0.01)  # the same curve in 10 ms steps, each amid two of the fine ones
    between = (cwt(fine)[0::2] + cwt(fine)[1::2]) / 2
    assert np.abs(w - between)[:, 3:].max() < 0.02 * np.abs(w).max()


def test_interpolation():
    f0 = np.array([0, 0, 100.0, 0, 0, 0, 200.0, 0])
    lf0, voiced = interpolate_lf0(f0)
    np.testing.assert_allclose(np.exp(lf0), [100, 100, 100, *100 * 2 ** np.array([0.25, 0.5, 0.75]), 200, 200])
    assert voiced.tolist() == [False, False, True, False, False, False, True, False]
    np.testing.assert_allclose(interpolate_lf0(np.array([0, 120.0, 0]))[0], np.log(120))


def test_no_pitch():
    with pytest.raises(UserError, match="none of 7 frames is voiced"):
        interpolate_lf0(np.zeros(7))


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((3, 2))])
def test_not_a_contour(bad):
    with pytest.raises(ValueError, match="expected a contour"):
        cwt(bad)
    with pytest.raises(ValueError, match=r"\[T, 10\]"):
        inverse_cwt(bad)


def test_typical_deviations_fit_speech():
    """A random walk through syllables and phrases lies within a factor of three of the constants, scale by scale."""
    rng = np.random.default_rng(0)
    x = np.convolve(rng.normal(size=4000), np.hanning(21), "same").cumsum()
    x -= np.convolve(np.pad(x, 200, mode="edge"), np.ones(401) / 401, "valid")  # falls back to its own middle
    found = cwt((x - x.mean()) / x.std()).std(0)
    ratio = found[2:8] / np.array(TYPICAL_STD)[2:8]
    assert (ratio > 1 / 3).all() and (ratio < 3).all()
