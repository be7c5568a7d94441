"""Frechet distances with known answers."""

import numpy as np
import pytest

from evc2.evaluate import frechet as module
from evc2.evaluate.frechet import frechet, frechet_of_totals, gaussian, moments
from evc2.evaluate.registry import get_metric
from evc2.evaluate.speaker import speaker_missing

FD = get_metric(["fd_mel"])[0]


def spread(dim, seed=0):
    a = np.random.default_rng(seed).normal(size=(dim, 2 * dim))
    return a @ a.T / dim


def test_equal_gaussians():
    c = spread(12)
    assert frechet(np.ones(12), c, np.ones(12), c.copy()) == pytest.approx(0, abs=1e-9)


def test_a_shift_by_d_is_d_squared():
    c, m = spread(6), np.arange(6.0)
    shift = np.array([0, 3.0, 0, 4, 0, 0])
    assert frechet(m, c, m + shift, c) == pytest.approx(25)


def test_diagonal_closed_form():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    m = np.zeros(3)
    assert frechet(m, a, m, b) == pytest.approx(1 + 0 + 4)
    assert frechet(m, np.diag(a), m, np.diag(b)) == pytest.approx(5)


def test_turning_both_changes_nothing_and_one_does():
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    m = np.zeros(3)
    assert frechet(m, turn @ a @ turn.T, m, turn @ b @ turn.T) == pytest.approx(5)
    assert frechet(m, a, m, turn @ a @ turn.T) > 0.1


def test_against_the_root_of_the_matrix():
    linalg = pytest.importorskip("scipy.linalg")
    a, b, m, k = spread(8, 1), spread(8, 2), np.zeros(8), np.linspace(0, 1, 8)
    expected = np.sum(k**2) + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert frechet(m, a, k, b) == pytest.approx(expected, rel=1e-8)
    assert frechet(k, b, m, a) == pytest.approx(expected, rel=1e-8)


def test_a_covariance_without_full_rank():
    flat = np.diag([1.0, 0.0, 0.0])
    m = np.zeros(3)
    assert frechet(m, flat, m, flat) == pytest.approx(0, abs=1e-12)
    assert frechet(m, flat, m, np.diag([0.0, 1.0, 0.0])) == pytest.approx(2)


@pytest.mark.parametrize("diagonal", [False, True])
def test_moments_add_up(diagonal):
    x = np.random.default_rng(0).normal(3, 2, size=(50, 5))
    total = moments(x[:20], diagonal) + moments(x[20:], diagonal)
    np.testing.assert_allclose(total, moments(x, diagonal))
    n, mean, second = gaussian(total, 5)
    assert n == 50
    np.testing.assert_allclose(mean, x.mean(0))
    np.testing.assert_allclose(second, x.var(0) if diagonal else np.cov(x.T, ddof=0), atol=1e-12)


def test_too_few_vectors():
    rng = np.random.default_rng(0)
    many, few = rng.normal(size=(100, 3)), rng.normal(size=(9, 3))
    for one, other in ((many, few), (few, many)):
        assert frechet_of_totals(np.concatenate([moments(one), moments(other)]), 3, least=10) is None
    both = np.concatenate([moments(many), moments(many + [0, 0, 2])])
    assert frechet_of_totals(both, 3, least=10) == pytest.approx(4)


def total(items):
    return FD.combine(sum(FD.function(one) for one in items))


def test_spectra_of_sets(item, speech):
    wavs = [speech.voice(1.0, base=110 + 10 * k, vowels=v) for k, v in enumerate(("aiu", "iua", "uia", "aui", "iau"))]
    noise = 1e-3 * np.random.default_rng(0).standard_normal((5, 16000)).astype(np.float32)
    assert total(item(w, w.copy()) for w in wavs) == pytest.approx(0, abs=1e-6)
    # Who is compared with whom within the set does not matter.
    assert total(item(w, v) for w, v in zip(wavs, wavs[1:] + wavs[:1], strict=True)) == pytest.approx(0, abs=1e-6)
    assert total(item(0.5 * w, w) for w in wavs) == pytest.approx(0, abs=1e-6)  # every wav is brought to one level
    darker = [np.convolve(w, [0.5, 0.5])[: len(w)].astype(np.float32) for w in wavs]
    assert total(item(d, w) for d, w in zip(darker, wavs, strict=True)) > 10
    small = total(item(w + e, w) for w, e in zip(wavs, noise, strict=True))
    large = total(item(w + 30 * e, w) for w, e in zip(wavs, noise, strict=True))
    assert 0 < small < large
    assert total([item(wavs[0], wavs[0])]) is None  # a second of speech


@pytest.mark.skipif(speaker_missing() is not None, reason=str(speaker_missing()))
def test_voices_of_sets(item, speech):
    metric = get_metric(["fd_spk"])[0]
    low = [speech.voice(0.5, base=100 + 3 * k) for k in range(module.MIN_UTTERANCES)]
    high = [speech.voice(0.5, base=200 + 6 * k) for k in range(module.MIN_UTTERANCES)]

    def value(a, b):
        return metric.combine(sum(metric.function(item(x, y)) for x, y in zip(a, b, strict=True)))

    assert value(low, low[::-1]) == pytest.approx(0, abs=1e-9)
    assert 0.1 < value(high, low) < 4
    assert value(low[:-1], low[:-1]) is None
