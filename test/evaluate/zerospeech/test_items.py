"""Items of ABX tasks, and the rows that they take."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech.corpus import load, row_range
from evc2.evaluate.zerospeech.items import items_of_alignments, make_items, read_items

HEADER = "#file onset offset #phone prev-phone next-phone speaker\n"


def test_item_files(tmp_path):
    path = tmp_path / "t.item"
    path.write_text(f"{HEADER}test/s1_a.wav 0.1 0.3 ae b t s1\n\ns2_b 0 0.2 eh b t s2\n")
    items = read_items(path)
    assert (
        items.names == ["s1_a", "s2_b"] and items.onsets.tolist() == [0.1, 0] and items.offsets.tolist() == [0.3, 0.2]
    )
    assert [items.phone_names[i] for i in items.phones] == ["ae", "eh"]
    assert items.context_names == ["b t"] and items.contexts.tolist() == [0, 0]
    assert [items.speaker_names[i] for i in items.speakers] == ["s1", "s2"]


def test_context_and_talker_are_names_too(tmp_path):
    path = tmp_path / "t.item"
    path.write_text("#file onset offset #phone context talker\na 0 1 ae b-t s1\n")
    items = read_items(path)
    assert items.context_names == ["b-t"] and items.speaker_names == ["s1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header .* found an empty file"),
        ("a 0 1 p q r s\n", "expected a header"),
        (HEADER, "no item below the header"),
        (f"{HEADER}a 0 1 p q r\n", ":2: expected 7 fields as in the header, found 6"),
        (f"{HEADER}a 1 0 p q r s\n", ":2: expected 0 <= onset <= offset"),
        (f"{HEADER}a x 0 p q r s\n", ":2: expected 0 <= onset <= offset"),
    ],
)
def test_bad_item_files(tmp_path, text, message):
    (tmp_path / "t.item").write_text(text)
    with pytest.raises(UserError, match=message):
        read_items(tmp_path / "t.item")


def textgrid(phones, step=0.1):
    lines = ['"ooTextFile"', '"TextGrid"', "0", f"{step * len(phones)}", "<exists>", "1"]
    lines += ['"IntervalTier"', '"phones"', "0", f"{step * len(phones)}", str(len(phones))]
    for k, phone in enumerate(phones):
        lines += [f"{step * k}", f"{step * (k + 1)}", f'"{phone}"']
    return "\n".join(lines)


def test_alignments_give_triphones_without_silence(tmp_path):
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "s1-u.TextGrid").write_text(textgrid(["sil", "b", "ae", "t", "", "k", "ae"]))
    (tmp_path / "s2_v.TextGrid").write_text(textgrid(["b", "eh", "t", "s"]))
    items = items_of_alignments(tmp_path, None)
    assert items.names == ["s1-u", "s2_v", "s2_v"]
    assert [items.phone_names[i] for i in items.phones] == ["ae", "eh", "t"]
    assert [items.context_names[i] for i in items.contexts] == ["b t", "b t", "eh s"]
    assert items.speaker_names == ["s1", "s2"]
    np.testing.assert_allclose([items.onsets[0], items.offsets[0]], [0.1, 0.4])
    named = items_of_alignments(tmp_path, {"s2_v": "anna"})
    assert named.speaker_names == ["anna"] and len(named) == 2
    with pytest.raises(UserError, match="expected a tier 'words', found: phones"):
        items_of_alignments(tmp_path, None, tier="words")
    with pytest.raises(UserError, match="no phone between two others"):
        items_of_alignments(tmp_path, {"x": "x"})
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="expected phone alignments"):
        items_of_alignments(tmp_path / "none", None)


@pytest.mark.parametrize(
    ("onset", "offset", "expected"),
    [
        (0.0, 0.4, (0, 4)),  # centres at 0.05, 0.15, 0.25, 0.35
        (0.05, 0.25, (0, 3)),  # both ends count
        (0.06, 0.24, (1, 2)),
        (0.16, 0.19, (1, 2)),  # no centre within: the nearest row
        (0.11, 0.13, (1, 2)),
        (0.5, 0.9, (3, 4)),  # after the end
        (float("nan"), float("nan"), (0, 4)),
    ],
)
def test_rows_whose_centre_is_in_the_item(onset, offset, expected):
    assert row_range(onset, offset, 0.1, 4) == expected


def test_rows_of_items_are_read_once_and_by_any_clock():
    rows = {"a": np.arange(8.0).reshape(4, 2), "b": np.ones((2, 2))}
    names, onsets, offsets = ["b", "a", "b", "c"], np.array([0, 0.1, 0.1, 0]), np.array([0.2, 0.3, 0.2, 1])
    for clock in ({"frame": 0.1}, {"seconds": {"a": 0.4, "b": 0.2}}):
        corpus = load(names, onsets, offsets, rows, **clock)
        assert np.diff(corpus.bounds).tolist() == [2, 2, 1, 0] and corpus.present.tolist() == [True] * 3 + [False]
        assert corpus.missing == ["c"]
        part = corpus.rows[corpus.ids[corpus.bounds[1] : corpus.bounds[2]]]
        assert part.tolist() == [[2, 3], [4, 5]]


def test_what_load_refuses():
    rows, times = {"a": np.ones((4, 2))}, (np.array([0.0]), np.array([0.1]))
    with pytest.raises(UserError, match="nobody said how long a row is: give --frame_seconds"):
        load(["a"], *times, rows)
    with pytest.raises(UserError, match="'a' is not in the data directory"):
        load(["a"], *times, rows, seconds={"x": 1.0})
    with pytest.raises(UserError, match="no embedding is of the task: it names 'z'"):
        load(["z"], *times, rows, frame=0.1)
    with pytest.raises(UserError, match="an item begins at 0.600 s, but 4 rows of 0.1000 s end at 0.400 s"):
        load(["a"], np.array([0.6]), np.array([0.7]), rows, frame=0.1)


def test_no_rows_of_items():
    assert len(make_items([])) == 0
