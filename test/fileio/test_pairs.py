import pytest

from evc2.errors import UserError
from evc2.fileio.manifest import Utterance
from evc2.fileio.pairs import check_directions, make_trials, parse_directions, report_trials
from evc2.fileio.trials import Trial

BOTH = [("neutral", "angry"), ("angry", "neutral")]


def utterance(utt, emotion, speaker="a", label="", **more):
    more.setdefault("text", "Words")
    return Utterance(utt, speaker, emotion, "", "x.wav", label=label or emotion, **more)


def test_directions():
    assert parse_directions("neutral:angry, angry:neutral") == BOTH
    for text in ("neutral", "neutral:", "neutral:neutral", "neutral:angry,neutral:angry"):
        with pytest.raises(UserError, match="expected different pairs"):
            parse_directions(text)
    with pytest.raises(UserError, match=r"unknown emotion 'angri' \(did you mean angry\?\)"):
        parse_directions("neutral:angri")
    with pytest.raises(UserError, match="none given"):
        parse_directions(" ")


def test_emotions_must_be_there():
    rows = [utterance("a1", "neutral"), utterance("a2", "sad")]
    check_directions([("neutral", "sad")], rows)
    with pytest.raises(UserError, match="no utterance is angry; the corpus has neutral sad"):
        check_directions(BOTH, rows)


def test_reference_has_the_speaker_words_intensity_and_repetition():
    rows = [
        utterance("n1", "neutral", intensity="normal", repetition="1"),
        utterance("n2", "neutral", intensity="normal", repetition="2"),
        utterance("g1", "angry", intensity="normal", repetition="1"),
        utterance("h1", "angry", intensity="strong", repetition="1"),
        utterance("h2", "angry", intensity="strong", repetition="2"),
        utterance("x2", "angry", intensity="strong", repetition="2", text="Other words"),
        utterance("y2", "angry", speaker="b", intensity="strong", repetition="2"),
        utterance("z1", "sad", intensity="strong", repetition="1"),
    ]
    found = {t.id: (t.source, t.speaker, t.emotion, t.reference) for t in make_trials(rows, BOTH, "strong")}
    assert found == {
        "n1-to-angry": ("n1", "a", "angry", "h1"),
        "n2-to-angry": ("n2", "a", "angry", "h2"),
        "h1-to-neutral": ("h1", "a", "neutral", "n1"),
        "h2-to-neutral": ("h2", "a", "neutral", "n2"),
        "x2-to-neutral": ("x2", "a", "neutral", None),
        "y2-to-neutral": ("y2", "b", "neutral", None),
    }


def test_without_an_intensity_the_references_is_the_sources():
    rows = [
        utterance("s1", "sad", intensity="strong"),
        utterance("s2", "sad", intensity="normal"),
        utterance("h1", "happy", intensity="strong"),
        utterance("h2", "happy", intensity="normal"),
    ]
    assert {t.source: t.reference for t in make_trials(rows, [("sad", "happy")])} == {"s1": "h1", "s2": "h2"}


def test_another_repetition_serves_where_the_same_is_missing():
    rows = [utterance("n2", "neutral", repetition="2"), utterance("h1", "angry", repetition="1")]
    assert make_trials(rows, BOTH[:1])[0].reference == "h1"


def test_calm_mapped_to_neutral():
    rows = [
        utterance("c1", "neutral", label="calm", intensity="normal"),
        utterance("c2", "neutral", label="calm", intensity="strong"),
        utterance("n1", "neutral", intensity="normal"),
        utterance("h1", "angry", intensity="strong"),
    ]
    found = {t.source: t.reference for t in make_trials(rows, BOTH, "strong")}
    # The corpus's own neutral stands for both intensities; calm has its own.
    assert found == {"n1": "h1", "c2": "h1", "h1": "n1"}


def test_no_words_no_reference():
    rows = [utterance("n1", "neutral", text=""), utterance("h1", "angry", text="")]
    assert [t.reference for t in make_trials(rows, BOTH)] == [None, None]


def test_report(caplog):
    report_trials("dev", [], needed=False)
    assert "dev: no utterance fits" in caplog.text
    with pytest.raises(UserError, match="test: no utterance fits"):
        report_trials("test", [], needed=True)
    report_trials("test", [Trial("t", "u", "s", "sad")], needed=True)
