import numpy as np
import pytest

from evc2.convert.anchors import ANCHORS, anchor
from evc2.convert.evc import EVC
from evc2.convert.jobs import checked_trials, utterance
from evc2.errors import UserError
from evc2.feats import world
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir, write_table


@pytest.fixture
def make(tiny_data, tiny_stats, tiny_contract):
    data = DataDir(tiny_data)
    trials = checked_trials(tiny_data / "trials", data)
    return lambda name: anchor(name, data, trials, tiny_stats, tiny_contract)


def mean_lf0(f0):
    return float(np.log(f0[f0 > 0]).mean())


def test_names_are_those_of_the_command():
    from evc2.bin.anchors import ANCHORS as offered

    assert offered == ANCHORS


def test_zero_effort_is_the_source_itself(make, tiny_data):
    data = DataDir(tiny_data)
    assert make("zero_effort")("s1-n2a") == data.table("wav.scp")["s1-neutral"]


def test_zero_effort_of_pipes_and_segments_gets_files(make, tiny_data, tiny_stats, tiny_contract):
    data = DataDir(tiny_data)
    wav, _ = utterance(data, "s1-neutral")
    table = dict(data.table("wav.scp"))
    table["s1-neutral"] = f"cat {table['s1-neutral']} |"
    write_table(tiny_data / "wav.scp", table)
    data = DataDir(tiny_data)
    made, rate = anchor("zero_effort", data, checked_trials(tiny_data / "trials", data), tiny_stats, tiny_contract)(
        "s1-n2a"
    )
    assert rate == 16000 and np.array_equal(made, wav)


def test_analysis_synthesis_is_of_the_reference(make, tiny_data, tiny_contract):
    wav, rate = make("analysis_synthesis")("s1-n2a")
    reference, _ = read_audio(DataDir(tiny_data).table("wav.scp")["s1-angry"])
    assert len(wav) == len(reference)
    found, aim = (world.analyze(w, tiny_contract) for w in (wav, reference))
    assert mean_lf0(found["f0"]) == pytest.approx(mean_lf0(aim["f0"]), abs=0.01)
    voiced = aim["f0"] > 0
    assert np.abs(found["feats"] - aim["feats"])[voiced].mean() < 0.2
    assert make("analysis_synthesis")("s3-n2a") is None  # has no reference


@pytest.mark.parametrize("name", ["f0", "f0_power", "f0_power_mcep"])
def test_mean_pitch_becomes_the_targets(make, tiny_data, tiny_stats, tiny_contract, name):
    wav, rate = make(name)("s1-n2a")
    source, _ = read_audio(DataDir(tiny_data).table("wav.scp")["s1-neutral"])
    assert len(wav) == len(source) and rate == 16000
    found, before = world.analyze(wav, tiny_contract), world.analyze(source, tiny_contract)
    src, tgt = tiny_stats.get("s1", "neutral"), tiny_stats.get("s1", "angry")
    expected = (mean_lf0(before["f0"]) - src.lf0_mean) / src.lf0_std * tgt.lf0_std + tgt.lf0_mean
    assert mean_lf0(found["f0"]) == pytest.approx(expected, abs=0.02)
    assert mean_lf0(found["f0"]) - mean_lf0(before["f0"]) > 0.3
    voiced = (before["f0"] > 0) & (found["f0"] > 0)
    louder = float((found["power"] - before["power"])[voiced].mean())
    assert louder == pytest.approx(0.0 if name == "f0" else tgt.power_mean - src.power_mean, abs=0.6)


def test_a_speaker_that_the_statistics_do_not_know(make, tiny_data, tiny_contract):
    wav, _ = make("f0")("s3-n2a")
    source, _ = read_audio(DataDir(tiny_data).table("wav.scp")["s3-neutral"])
    change = mean_lf0(world.analyze(wav, tiny_contract)["f0"]) - mean_lf0(world.analyze(source, tiny_contract)["f0"])
    assert change == pytest.approx(np.log(1.5), abs=0.05)


def test_anchors_and_the_system_share_one_path(make, tiny_data, tiny_model):
    source, rate = read_audio(DataDir(tiny_data).table("wav.scp")["s1-neutral"])
    evc = EVC.from_pretrained(tiny_model)
    for name, spectrum, power in (("f0", "keep", "keep"), ("f0_power", "keep", "gaussian")):
        wav, _ = evc.convert(source, rate, "angry", "s1", spectrum=spectrum, power=power)
        assert np.array_equal(wav, make(name)("s1-n2a")[0])
    wav, _ = evc.convert(source, rate, "angry", "s1", spectrum="gaussian", power="gaussian")
    assert np.array_equal(wav, make("f0_power_mcep")("s1-n2a")[0])


def test_unknown_anchor(make):
    with pytest.raises(UserError, match="did you mean f0_power"):
        make("f0_pover")
