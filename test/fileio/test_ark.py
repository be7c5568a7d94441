"""Arks: what is written is read back, by us and by kaldiio; damage is named."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc2.errors import UserError
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.tables import read_table, write_table


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    arrays = {f"utt{i}": rng.standard_normal((20 + i, 5)).astype(np.float32) for i in (3, 1, 2)}
    arrays["f0"] = np.arange(7, dtype=np.float32)
    return arrays


@pytest.fixture
def scp(tmp_path, arrays, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ArkWriter("dump/feats.1.ark", "dump/feats.1.scp") as writer:
        for key, array in arrays.items():
            writer[key] = array
    return "dump/feats.1.scp"


def test_round_trip(scp, arrays):
    reader, theirs = ScpReader(scp), kaldiio.load_scp(scp)
    assert list(reader) == sorted(arrays) and len(reader) == 4 and "utt1" in reader and "utt9" not in reader
    for key, array in arrays.items():
        assert reader.shape(key) == array.shape
        assert reader[key].dtype == np.float32
        np.testing.assert_array_equal(reader[key], array)
        np.testing.assert_array_equal(theirs[key], array)
        assert theirs[key].dtype == np.float32
    assert sorted(os.listdir("dump")) == ["feats.1.ark", "feats.1.scp"]


def test_crop_is_those_rows_and_a_copy(scp, arrays):
    reader = ScpReader(scp)
    part = reader.crop("utt2", 3, 8)
    np.testing.assert_array_equal(part, arrays["utt2"][3:11])
    part[:] = 0  # must not touch the file
    np.testing.assert_array_equal(reader["utt2"], arrays["utt2"])
    np.testing.assert_array_equal(reader.crop("f0", 2, 3), [2, 3, 4])
    np.testing.assert_array_equal(reader.crop("f0", 0, 7), arrays["f0"])
    for start, length in ((-1, 3), (0, 8), (5, 3)):
        with pytest.raises(ValueError, match="f0: rows"):
            reader.crop("f0", start, length)
    with pytest.raises(KeyError):
        reader.crop("nobody", 0, 1)


def test_float64_and_compressed_and_text_of_other_writers(tmp_path, arrays):
    matrix = arrays["utt1"]
    with open(tmp_path / "d.ark", "wb") as ark:
        kaldiio.save_ark(ark, {"a": matrix.astype(np.float64)})
    kaldiio.save_ark(str(tmp_path / "c.ark"), {"a": matrix}, scp=str(tmp_path / "c.scp"), compression_method=2)
    (tmp_path / "t.ark").write_text("a  [\n 1.0 2.5\n 3.0 4.0 ]\n")
    write_table(tmp_path / "all.scp", {"d": f"{tmp_path}/d.ark:2", "t": f"{tmp_path}/t.ark:2"})
    reader = ScpReader(tmp_path / "all.scp")
    np.testing.assert_array_equal(reader["d"], matrix)
    assert reader["d"].dtype == np.float32 and reader.crop("d", 1, 2).dtype == np.float32
    np.testing.assert_array_equal(reader["t"], [[1, 2.5], [3, 4]])
    compressed = ScpReader(tmp_path / "c.scp")
    np.testing.assert_allclose(compressed["a"], matrix, atol=0.05)
    assert compressed.shape("a") == matrix.shape
    np.testing.assert_array_equal(compressed.crop("a", 2, 4), compressed["a"][2:6])


@pytest.mark.parametrize("lost", [1, 30, 100])
def test_truncated_ark_names_file_and_key(scp, lost):
    ark = "dump/feats.1.ark"
    with open(ark, "r+b") as file:
        file.truncate(os.path.getsize(ark) - lost)
    reader = ScpReader(scp)
    last = max(read_table(scp).items(), key=lambda item: int(item[1].rpartition(":")[2]))[0]
    for read in (reader.__getitem__, reader.shape, lambda key: reader.crop(key, 0, 1)):
        with pytest.raises(UserError, match=rf"feats\.1\.ark.*'{last}' .*truncated"):
            read(last)
    assert reader["utt3"].shape == (23, 5)  # the beginning is whole


def test_ark_cut_before_the_entry_or_empty(scp):
    os.truncate("dump/feats.1.ark", 10)
    with pytest.raises(UserError, match=r"feats\.1\.ark.*'utt2'.*truncated"):
        ScpReader(scp)["utt2"]
    os.truncate("dump/feats.1.ark", 0)
    with pytest.raises(UserError, match=r"feats\.1\.ark: truncated: 'utt2'"):
        ScpReader(scp)["utt2"]


def test_truncated_compressed_ark(tmp_path):
    kaldiio.save_ark(str(tmp_path / "c.ark"), {"a": np.ones((9, 9))}, scp=str(tmp_path / "c.scp"), compression_method=2)
    os.truncate(tmp_path / "c.ark", os.path.getsize(tmp_path / "c.ark") - 5)
    with pytest.raises(UserError, match=r"c\.ark.*'a' .*truncated or corrupt"):
        ScpReader(tmp_path / "c.scp")["a"]


def test_an_ark_that_shrinks_while_it_is_open(scp, arrays):
    reader = ScpReader(scp)
    np.testing.assert_array_equal(reader["utt1"], arrays["utt1"])
    os.truncate("dump/feats.1.ark", 60)
    for read in (reader.__getitem__, lambda key: reader.crop(key, 0, 4)):
        with pytest.raises(UserError, match=r"feats\.1\.ark.*'utt1' .*truncated: it has become shorter"):
            read("utt1")


def test_what_is_read_does_not_stay_in_memory(scp):
    reader = ScpReader(scp)
    assert [reader[key].sum() for key in reader] and reader.crop("utt1", 0, 2).size
    with open("/proc/self/maps", encoding="utf-8") as maps:
        assert "feats.1.ark" not in maps.read()


def arks_under_one_scp(folder: Path, count: int, shape: tuple[int, int]) -> Path:
    """An scp as several jobs' are joined: ``utt<i>``, filled with i, in an ark of its own."""
    table = {}
    for i in range(count):
        with ArkWriter(folder / f"{i}.ark", folder / f"{i}.scp") as writer:
            writer[f"utt{i}"] = np.full(shape, i)
        table |= read_table(folder / f"{i}.scp")
    write_table(folder / "all.scp", table)
    return folder / "all.scp"


