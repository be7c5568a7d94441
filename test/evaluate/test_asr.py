"""Error rates on texts put in place of a recogniser's, and the recogniser itself where its package and a model are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evc2.evaluate import asr
from evc2.evaluate.registry import get_metric
from evc2.evaluate.settings import Settings, settings, use

pytest.importorskip("rapidfuzz", reason="pip install jiwer, or tools/setup.sh --extras eval")

METRICS = {metric.name: metric for metric in get_metric(["cer", "wer", "cer_corpus", "wer_corpus"])}
SAID = "Dogs are sitting by the door"


def plain_edits(x, y):
    row = list(range(len(y) + 1))
    for i, a in enumerate(x, 1):
        before, row = row, [i]
        for j, b in enumerate(y, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


@pytest.fixture
def hear(item, monkeypatch):
    """Values of all metrics for a text said and a text heard."""
    calls = []

    def values(said, heard):
        monkeypatch.setattr(asr, "recognise", lambda wav, now: calls.append(len(wav)) or heard)
        one = item(np.ones(1600, np.float32))
        one.text = said
        return {name: metric.function(one) for name, metric in METRICS.items()}

    values.calls = calls
    return values


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_edits(x, y):
    assert asr.edits(x, y) == plain_edits(x, y)


def test_known_rates():
    assert asr.error_rate("abcd", "abcd") == 0
    assert asr.error_rate("abcd", "abxd") == 25
    assert asr.error_rate("abcd", "") == 100
    assert asr.error_rate("ab", "abcdefg") == 250
    assert asr.error_rate("", "a") is None
    assert asr.error_rate(["dogs", "sit"], ["dogs", "sat", "here"]) == 100


def test_like_jiwer():
    jiwer = pytest.importorskip("jiwer", reason="tools/setup.sh --extras eval")
    x, y = "dogs are sitting by the door", "dog is sitting right by door"
    assert asr.error_rate(x, y) == pytest.approx(100 * jiwer.cer(x, y))
    assert asr.error_rate(x.split(), y.split()) == pytest.approx(100 * jiwer.wer(x, y))


def test_one_utterance(hear):
    exact = hear(SAID, " Dogs are sitting, by the DOOR! ")
    assert exact["cer"] == exact["wer"] == 0
    some = hear(SAID, "Dogs were sitting by the door")
    assert some["wer"] == pytest.approx(100 / 6) and some["cer"] == pytest.approx(200 / 28)
    nothing = hear(SAID, "")
    assert nothing["cer"] == nothing["wer"] == 100
    assert hear("Dogs", "dogs dogs dogs")["wer"] == 200
    assert hear("21 dogs", "Twenty-one dogs")["cer"] == 0


def test_recognised_once_for_all_metrics(hear):
    hear(SAID, SAID)
    assert hear.calls == [1600]


def test_nothing_to_be_said(hear):
    assert set(hear("...", "dogs").values()) == {None}


def test_the_corpus_is_not_the_mean_of_its_utterances(hear):
    rows = [hear("a", "b"), hear("abcdefghi", "abcdefghi")]
    total = sum(row["cer_corpus"] for row in rows)
    assert METRICS["cer_corpus"].combine(total) == pytest.approx(10)
    assert np.mean([row["cer"] for row in rows]) == 50
    words = sum(row["wer_corpus"] for row in rows)
    assert words.tolist() == [1, 2] and METRICS["wer_corpus"].combine(words) == 50
    assert METRICS["cer_corpus"].combine(np.zeros(2)) is None


def test_a_language_without_blanks_has_no_words(hear, monkeypatch):
    before = settings()
    use(Settings(language="zh"))
    try:
        found = hear("你好，世界", "你好 世纪")
        assert found["cer"] == 25 and found["wer"] is None and found["wer_corpus"] is None
    finally:
        use(before)


def test_the_note_names_model_and_rules(tmp_path):
    note = METRICS["cer"].note()
    assert settings().asr_model in note and "lower case" in note and "row of natural speech" in note
    assert settings().asr_model in METRICS["wer_corpus"].note()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.bin").write_bytes(bytes(2_000_000))
    before = settings()
    use(Settings(asr_model=str(tmp_path / "model")))
    try:
        assert f"{tmp_path.name}/model (2 MB)" in METRICS["cer"].note()
    finally:
        use(before)


def test_without_the_package_one_line(monkeypatch):
    monkeypatch.setattr(asr, "find_spec", lambda name: None)
    assert "pip install" in METRICS["cer"].missing()
