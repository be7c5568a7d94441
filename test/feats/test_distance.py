"""MCD with known answers, and DTW against a plain reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc2.feats import distance, world
from evc2.feats.contract import FeatureContract

OMEGA = np.linspace(0, np.pi, 513)
DB_PER_NEPER = 20 / np.log(10)


def warped_cosine(m, size=1.0, alpha=0.42):
    """A power envelope whose ln|H| is size * cos(m v), v being the warped frequency."""
    v = OMEGA + 2 * np.arctan(alpha * np.sin(OMEGA) / (1 - alpha * np.cos(OMEGA)))
    return np.exp(2 * size * np.cos(m * v))[None]


@pytest.mark.parametrize("m", [0, 1, 7, 24])
def test_mel_cepstrum_of_a_cosine(m):
    """ln|H| = cos(m v) is the unit vector m: the scale of SPTK."""
    np.testing.assert_allclose(distance.mel_cepstrum(warped_cosine(m))[0], np.eye(25)[m], atol=1e-9)


@pytest.mark.parametrize("m", [1, 5, 24])
def test_mcd_is_the_rms_difference_in_db(m):
    """Envelopes that differ by 0.3 cos(m v) nepers: RMS 0.3 / sqrt(2) nepers = 1.8425 dB, whatever the level."""
    x, y = distance.mel_cepstrum(warped_cosine(m, 0.3) * 50), distance.mel_cepstrum(np.ones((1, 513)))
    assert distance.mcd(x, y, dtw=False) == pytest.approx(0.3 / np.sqrt(2) * DB_PER_NEPER)
    assert distance.mcd(x, y, dtw=False) == pytest.approx(1.8425, abs=1e-4)


def test_mcd_by_hand():
    """10 sqrt(2) / ln 10 = 6.1419: frames at distance 5 (3, 4) and 0 give 30.709 and 0, 15.355 on the mean."""
    x, y = np.zeros((2, 24)), np.zeros((2, 24))
    x[0, :2] = 3, 4
    assert distance.mcd(x, y, dtw=False) == pytest.approx(15.3547, abs=1e-4)
    with_c0 = np.hstack([np.array([[9.0], [7.0]]), x]), np.hstack([np.zeros((2, 1)), y])
    assert distance.mcd(*with_c0, dtw=False) == pytest.approx(15.3547, abs=1e-4)
    assert distance.mcd(*with_c0, dtw=False, has_c0=False) > 30
    assert distance.mcd(x, y, dtw=False, has_c0=True) == pytest.approx(4 * 6.1419 / 2, abs=1e-3)


def test_mcd_of_identical_is_zero():
    x = np.random.default_rng(0).standard_normal((50, 25))
    assert distance.mcd(x, x) == 0.0
    assert distance.mcd(x, np.repeat(x, 2, axis=0)) == 0.0, "a slower copy is aligned"
    assert distance.mcd(x, x[::-1]) > 1


def test_mcd_refuses_what_it_cannot_compare():
    x = np.zeros((5, 24))
    with pytest.raises(ValueError, match="equally many frames"):
        distance.mcd(x, x[:4], dtw=False)
    for other in (np.zeros((5, 23)), np.zeros((0, 24)), np.zeros(5)):
        with pytest.raises(ValueError):
            distance.mcd(x, other)


@pytest.fixture(scope="module")
def envelopes():
    """Smooth random envelopes, as a vocal tract has them."""
    rng = np.random.default_rng(1)
    cepstra = rng.standard_normal((40, 13)) / (1 + np.arange(13))
    return np.exp(2 * np.cos(np.outer(OMEGA, np.arange(13))) @ cepstra.T).T


def test_coded_envelope_is_on_another_scale(envelopes, world_contract):
    """WORLD's own numbers would make the MCD 1.41 times too large; converted they give that of the envelope."""
    contract = FeatureContract.from_dict({**world_contract.to_dict(), "order": 25})
    coded = world.code(envelopes, contract)
    true = distance.mcd(distance.mel_cepstrum(envelopes[:20]), distance.mel_cepstrum(envelopes[20:]), dtw=False)
    raw = distance.mcd(coded[:20], coded[20:], dtw=False)
    converted = distance.mcd(*(distance.to_mel_cepstrum(c) for c in (coded[:20], coded[20:])), dtw=False)
    assert raw / true == pytest.approx(np.sqrt(2), rel=0.03)
    assert converted == pytest.approx(true, rel=0.01)


