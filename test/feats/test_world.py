"""WORLD analysis and synthesis against signals with known pitch and envelope."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.distance import mcd, mel_cepstrum
from evc2.feats.extract import extract, names


@pytest.mark.parametrize("n", [1, 79, 80, 1519, 1520, 8000])
def test_number_of_frames(world_contract, n):
    wav = np.random.default_rng(0).standard_normal(n) * 0.1
    result = extract(wav, world_contract)
    assert tuple(result) == names(world_contract) == ("feats", "f0", "power")
    assert result["feats"].shape == (n // 80 + 1, 24)
    assert result["f0"].shape == result["power"].shape == (world.n_frames(n, 16000, 5.0),)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in result.values())


@pytest.mark.parametrize("method", ["dio", "harvest"])
def test_pitch_of_a_glide(world_contract, vowel, method):
    contract = FeatureContract.from_dict({**world_contract.to_dict(), "f0_method": method})
    true = np.geomspace(120, 240, 16000)
    f0 = world.analyze(vowel(true), contract)["f0"][10:-10]
    assert (f0 > 0).all()
    np.testing.assert_allclose(f0, true[::80][10:191], rtol=0.01)


def test_range_of_a_speaker(world_contract, vowel):
    """A pitch outside the speaker's range is not found; a floor that CheapTrick cannot use is raised."""
    wav = vowel(np.full(8000, 300.0))
    inside = world.analyze(wav, world_contract, f0_range=(150, 450))["f0"]
    outside = world.analyze(wav, world_contract, f0_range=(400, 780))["f0"]
    assert np.median(inside) == pytest.approx(300, rel=0.01)
    assert not ((outside > 290) & (outside < 310)).any()
    assert np.isfinite(world.analyze(wav, world_contract, f0_range=(20, 450))["feats"]).all()
    with pytest.raises(UserError, match="floor < ceil"):
        world.analyze(wav, world_contract, f0_range=(300, 200))


def test_digital_silence_is_finite_and_quiet(world_contract):
    result = world.analyze(np.zeros(4000, dtype=np.float32), world_contract, with_envelope=True)
    assert all(np.isfinite(array).all() for array in result.values())
    assert (result["f0"] == 0).all()
    assert result["power"].max() < -20 and result["sp"].min() >= world.SP_FLOOR


def test_power_follows_the_level(world_contract, vowel):
    wav = vowel(np.full(8000, 150.0))
    loud, quiet = (world.analyze(gain * wav, world_contract)["power"] for gain in (1.0, 0.1))
    np.testing.assert_allclose(loud - quiet, 2 * np.log(10), atol=1e-3)


def test_code_and_decode(world_contract):
    """ln sp = c0 + sqrt(2) c_m cos(pi m x) on the mel axis: a single coefficient comes back where it was."""
    coded = np.zeros((3, 24))
    coded[:, 0] = -5.0
    coded[1, 1], coded[2, 4] = 1.0, -0.5
    sp = world.decode(coded, world_contract)
    assert sp.shape == (3, 513)
    np.testing.assert_allclose(np.log(sp[0]), -5.0, atol=1e-9)
    assert np.log(sp[1]).max() + 5.0 == pytest.approx(np.sqrt(2), rel=1e-3)
    np.testing.assert_allclose(world.code(sp, world_contract), coded, atol=0.02)
    with pytest.raises(ValueError, match=r"\[T, 24\]"):
        world.decode(np.zeros((3, 25)), world_contract)


def test_round_trip(world_contract, vowel):
    """Synthesised and analysed again: pitch within 2 %, MCD below 2.5 dB (another vowel: over 5), length exact."""
    true = 150 + 30 * np.sin(2 * np.pi * 3 * np.arange(16000) / 16000)
    wav = vowel(true)
    one = world.analyze(wav, world_contract, with_envelope=True)
    again = world.synthesize(one["f0"], one["sp"], one["ap"], world_contract, length=len(wav))
    assert again.shape == wav.shape and again.dtype == np.float32
    two = world.analyze(again, world_contract, with_envelope=True)
    inner = slice(10, -10)
    np.testing.assert_allclose(two["f0"][inner], one["f0"][inner], rtol=0.02)
    distance = mcd(mel_cepstrum(one["sp"])[inner], mel_cepstrum(two["sp"])[inner], dtw=False)
    other = world.analyze(vowel(true, formants=((300, 80), (2300, 90), (3000, 120))), world_contract, None, True)
    assert distance < 2.5
    assert mcd(mel_cepstrum(one["sp"])[inner], mel_cepstrum(other["sp"])[inner], dtw=False) > 5


@pytest.mark.parametrize("length", [0, 100, 4000, 9999])
def test_length_of_synthesis(world_contract, length):
    frames = 4000 // 80 + 1
    sp, ap = np.full((frames, 513), 1e-6), np.full((frames, 513), 0.5)
    wav = world.synthesize(np.full(frames, 100.0), sp, ap, world_contract, length=length)
    assert wav.shape == (length,)
    assert world.synthesize(np.full(frames, 100.0), sp, ap, world_contract).shape[0] >= 4000
    with pytest.raises(ValueError, match="513"):
        world.synthesize(np.full(frames, 100.0), sp[:, :-1], ap, world_contract)


@pytest.mark.parametrize("wav", [np.zeros(0), np.array([0.1, np.nan] * 1000), np.full(2000, np.inf)])
def test_bad_signals(world_contract, wav):
    with pytest.raises(UserError, match="cannot analyse"):
        extract(wav, world_contract)


def test_analysis_is_deterministic(world_contract):
    wav = np.random.default_rng(3).standard_normal(4000)
    one, two = extract(wav, world_contract), extract(wav, world_contract)
    assert all(np.array_equal(one[name], two[name]) for name in one)
