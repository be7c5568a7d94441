from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evc2.errors import UserError
from evc2.fileio.manifest import SETS, Utterance
from evc2.fileio.split import by_column, by_counts, by_fractions, by_lists, cut, read_lists


def utterance(speaker="a", emotion="sad", number=0, **more):
    more.setdefault("text", "")
    return Utterance(f"{speaker}-{emotion}-{number:03d}", speaker, emotion, "", "x.wav", **more)


@pytest.fixture
def lists(tmp_path):
    def write(**names):
        for name in SETS:
            (tmp_path / f"{name}.txt").write_text("".join(f"{utt}\n" for utt in names.get(name, ())))
        return tmp_path

    return write


def test_lists(lists, caplog):
    rows = [utterance(number=i) for i in range(4)]
    folder = lists(train=["a-sad-000", "a-sad-001"], dev=["a-sad-002"], test=["a-sad-009"])
    assert by_lists(rows, folder) == {"a-sad-000": "train", "a-sad-001": "train", "a-sad-002": "dev"}
    assert "1 listed utterances are not in the corpus: a-sad-009" in caplog.text
    assert "1 utterances are in no list: a-sad-003" in caplog.text


def test_further_sets(lists, tmp_path):
    rows = [utterance(number=i) for i in range(4)]
    folder = lists(train=["a-sad-000"], dev=["a-sad-001"], test=["a-sad-002"])
    (tmp_path / "test_unseen.txt").write_text("a-sad-003\n")
    sets = cut(rows, by_lists(rows, folder))
    assert {name: [row.utt for row in members] for name, members in sets.items()} == {
        "train": ["a-sad-000"], "dev": ["a-sad-001"], "test": ["a-sad-002"], "test_unseen": ["a-sad-003"]
    }  # fmt: skip


def test_bad_lists(lists, tmp_path):
    with pytest.raises(UserError, match=r"dev.txt:1: utterance 'u' is already in the list of train"):
        read_lists(lists(train=["u"], dev=["u"], test=["v"]))
    with pytest.raises(UserError, match="dev.txt: empty"):
        read_lists(lists(train=["u"], test=["v"]))
    with pytest.raises(UserError, match="train.txt:1: expected one utterance id"):
        read_lists(lists(train=["u v"], dev=["w"], test=["x"]))
    with pytest.raises(UserError, match="no listed utterance is in the manifest"):
        by_lists([utterance()], lists(train=["u"], dev=["v"], test=["w"]))
    (tmp_path / "dev.txt").unlink()
    with pytest.raises(UserError, match="dev.txt: no such file"):
        read_lists(tmp_path)


def test_column_and_cut():
    rows = [utterance(number=i, set=name) for i, name in enumerate(("train", "dev", "test", ""))]
    sets = cut(rows, by_column(rows))
    assert {name: [row.utt for row in members] for name, members in sets.items()} == {
        "train": ["a-sad-000"],
        "dev": ["a-sad-001"],
        "test": ["a-sad-002"],
    }
    with pytest.raises(UserError, match="no utterance for dev and test: 4 utterances of 1 speakers gave 1 for train"):
        cut(rows, {"a-sad-000": "train"})


def test_fractions_within_each_speaker_and_emotion():
    rows = [utterance(s, e, i) for s in "ab" for e in ("sad", "happy") for i in range(20)]
    chosen = by_fractions(rows, dev=0.1, test=0.2, seed=3)
    counts = Counter((row.speaker, row.emotion, chosen[row.utt]) for row in rows)
    for speaker in "ab":
        for emotion in ("sad", "happy"):
            assert [counts[speaker, emotion, name] for name in SETS] == [14, 2, 4]
    assert by_fractions(rows[::-1], dev=0.1, test=0.2, seed=3) == chosen
    assert by_fractions(rows, dev=0.1, test=0.2, seed=4) != chosen
    # A known draw, by `printf '0 utt a-sad-001' | sha256sum`: it is the same on every machine and in every version.
    few = by_fractions([utterance(number=i) for i in range(5)], 0.2, 0.2, seed=0)
    assert [few[f"a-sad-{i:03d}"] for i in range(5)] == ["train", "test", "train", "train", "dev"]


def test_same_words_go_to_one_set():
    rows = [utterance(s, e, i, text=f"Sentence {i}") for s in "ab" for e in ("sad", "happy") for i in range(10)]
    chosen = by_fractions(rows, dev=0.1, test=0.2)
    for i in range(10):
        assert len({chosen[row.utt] for row in rows if row.text == f"Sentence {i}"}) == 1
    assert Counter(chosen.values()) == {"train": 28, "dev": 4, "test": 8}
    apart = by_fractions(rows, dev=0.1, test=0.2, same_words=False)
    assert any(len({apart[row.utt] for row in rows if row.text == f"Sentence {i}"}) > 1 for i in range(10))


@given(st.integers(1, 40), st.floats(0.01, 0.49), st.floats(0.01, 0.49))
def test_three_are_enough_for_all_sets(number, dev, test):
    rows = [utterance(number=i) for i in range(number)]
    counts = Counter(by_fractions(rows, dev, test).values())
    assert counts.total() == number
    assert counts["train"] >= 1
    assert (counts["test"] >= 1) == (number >= 3)
    assert counts["dev"] >= 1 or number < 3 or counts["test"] == number - 1


@pytest.mark.parametrize("dev, test", [(0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.1), (float("nan"), 0.1)])
def test_impossible_fractions(dev, test):
    with pytest.raises(UserError, match="fractions"):
        by_fractions([utterance()], dev, test)


def test_counts_within_each_speaker(caplog):
    """12 and 8 utterances (two emotions are drawn as one), 5 of a speaker below the least number, 2 of one: too few."""
    rows = [utterance(s, e, i) for s, e, n in (("a", "sad", 6), ("a", "happy", 6), ("b", "sad", 8)) for i in range(n)]
    rows += [utterance(s, e, i) for s, e, n in (("c", "sad", 3), ("c", "happy", 2), ("d", "sad", 2)) for i in range(n)]
    chosen = by_counts(rows, dev=2, test=3, least=8, shares=(0.1, 0.2))
    counts = Counter((row.speaker, chosen[row.utt]) for row in rows)
    assert {s: [counts[s, name] for name in SETS] for s in "abcd"} == {
        "a": [7, 2, 3], "b": [3, 2, 3], "c": [3, 1, 1], "d": [2, 0, 0]
    }  # fmt: skip
    assert "2 of 4 speakers have less than 8 utterances and are cut by fractions: c d" in caplog.text
    assert by_counts(rows[::-1], 2, 3, 8, (0.1, 0.2)) == chosen != by_counts(rows, 2, 3, 8, (0.1, 0.2), seed=1)
    # By `printf '0 utt a-sad-00N' | sha256sum`: 1, 4, then 0, 2, 3 (as in the draw by fractions above).
    five = by_counts([utterance(number=i) for i in range(5)], 1, 1, 3, (0.1, 0.1))
    assert [five[f"a-sad-{i:03d}"] for i in range(5)] == ["train", "test", "train", "train", "dev"]


@pytest.mark.parametrize("dev, test, least", [(0, 1, 9), (1, 0, 9), (-1, 3, 9), (4, 5, 9)])
def test_impossible_counts(dev, test, least):
    with pytest.raises(UserError, match=f"{dev} dev and {test} test utterances of each speaker: expected .*, {least}"):
        by_counts([utterance()], dev, test, least, (0.1, 0.1))
