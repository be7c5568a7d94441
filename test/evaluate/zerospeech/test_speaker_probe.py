"""The speaker probe on rows that tell the speaker wholly, and on rows that do not."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech.speaker_probe import cut, make_segments, pooled, probe, trained_utterances, wilson

pytest.importorskip("sklearn", reason="pip install scikit-learn")
RATE = 15.625


def data(speakers=4, utts=5, rows=160, telling=True, seed=0):
    """Rows by utterance: one-hot codes of which each speaker has some of his own, or all the same."""
    rng = np.random.default_rng(seed)
    found, utt2spk = {}, {}
    for s in range(speakers):
        for k in range(utts):
            codes = rng.integers(0, 4, rows) + (4 * s if telling else 0)
            found[f"s{s}_{k}"] = np.eye(4 * speakers)[codes]
            utt2spk[f"s{s}_{k}"] = f"s{s}"
    return found, utt2spk, dict.fromkeys(found, RATE)


@pytest.mark.parametrize("split", ["time", "utterance"])
def test_rows_of_their_own_tell_the_speaker(split):
    found = probe(make_segments(*data(), split))
    assert found["accuracy"] == 100 and found["speakers"] == 4 and found["low"] > 80 and found["high"] == 100
    assert found["chance"] == 25


@pytest.mark.parametrize("split", ["time", "utterance"])
def test_common_rows_tell_nothing(split):
    found = probe(make_segments(*data(utts=40, telling=False), split))
    assert found["low"] < 25 < found["high"] and abs(found["accuracy"] - 25) < 12 and found["test"] >= 160


def test_it_is_deterministic():
    segments = [make_segments(*data(telling=False), "utterance", seed=3) for _ in range(2)]
    np.testing.assert_array_equal(segments[0].values, segments[1].values)
    assert probe(segments[0]) == probe(segments[1])


def test_times_do_not_mix():
    # The first three quarters of each utterance are all code 0, the last quarter all code 1: so are their segments.
    rows = {f"s{s}_0": np.eye(2)[np.repeat([0, 1], (120, 40))] for s in range(2)}
    segments = make_segments(rows, {utt: utt[:2] for utt in rows}, dict.fromkeys(rows, 20.0), "time")
    assert segments.train.sum() == 2 * 3 and (~segments.train).sum() == 2 * 1
    np.testing.assert_array_equal(segments.values[:, 1], (~segments.train).astype(float))
    assert (segments.values[:, 2:] == 0).all()


def test_utterances_are_on_one_side():
    chosen = trained_utterances([f"u{k}" for k in range(8)], 0)
    assert len(chosen) == 6 and chosen != trained_utterances([f"u{k}" for k in range(8)], 1)
    assert trained_utterances(["one"], 0) == set()
    assert len(trained_utterances(["one", "two"], 0)) == 1


def test_segments():
    assert [len(part) for part in cut(np.zeros((100, 1)), 31.25)] == [34, 33, 33]
    assert [len(part) for part in cut(np.zeros((3, 1)), 31.25)] == [3] and cut(np.zeros((0, 1)), 2) == []
    assert pooled(np.array([[0.0, 1.0], [2.0, 1.0]])).tolist() == [1, 1, 1, 0]


def test_wilson():
    # Known values: 8 of 10, and 0 of 10.
    assert wilson(0.8, 10) == pytest.approx((0.4901, 0.9433), abs=1e-4)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_too_few_speakers():
    rows, utt2spk, rate = data(speakers=2, utts=1)
    with pytest.raises(UserError, match="found 0 of 2; try --split time"):
        make_segments(rows, utt2spk, rate, "utterance")
    assert len(make_segments(rows, utt2spk, rate, "time").names) == 2
    with pytest.raises(UserError, match="no embedding is of the data directory"):
        make_segments({"x": np.ones((1, 1))}, utt2spk, rate)