def test_to_mel_cepstrum_equals_decoding(world_contract, mel_contract):
    coded = np.random.default_rng(2).standard_normal((7, 24)) / (1 + np.arange(24))
    expected = distance.mel_cepstrum(world.decode(coded, world_contract))
    np.testing.assert_allclose(distance.to_mel_cepstrum(coded.astype(np.float32)), expected, atol=1e-6)
    values = {**world_contract.to_dict(), "rate": 24000, "fft_size": 2048}
    expected = distance.mel_cepstrum(world.decode(coded, FeatureContract.from_dict(values)), rate=24000)
    np.testing.assert_allclose(distance.to_mel_cepstrum(coded, 24000, 2048), expected, atol=1e-9)


def test_alpha():
    assert distance.mel_alpha(16000) == 0.42
    assert 0.455 < distance.mel_alpha(23000) < 0.466
    assert distance.warp(np.array([0.0, np.pi]), 0.42) == pytest.approx([0, np.pi])


def reference_dtw(cost):
    """The textbook recursion, cell by cell; returns the lowest total."""
    total = np.full(cost.shape, np.inf)
    for i in range(cost.shape[0]):
        for j in range(cost.shape[1]):
            before = [total[i - a, j - b] for a, b in ((1, 0), (0, 1), (1, 1)) if i >= a and j >= b]
            total[i, j] = cost[i, j] + (min(before) if before else 0.0)
    return total[-1, -1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_dtw_is_optimal(n, m, seed, ties):
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 3, (n, m)).astype(float) if ties else rng.random((n, m))
    i, j = distance.dtw_path_of_cost(cost)
    assert (i[0], j[0], i[-1], j[-1]) == (0, 0, n - 1, m - 1)
    steps = set(zip(np.diff(i), np.diff(j), strict=True))
    assert steps <= {(1, 0), (0, 1), (1, 1)}
    assert cost[i, j].sum() == pytest.approx(reference_dtw(cost))


def test_dtw_of_features():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((30, 5)), rng.standard_normal((40, 5))
    i, j = distance.dtw_path(x, y)
    cost = np.linalg.norm(x[:, None] - y[None], axis=2)
    assert cost[i, j].sum() == pytest.approx(reference_dtw(cost))
    i, j = distance.dtw_path(x, x)
    assert np.array_equal(i, j) and np.array_equal(i, np.arange(30))
    with pytest.raises(ValueError):
        distance.dtw_path(x, y[:, :4])


def test_equal_variance_takes_the_reward_for_smoothing_away():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(300, 24))
    noisy = reference + rng.normal(size=reference.shape)
    smoothed = 0.1 * noisy
    assert distance.mcd(smoothed, reference, dtw=False) < distance.mcd(noisy, reference, dtw=False)
    again = distance.equal_variance(smoothed, reference)
    np.testing.assert_allclose(again.std(0), reference.std(0))
    np.testing.assert_allclose(again.mean(0), smoothed.mean(0))
    np.testing.assert_allclose(again, distance.equal_variance(noisy, reference) + smoothed.mean(0) - noisy.mean(0))
    assert distance.variance_ratio(smoothed, noisy) == pytest.approx(0.01)


def test_log_mels_are_on_the_same_scale(mel_contract):
    from evc2.feats.mel import compress

    contract = FeatureContract.from_dict({**mel_contract.to_dict(), "power": 1, "log_base": "db", "scale": [-100, 20]})
    bands = np.arange(contract.n_mels) + 0.5
    for m in (1, 5, 24):
        log_amplitude = 0.7 - 0.2 * np.cos(np.pi * m * bands / contract.n_mels)
        cepstrum = distance.from_log_mel(compress(np.exp(log_amplitude)[None], contract), contract)
        expected = np.zeros(25)
        expected[[0, m]] = 0.7, -0.2
        assert np.allclose(cepstrum[0], expected, atol=1e-6)


def test_conversion_distances_of_known_cases():
    rng = np.random.default_rng(0)
    ref, source = rng.normal(size=(40, 24)), rng.normal(size=(50, 24))
    perfect = distance.conversion_distances(ref, ref, ref)
    assert perfect == pytest.approx({"mcd": 0, "mcd_gv": 0, "mcd_source": 0, "mcd_moved": 0, "gv": 1}, abs=1e-6)
    still = distance.conversion_distances(source, ref, source)
    assert still["mcd"] == still["mcd_source"] > 0 and still["mcd_moved"] == 0
    smooth = distance.conversion_distances(0.1 * source, ref, source)
    assert smooth["mcd"] < still["mcd"] and smooth["mcd_gv"] == pytest.approx(still["mcd_gv"], rel=0.1)
    assert smooth["gv"] == pytest.approx(0.01 * still["gv"])
