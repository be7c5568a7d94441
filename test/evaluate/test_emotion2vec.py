"""Emotion similarity with a model of a few lines in place of funasr's."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate import emotion2vec
from evc2.evaluate.registry import get_metric

METRIC = get_metric(["emo2vec_sim"])[0]


class Model:
    """Level and number of sign changes of a wav, in the form of funasr's answers."""

    calls = 0

    def generate(self, wav, fs, granularity, extract_embedding):
        assert fs == 16000 and granularity == "utterance" and extract_embedding
        if len(wav) < 10:
            raise RuntimeError("Kernel size can't be greater than actual input size")
        print("funasr prints")
        Model.calls += 1
        return [{"feats": np.array([np.abs(wav).mean(), np.mean(np.diff(np.sign(wav)) != 0)], np.float32)}]


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(emotion2vec, "_model", lambda asked: Model())
    Model.calls = 0


def test_similarity():
    x, y = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    assert emotion2vec.similarity(x, 3 * x) == pytest.approx(1)
    assert emotion2vec.similarity(x, y) == pytest.approx(np.sqrt(0.5))
    assert emotion2vec.similarity(x, -x) == pytest.approx(-1)
    assert emotion2vec.similarity(x, 0 * x) is None


def test_metric_and_baseline(model, item, capsys):
    low, high = np.ones(100, np.float32), np.tile(np.float32([0.1, -0.1]), 50)
    one = item(low, high, low)
    value = METRIC.function(one)
    assert METRIC.baseline(one) == pytest.approx(value) and value < 0.2
    assert Model.calls == 3 and capsys.readouterr().out == ""
    assert METRIC.function(item(high, high)) == pytest.approx(1)
    assert METRIC.baseline(item(high, high)) is None
    with pytest.raises(ValueError, match="Kernel size"):
        METRIC.function(item(low[:5], high))


def test_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("EVC2_EMOTION2VEC", raising=False)
    assert "EVC2_EMOTION2VEC=hub" in METRIC.missing()
    monkeypatch.setenv("EVC2_EMOTION2VEC", "hub")
    monkeypatch.setattr(emotion2vec, "find_spec", lambda name: None)
    assert "pip install funasr" in METRIC.missing()
    monkeypatch.setattr(emotion2vec, "find_spec", lambda name: object())
    monkeypatch.setattr(emotion2vec, "_cached", lambda: None)
    monkeypatch.setattr(emotion2vec, "hub_answers", lambda: False)
    assert "cannot be reached" in METRIC.missing()
    monkeypatch.setattr(emotion2vec, "hub_answers", lambda: True)
    assert METRIC.missing() is None
    monkeypatch.setenv("EVC2_EMOTION2VEC", str(tmp_path))
    assert METRIC.missing() is None
    monkeypatch.setenv("EVC2_EMOTION2VEC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="found no folder"):
        METRIC.missing()
