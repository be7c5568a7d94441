"""Log-mel against librosa, for several definitions."""

import librosa
import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats import mel
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract, names


def changed(contract, **values):
    return FeatureContract.from_dict({**contract.to_dict(), **values})


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal(22050) * 0.1


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"center": True},
        {"center": True, "pad": "constant", "power": 2},
        {"mel_scale": "htk", "mel_norm": "none", "fmax": None},
        {"rate": 16000, "n_fft": 2048, "hop": 200, "win": 800, "center": True, "fmin": 40},
        {"window": "hamming", "pad": "none"},
    ],
)
def test_equals_librosa(mel_contract, noise, values):
    c = changed(mel_contract, **values)
    padded = noise
    if not c.center and c.pad != "none":
        padded = np.pad(noise, (c.n_fft - c.hop) // 2, mode=c.pad)
    expected = librosa.feature.melspectrogram(
        y=padded,
        sr=c.rate,
        n_fft=c.n_fft,
        hop_length=c.hop,
        win_length=c.win,
        window=c.window,
        center=c.center,
        pad_mode=c.pad if c.center else "constant",
        power=c.power,
        n_mels=c.n_mels,
        fmin=c.fmin,
        fmax=c.fmax,
        htk=c.mel_scale == "htk",
        norm=None if c.mel_norm == "none" else "slaney",
    ).T
    found = mel.log_mel(noise, c)
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, np.log(np.maximum(expected, c.floor)), atol=1e-4)


def test_compression(mel_contract):
    values = np.array([[0.0, 1e-5, 1e-2, 1.0, 10.0]])

    def compressed(**changes):
        return mel.compress(values, changed(mel_contract, **changes))[0]

    np.testing.assert_allclose(compressed(), np.log([1e-5, 1e-5, 1e-2, 1, 10]))
    np.testing.assert_allclose(compressed(log_base="10"), [-5, -5, -2, 0, 1])
    np.testing.assert_allclose(compressed(log_base="db"), [-100, -100, -40, 0, 20])
    np.testing.assert_allclose(compressed(log_base="db", power=2), [-50, -50, -20, 0, 10])
    np.testing.assert_allclose(compressed(log_base="10", floor_place="add")[:2], np.log10([1e-5, 2e-5]))
    np.testing.assert_allclose(compressed(log_base="db", scale=[-100, 0]), [0, 0, 0.6, 1, 1])


@pytest.mark.parametrize("n", [1, 100, 255, 256, 1520, 22016])
def test_short_and_silent(mel_contract, n):
    result = extract(np.zeros(n), mel_contract)
    assert len(result["feats"]) == max(1, n // 256)
    np.testing.assert_allclose(result["feats"], np.log(1e-5), rtol=1e-6)
    assert {len(result[name]) for name in names(mel_contract)} == {max(1, n // 256)}
    assert np.isfinite(result["power"]).all()


@pytest.mark.parametrize("n", [1, 100, 300, 384, 385, 386])
def test_a_signal_too_short_to_mirror_is_followed_by_zeros(mel_contract, n):
    """384 samples are mirrored at each end; a mirror needs one more. One frame stands for each whole 256 samples."""
    wav = np.random.default_rng(1).standard_normal(n)
    longer = np.concatenate([wav, np.zeros(max(0, 385 - n))])
    mirrored = np.concatenate([longer[384:0:-1], longer, longer[-2:-386:-1]])[: n + 2 * 384]
    frame = np.concatenate([mirrored, np.zeros(1024)])[:1024]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    found = mel.spectrum(wav, mel_contract)
    assert found.shape == (1, 513)
    np.testing.assert_allclose(found[0], np.abs(np.fft.rfft(frame * hann)), atol=1e-9)


def test_f0_is_at_the_middle_of_a_frame(mel_contract, vowel):
    true = np.geomspace(100, 300, 22050)
    wav = vowel(true, rate=22050)
    for contract, first in ((mel_contract, 128), (changed(mel_contract, center=True), 0)):
        result = extract(wav, contract)
        middles = first + 256 * np.arange(len(result["f0"]))
        inner = slice(8, -8)
        np.testing.assert_allclose(result["f0"][inner], true[middles[inner]], rtol=0.006)


def test_without_f0(mel_contract, noise):
    values = {k: v for k, v in mel_contract.to_dict().items() if not k.startswith("f0")}
    contract = FeatureContract.from_dict(values)
    assert tuple(sorted(extract(noise, contract))) == ("feats", "power") == names(contract)


def test_bad_signals(mel_contract):
    for wav in (np.zeros(0), np.array([np.nan] * 2000)):
        with pytest.raises(UserError, match="cannot analyse"):
            extract(wav, mel_contract)
