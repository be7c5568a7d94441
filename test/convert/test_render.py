import numpy as np
import pytest

from evc2.convert.render import gaussian, gaussian_mcep, moment_pair, new_envelope, render
from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.stats import Moments, moments_of


def moments(mean, std, dims=3):
    return Moments(np.full(dims, mean), np.full(dims, std), 5.0, 0.1, -3.0, 1.0, 10)


def test_mean_and_deviation_are_mapped_but_not_of_the_energy():
    x = np.array([[1.0, 1.0, 2.0], [3.0, 3.0, 0.0]])
    new = gaussian_mcep(x, moments(1.0, 2.0), moments(5.0, 4.0))
    assert np.allclose(new, [[1.0, 5.0, 7.0], [3.0, 9.0, 3.0]])
    half = gaussian_mcep(x, moments(1.0, 2.0), moments(5.0, 4.0), 0.5)
    assert np.allclose(half[:, 1:], (x[:, 1:] + new[:, 1:]) / 2)


def test_an_unchanged_spectrum_leaves_the_measured_envelope(voice, tiny_contract):
    a = world.analyze(voice(0.3), tiny_contract, with_envelope=True)
    same = new_envelope(a["sp"], a["feats"], a["feats"], tiny_contract)
    assert np.allclose(same, a["sp"], rtol=1e-9)
    coded = new_envelope(a["sp"], a["feats"], a["feats"], tiny_contract, "direct")
    assert not np.allclose(coded, a["sp"], rtol=0.1)
    with pytest.raises(UserError, match="differential, direct"):
        new_envelope(a["sp"], a["feats"], a["feats"], tiny_contract, "other")


def test_differential_envelope_multiplies_by_the_change(voice, tiny_contract):
    a = world.analyze(voice(0.3), tiny_contract, with_envelope=True)
    louder = a["feats"].copy()
    louder[:, 0] += 0.7  # ln power of every frequency
    assert np.allclose(new_envelope(a["sp"], a["feats"], louder, tiny_contract), a["sp"] * np.exp(0.7), rtol=1e-3)


def test_power_is_absolute_whatever_the_spectrum_did(voice, tiny_contract, monkeypatch):
    from evc2.convert import render as module

    a = world.analyze(voice(0.3), tiny_contract, with_envelope=True)
    heard = {}

    def fake(name, contract):
        def vocode(feats, *, contract, length):
            heard.update(feats)
            return np.zeros(length, np.float32)

        return vocode

    monkeypatch.setattr(module, "build_vocoder", fake)
    aim = a["power"] + 1.5
    mcep = a["feats"] + np.float32(0.3)
    render(a, tiny_contract, 4800, mcep=mcep, power=aim)
    assert np.allclose(world.frame_power(heard["sp"]), aim, atol=1e-5)
    assert heard["ap"] is a["ap"] and heard["f0"] is a["f0"]


def test_only_what_is_asked_for_changes(voice, tiny_contract, tiny_stats):
    a = world.analyze(voice(0.3), tiny_contract)
    pair = tiny_stats.pair("s1", "neutral", "angry")
    assert {k for k, v in gaussian(a, pair, f0=True).items() if v is not None} == {"f0"}
    assert {k for k, v in gaussian(a, pair, f0=False, spectrum=True).items() if v is not None} == {"mcep"}
    assert {k for k, v in gaussian(a, pair, f0=False, power=True).items() if v is not None} == {"power"}


def test_whose_statistics(voice, tiny_contract, tiny_stats):
    found = world.analyze(voice(0.3), tiny_contract)
    own = moments_of(found["feats"], found["f0"], found["power"])
    s1, s2 = tiny_stats.get("s1", "neutral"), tiny_stats.get("s2", "angry")
    src, tgt = moment_pair(tiny_stats, "s1", "neutral", "angry", own)
    assert src.lf0_mean == s1.lf0_mean and tgt.lf0_mean == tiny_stats.get("s1", "angry").lf0_mean
    src, tgt = moment_pair(tiny_stats, "s1", "neutral", "angry", own, target_speaker="s2")
    assert src.lf0_mean == s1.lf0_mean and tgt.lf0_mean == s2.lf0_mean
    src, tgt = moment_pair(tiny_stats, None, "neutral", "angry", own, target_speaker="s2")
    assert src is own and tgt.lf0_mean == s2.lf0_mean
    src, tgt = moment_pair(tiny_stats, "s2", None, "angry", own)
    assert src is own and tgt.lf0_mean == s2.lf0_mean
    src, tgt = moment_pair(tiny_stats, None, "neutral", "angry", own)
    assert src is own and tgt.lf0_mean > own.lf0_mean