def test_crops_by_several_threads_while_arks_come_and_go(tmp_path):
    reader = ScpReader(arks_under_one_scp(tmp_path, 8, (50, 3)), max_open=1)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: bool((reader.crop(f"utt{n % 8}", n % 40, 10) == n % 8).all()), range(400))
        assert all(found)


def test_missing_ark_names_file_and_key(scp):
    os.remove("dump/feats.1.ark")
    with pytest.raises(UserError, match=r"dump/feats\.1\.ark: cannot be read for 'utt1'.*relative to"):
        ScpReader(scp)["utt1"]


def test_paths_are_relative_to_the_current_folder(scp, tmp_path, monkeypatch, arrays):
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    with pytest.raises(UserError, match="cannot be read"):
        ScpReader(f"../{scp}")["utt1"]
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(ScpReader(os.path.abspath(scp))["utt1"], arrays["utt1"])


def test_no_entry_runs_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "boom"),))

    (tmp_path / "p.ark").write_bytes(b"PKL" + pickle.dumps(Bomb()))
    entries = {"pickle": f"{tmp_path}/p.ark", "pipe": f"mkdir {tmp_path}/boom |", "slice": f"{tmp_path}/p.ark:0[0:2]"}
    write_table(tmp_path / "x.scp", entries)
    reader = ScpReader(tmp_path / "x.scp")
    for key in entries:
        with pytest.raises(UserError, match=f"'{key}'"):
            reader[key]
    assert not (tmp_path / "boom").exists()


