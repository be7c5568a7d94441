"""Embedding files: the text format, and rows as symbols."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech.embeddings import (
    Symbols,
    name_of,
    open_embeddings,
    parse_rows,
    read_rows,
    require_files,
    row_text,
    write_rows,
)
from evc2.fileio.ark import ArkWriter


def test_integers_and_decimals_are_written_without_header():
    assert row_text(np.array([[0, 1, 0], [1, 0, 0]], dtype=np.uint8)) == "0 1 0\n1 0 0\n"
    assert row_text(np.array([[0.5, -1e-9], [2, 1 / 3]]), decimals=4) == "0.5000 0.0000\n2.0000 0.3333\n"
    with pytest.raises(ValueError, match="finite"):
        row_text(np.array([[np.nan]]))


def test_files_read_back(tmp_path):
    rows = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    write_rows(tmp_path / "a.txt", rows, decimals=9)
    np.testing.assert_allclose(read_rows(tmp_path / "a.txt"), rows, atol=1e-8)
    assert parse_rows("1 2\n3 4", "x").tolist() == [[1, 2], [3, 4]]  # the last line may lack its end
    assert parse_rows("7\n", "x").tolist() == [[7]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("1 2\n3\n", "line 2: 1 values, the first line has 2"),
        ("1  2\n3 4\n", "line 1: expected numbers separated by one space, found ''"),
        ("1 2 \n3 4\n", "line 1: .*found ''"),
        (" 1 2\n", "line 1: .*found ''"),
        ("1 2\n\n3 4\n", "line 2: .*found ''"),
        ("1 x\n", "line 1: .*found 'x'"),
        ("1 2\n3 nan\n", "line 2: .*found 'nan'"),
        ("1\t2\n", "line 1"),
        ("1 2\r\n3 4\r\n", "line 1"),
    ],
)
def test_what_is_no_embedding(text, message):
    with pytest.raises(UserError, match=f"f.txt: {message}"):
        parse_rows(text, "f.txt")


def test_not_ascii_and_missing(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"1 \xc2\xa02\n")
    with pytest.raises(UserError, match="not ASCII"):
        read_rows(tmp_path / "a.txt")
    with pytest.raises(UserError, match="cannot be read"):
        read_rows(tmp_path / "b.txt")


def test_folder_and_scp_are_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    write_rows("d/s_1.txt", rows)
    with ArkWriter("f.ark", "f.scp") as writer:
        writer["s_1"] = rows
    for where in ("d", "f.scp"):
        found = open_embeddings(where)
        assert list(found) == ["s_1"] and "s_2" not in found
        np.testing.assert_array_equal(found["s_1"], rows)
        with pytest.raises(KeyError):
            found["s_2"]
    with pytest.raises(UserError, match="expected a folder"):
        open_embeddings("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="an empty folder"):
        open_embeddings("empty")


def test_names():
    assert name_of("english/test/S002_1.txt") == name_of("S002_1.wav") == name_of("S002_1") == "S002_1"
    assert name_of("a.b") == "a.b"


def test_equal_rows_are_one_symbol():
    symbols = Symbols()
    assert symbols.add(np.array([[0.0, 1], [1, 0], [-0.0, 1]]), "a").tolist() == [0, 1, 0]
    assert symbols.add(np.array([[1.0, 0], [1, 1e-12]]), "b").tolist() == [1, 2]
    assert symbols.rows().tolist() == [[0, 1], [1, 0], [1, 1e-12]]
    with pytest.raises(UserError, match="c: its rows have 3 values, those of other files 2"):
        symbols.add(np.zeros((1, 3)), "c")


def test_files_that_lack(tmp_path):
    write_rows(tmp_path / "test" / "a.txt", np.ones((1, 1)))
    require_files(tmp_path, ["test"], ["a"])
    with pytest.raises(UserError, match="1 embeddings are missing.*: b"):
        require_files(tmp_path, ["test"], ["a", "b"])
