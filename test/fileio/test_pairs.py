import pytest

from evc2.errors import UserError
from evc2.fileio.manifest import Utterance
from evc2.fileio.pairs import (
    check_directions,
    choose_speakers,
    make_trials,
    parse_directions,
    report_trials,
    speaker_directions,
)
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


SPEAKERS = [utterance(f"{name}-x", "neutral", speaker=name) for name in ("17", "4", "49", "7")]


def test_directions_of_speakers():
    assert speaker_directions("4:7, 7:4", SPEAKERS) == [("4", "7"), ("7", "4")]
    each = speaker_directions("", SPEAKERS[:3])
    assert each == [("17", "4"), ("17", "49"), ("4", "17"), ("4", "49"), ("49", "17"), ("49", "4")]
    for text in ("4", "4:", "4:4", "4:7,4:7"):
        with pytest.raises(UserError, match="expected different pairs of speakers"):
            speaker_directions(text, SPEAKERS)
    with pytest.raises(UserError, match=r"no utterance is of '48' \(did you mean 4.?\?\); the corpus has 17 4 49 7$"):
        speaker_directions("4:48", SPEAKERS)
    with pytest.raises(UserError, match="at least two speakers to convert between, found 4$"):
        speaker_directions("", SPEAKERS[1:2])


def test_speakers_to_use():
    assert choose_speakers(SPEAKERS, "") == SPEAKERS
    assert [row.speaker for row in choose_speakers(SPEAKERS, "7, 4")] == ["4", "7"]
    many = [utterance(f"p{i}-x", "neutral", speaker=f"p{i}") for i in range(100, 130)]
    with pytest.raises(UserError, match=r"speakers: no utterance is of 'q125' \(did you mean p125\?\).* \.\.\.$"):
        choose_speakers(many, "p101 q125")


def test_trials_between_speakers_have_the_targets_utterance_as_their_reference():
    rows = [
        utterance("a-1", "neutral", text="One"),
        utterance("a-2", "neutral", text="Two"),
        utterance("a-9", "sad", text="One", intensity="strong"),
        utterance("b-0", "neutral", speaker="b", text="one!", repetition="2"),
        utterance("b-1", "neutral", speaker="b", text="One"),
        utterance("b-9", "sad", speaker="b", text="One", intensity="normal"),
        utterance("c-2", "neutral", speaker="c", text="Two"),
    ]
    both = [("a", "b"), ("a", "c"), ("c", "a")]
    found = {t.id: (t.source, t.speaker, t.emotion, t.reference) for t in make_trials(rows, both, by="speaker")}
    assert found == {
        "a-1-to-b": ("a-1", "b", "neutral", "b-1"),  # of the same repetition, before an earlier id
        "a-2-to-b": ("a-2", "b", "neutral", None),
        "a-9-to-b": ("a-9", "b", "sad", None),  # of another intensity
        "a-1-to-c": ("a-1", "c", "neutral", None),
        "a-2-to-c": ("a-2", "c", "neutral", "c-2"),
        "a-9-to-c": ("a-9", "c", "sad", None),
        "c-2-to-a": ("c-2", "a", "neutral", "a-2"),
    }


def test_report(caplog):
    report_trials("dev", [], needed=False)
    assert "dev: no utterance fits" in caplog.text
    with pytest.raises(UserError, match="test: no utterance fits"):
        report_trials("test", [], needed=True)
    report_trials("test", [Trial("t", "u", "s", "sad")], needed=True)