def test_corrupt_header(tmp_path):
    (tmp_path / "a.ark").write_bytes(b"a \0BFM \4\xff\xff\xff\xff\4\5\0\0\0" + b"\0" * 40)
    write_table(tmp_path / "a.scp", {"a": f"{tmp_path}/a.ark:2"})
    with pytest.raises(UserError, match=r"a\.ark:2: 'a' .*corrupt header"):
        ScpReader(tmp_path / "a.scp")["a"]


def test_nan_in_a_foreign_ark(tmp_path):
    kaldiio.save_ark(str(tmp_path / "n.ark"), {"a": np.array([1.0, np.nan])}, scp=str(tmp_path / "n.scp"))
    with pytest.raises(UserError, match="'a' .*contains NaN"):
        ScpReader(tmp_path / "n.scp")["a"]


def test_few_arks_stay_open(tmp_path):
    reader = ScpReader(arks_under_one_scp(tmp_path, 6, (4, 2)), max_open=2)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for i in range(6):
            assert (reader.crop(f"utt{i}", 1, 2) == i).all()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    reader.close()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert (reader["utt5"] == 5).all()


def test_reader_pickles(scp, arrays):
    reader = ScpReader(scp)
    reader.crop("utt1", 0, 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader))["utt1"], arrays["utt1"])


@pytest.mark.parametrize(
    ("key", "array", "error", "message"),
    [
        ("utt1", np.ones(3), UserError, "'utt1' is there already"),
        ("b", np.ones((0, 4)), UserError, "'b' is empty"),
        ("b", np.array([1, np.inf]), UserError, "'b' contains NaN or infinity"),
        ("b c", np.ones(3), ValueError, "no white space"),
        ("b", np.ones((2, 2, 2)), ValueError, "vectors and matrices"),
    ],
)
def test_writer_refuses_and_then_leaves_nothing(tmp_path, key, array, error, message):
    with pytest.raises(error, match=message), ArkWriter(tmp_path / "a.ark", tmp_path / "a.scp") as writer:
        writer["utt1"] = np.ones(3)
        writer[key] = array
    assert os.listdir(tmp_path) == []


def test_a_failed_rewrite_keeps_the_old_pair(scp, arrays):
    with pytest.raises(RuntimeError), ArkWriter("dump/feats.1.ark", "dump/feats.1.scp") as writer:
        writer["new"] = np.ones(3)
        raise RuntimeError
    np.testing.assert_array_equal(ScpReader(scp)["utt1"], arrays["utt1"])


def test_an_ark_with_a_new_name_never_has_the_old_scp(scp, monkeypatch):
    # If the machine stops between the two renames, no scp may be left whose offsets belong to the old ark.
    def stop(*_):
        raise RuntimeError("power cut")

    monkeypatch.setattr("evc2.fileio.ark.write_table", stop)
    with pytest.raises(RuntimeError), ArkWriter("dump/feats.1.ark", "dump/feats.1.scp") as writer:
        writer["new"] = np.ones(3)
    assert os.listdir("dump") == ["feats.1.ark"]


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_any_crop_equals_kaldiio(tmp_path_factory, shapes, seed):
    folder = tmp_path_factory.mktemp("ark")
    rng = np.random.default_rng(seed)
    with ArkWriter(folder / "a.ark", folder / "a.scp") as writer:
        for i, (rows, columns) in enumerate(shapes):
            writer[f"ütt{i}"] = rng.standard_normal((rows, columns) if columns else rows)
    reader, theirs = ScpReader(folder / "a.scp"), kaldiio.load_scp(str(folder / "a.scp"))
    for key in reader:
        start = int(rng.integers(0, reader.shape(key)[0]))
        length = int(rng.integers(0, reader.shape(key)[0] - start + 1))
        np.testing.assert_array_equal(reader.crop(key, start, length), theirs[key][start : start + length])
