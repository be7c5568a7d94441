import importlib

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.vocoder import VOCODERS, build_vocoder
from evc2.vocoder.abs_vocoder import AbsVocoder
from evc2.vocoder.world import assumed_aperiodicity


def correlation(a, b):
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def test_copy_synthesis_has_the_length_and_the_envelope(voice, tiny_contract):
    wav = voice(0.5)[:7999]
    feats = world.analyze(wav, tiny_contract, with_envelope=True)
    out = build_vocoder("world", tiny_contract)(feats, contract=tiny_contract, length=len(wav))
    assert out.shape == (7999,) and out.dtype == np.float32
    again = world.analyze(out, tiny_contract)
    voiced = (feats["f0"] > 0) & (again["f0"] > 0)
    assert voiced.sum() > 50
    assert np.abs(np.log(feats["f0"][voiced] / again["f0"][voiced])).mean() < 0.02
    assert np.abs(feats["power"] - again["power"])[voiced].mean() < 0.5


def test_measured_envelope_and_stored_features_are_both_accepted(voice, tiny_contract):
    vocoder = build_vocoder("world", tiny_contract)
    full = world.analyze(voice(0.4), tiny_contract, with_envelope=True)
    stored = {name: full[name] for name in ("feats", "f0")}
    one, two = vocoder([full, stored], contract=tiny_contract, length=[6400, None])
    assert len(one) == 6400 and np.isfinite(two).all()
    mid = slice(2000, 4400)
    ratio = (two[mid] ** 2).mean() / (one[mid] ** 2).mean()
    assert 0.25 < ratio < 4


def test_assumed_aperiodicity_follows_voicing(tiny_contract):
    ap = assumed_aperiodicity(np.array([0.0, 100.0]), tiny_contract)
    assert ap.shape == (2, 513) and (ap[0] > 0.999).all()
    assert ap[1, 0] == pytest.approx(0.02) and ap[1, -1] == pytest.approx(0.5) and (np.diff(ap[1]) >= 0).all()


def test_other_contract_is_refused_with_the_keys_named(voice, tiny_contract):
    other = FeatureContract.from_dict({**tiny_contract.to_dict(), "order": 30, "frame_period": 10.0})
    feats = world.analyze(voice(0.3), tiny_contract)
    with pytest.raises(UserError, match=r"(?s)frame_period.*5.0.*10.0.*order.*24.*30"):
        build_vocoder("world", tiny_contract)(feats, contract=other)


def test_missing_or_uneven_arrays_are_named(tiny_contract):
    vocoder = build_vocoder("world", tiny_contract)
    with pytest.raises(UserError, match="needs f0 and sp or feats, got feats"):
        vocoder.synthesize({"feats": np.zeros((3, 24))})
    with pytest.raises(UserError, match="one number of frames"):
        vocoder.synthesize({"feats": np.zeros((3, 24)), "f0": np.zeros(4)})


def test_registry():
    for place, _ in VOCODERS.values():
        module, _, name = place.partition(":")
        assert issubclass(getattr(importlib.import_module(module), name), AbsVocoder)
    with pytest.raises(UserError, match="vocoder 'wurld': neither a name nor an existing path .did you mean world.*"):
        build_vocoder("wurld")


def test_mel_features_are_refused():
    mel = FeatureContract.from_dict({
        "name": "m", "kind": "mel", "rate": 16000, "n_fft": 1024, "hop": 256, "win": 1024, "window": "hann",
        "center": True, "pad": "reflect", "power": 1.0, "n_mels": 80, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
        "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": None,
    })  # fmt: skip
    with pytest.raises(UserError, match="needs features of kind 'world'"):
        build_vocoder("world", mel)
