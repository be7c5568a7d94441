"""eGeMAPS: what is refused, and features of a signal whose pitch and level are known."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats import egemaps as module
from evc2.feats.egemaps import SIZE, egemaps, feature_names

RATE = 16000


def need_opensmile():
    pytest.importorskip("opensmile", reason="run tools/setup.sh --extras eval")


def named(wav):
    return dict(zip(feature_names(), egemaps(wav), strict=True))


@pytest.mark.parametrize(
    ("wav", "words"),
    [
        (np.zeros(RATE), "silence"),
        (np.full(RATE, 5e-5), "silence"),
        (np.zeros(0), "0.1 s"),
        (np.full(1599, 0.1), "0.1 s"),
        (np.array([np.nan] + [0.1] * RATE), "NaN"),
    ],
)
def test_useless_wavs_are_refused(wav, words):
    with pytest.raises(UserError, match=words):
        egemaps(wav)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    module._smile.cache_clear()
    with pytest.raises(UserError, match="tools/setup.sh --extras eval"):
        egemaps(np.full(RATE, 0.1))
    assert "opensmile" in module.missing()


def test_pitch_of_a_known_voice(vowel):
    """A vowel at 200 Hz lies 12 log2(200 / 27.5) semitones above 27.5 Hz."""
    need_opensmile()
    found = named(vowel(np.full(RATE, 200.0)))
    assert found["F0semitoneFrom27.5Hz_sma3nz_amean"] == pytest.approx(12 * np.log2(200 / 27.5), abs=0.3)
    higher = named(vowel(np.full(RATE, 300.0)))
    step = higher["F0semitoneFrom27.5Hz_sma3nz_amean"] - found["F0semitoneFrom27.5Hz_sma3nz_amean"]
    assert step == pytest.approx(12 * np.log2(1.5), abs=0.3)


def test_level_counts(vowel):
    """20 dB less is 20 dB less in the equivalent sound level, and leaves the pitch as it was."""
    need_opensmile()
    wav = vowel(np.full(RATE, 200.0))
    loud, soft = named(wav), named(0.1 * wav)
    assert loud["equivalentSoundLevel_dBp"] - soft["equivalentSoundLevel_dBp"] == pytest.approx(20, abs=0.2)
    assert loud["F0semitoneFrom27.5Hz_sma3nz_amean"] == pytest.approx(
        soft["F0semitoneFrom27.5Hz_sma3nz_amean"], abs=0.05
    )


def test_form_and_full_scale(vowel):
    """88 finite values, twice the same; a sample of 1.0 is the largest one, not the smallest (16 bits wrap around)."""
    need_opensmile()
    wav = vowel(np.full(RATE, 150.0), gain=1.0)
    found = egemaps(wav)
    assert found.shape == (SIZE,) and found.dtype == np.float64 and np.isfinite(found).all()
    assert np.array_equal(found, egemaps(wav))
    assert wav.max() == 1.0 or wav.min() == -1.0
    flipped = np.where(np.arange(RATE) % 2000 == 0, 1.0, wav)
    below = np.where(np.arange(RATE) % 2000 == 0, module.FULL_SCALE, wav)
    assert np.array_equal(egemaps(flipped), egemaps(below))
    assert np.array_equal(egemaps(1.5 * wav), egemaps(np.clip(1.5 * wav, -1, 1)))
