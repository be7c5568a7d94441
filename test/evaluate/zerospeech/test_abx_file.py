"""Official ABX tasks: small files in ABXpy's layout, scored by their own triplets."""

import pickle

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech import abx_file
from evc2.evaluate.zerospeech.abx_file import load_task, read_task, score_task

h5py = pytest.importorskip("h5py", reason="pip install h5py")
REGRESSORS = ("phone_1", "phone_2", "speaker_1", "speaker_2")


def write_items(group, files, onsets, offsets, whole_numbers):
    """A pandas table of file, onset and offset; onsets that are all whole numbers have a block of their own."""
    blocks = [(["file"], "S20", [np.array(files, dtype="S20")])]
    if whole_numbers:
        blocks += [(["onset"], "<i8", [onsets]), (["offset"], "<f8", [offsets])]
    else:
        blocks += [(["onset", "offset"], "<f8", [onsets, offsets])]
    fields = [(f"values_block_{k}", kind, (len(names),)) for k, (names, kind, _) in enumerate(blocks)]
    data = np.zeros(len(files), dtype=[("index", "<i8"), *fields])
    data["index"] = np.arange(len(files))
    for k, (_, _, columns) in enumerate(blocks):
        data[f"values_block_{k}"] = np.stack(columns, axis=1)
    table = group.create_dataset("table", data=data)
    for k, (names, _, _) in enumerate(blocks):
        table.attrs[f"values_block_{k}_kind"] = np.bytes_(pickle.dumps(names, protocol=0))


def write_task(path, items, triplets, times=None, whole_numbers=False):
    """A task of items (name, onset, offset, phone, context, speaker) and triplets of their numbers."""
    bys = sorted({item[4] for item in items})
    text = h5py.string_dtype()
    by_index, rows, pairs = [], [], []
    with h5py.File(path, "w") as file:
        file.create_dataset("bys", data=[f"('{by}', 'x')" for by in bys], dtype=text)
        attributes = []
        for by in bys:
            name = f"('{by}', 'x')"
            own = [k for k, item in enumerate(items) if item[4] == by]
            place = {k: i for i, k in enumerate(own)}
            times_of = [(0, 1.0) if times is None else times[items[k][0]] for k in own]
            onsets, offsets = zip(*times_of, strict=True)
            group = file.create_group(f"feat_dbs/{name}")
            write_items(group, [items[k][0] for k in own], onsets, offsets, whole_numbers)
            mine = np.array([[place[k] for k in t] for t in triplets if t[0] in place], dtype=np.int64).reshape(-1, 3)
            base, start = len(own), len(pairs)
            keys = set((mine[:, 0] + base * mine[:, 2]).tolist()) | set((mine[:, 1] + base * mine[:, 2]).tolist())
            pairs += sorted(keys)
            attributes.append((name, (base, start, len(pairs))))
            by_index.append((len(rows), len(rows) + len(mine)))
            rows += mine.tolist()
            labels = {"phone": sorted({i[3] for i in items}, reverse=True), "speaker": sorted({i[5] for i in items})}
            values = []
            for a, b, x in mine:
                phones, speakers = ([items[own[k]][column] for k in (a, b, x)] for column in (3, 5))
                found = (phones[0], phones[1], speakers[0], speakers[2])
                pairs_of = zip(found, REGRESSORS, strict=True)
                values.append([labels[name.split("_")[0]].index(value) for value, name in pairs_of])
            regressors = file.create_group(f"regressors/{name}")
            regressors.create_dataset("indexed_datasets", data=list(REGRESSORS), dtype=text)
            regressors.create_dataset("indexed_data", data=np.array(values, dtype=np.uint8).reshape(-1, 4))
            for regressor in REGRESSORS:
                found = labels[regressor.split("_")[0]]
                regressors.create_dataset(f"indexes/{regressor}", data=found, dtype=text)
        file.create_dataset("triplets/data", data=np.array(rows, dtype=np.int64).reshape(-1, 3))
        file.create_dataset("triplets/by_index", data=np.array(by_index))
        file.create_dataset("unique_pairs/data", data=np.array(pairs, dtype=np.int64)[:, None])
        for name, value in attributes:
            file["unique_pairs"].attrs[name] = value
    return path


@pytest.mark.parametrize("kind", ["cosine", "kl", "levenshtein"])
@pytest.mark.parametrize("whole_numbers", [False, True])
def test_score_of_the_files_triplets(abx, tmp_path, kind, whole_numbers):
    for seed in range(2):
        rows, items = abx.random(seed)
        plain = abx.plain(rows, items, kind)
        path = write_task(tmp_path / f"{seed}.abx", items, plain.triplets, whole_numbers=whole_numbers)
        task = read_task(path)
        assert task.whole and sorted(task.names) == sorted(rows)
        found = score_task(task, load_task(task, rows), kind)
        assert found["error"] == pytest.approx(plain.error, abs=1e-9)
        assert (found["triplets"], found["pairs"]) == (len(plain.triplets), plain.pairs)
        assert (found["cells"], found["contexts"], found["items"]) == (plain.cells, plain.contexts, len(items))


def test_pairs_begin_with_a_or_b_and_end_with_x(abx, tmp_path):
    # The normalised distance is not the same both ways where paths tie.
    rows, items = abx.random(1)
    triplets = abx.plain(rows, items).triplets
    task = read_task(write_task(tmp_path / "t.abx", items, triplets))
    with h5py.File(task.path) as file:
        pairs = np.concatenate([abx_file._pairs(file, task, k)[0] for k in range(len(task.bys))])
    expected = {(items[k][0], items[x][0]) for a, b, x in triplets for k in (a, b)}
    assert {(task.names[first], task.names[second]) for first, second in pairs} == expected


def test_parts_and_threads_change_nothing(abx, tmp_path, monkeypatch):
    rows, items = abx.random(3, contexts=4, count=80)
    plain = abx.plain(rows, items)
    task = read_task(write_task(tmp_path / "t.abx", items, plain.triplets))
    corpus = load_task(task, rows)
    whole = score_task(task, corpus)
    monkeypatch.setattr(abx_file, "_TRIPLETS", 7)
    monkeypatch.setattr(abx_file, "_PAIRS", 40)
    assert score_task(task, corpus, nj=3) == pytest.approx(whole)


def test_files_of_a_task_that_lack_are_left_out(abx, tmp_path):
    rows, items = abx.random(4)
    gone = {items[2][0], items[11][0]}
    some = {name: value for name, value in rows.items() if name not in gone}
    task = read_task(write_task(tmp_path / "t.abx", items, abx.plain(rows, items).triplets))
    plain = abx.plain(some, [item for item in items if item[0] not in gone])
    found = score_task(task, load_task(task, some))
    assert found["error"] == pytest.approx(plain.error) and found["triplets"] == len(plain.triplets)


def test_times_within_long_files(abx, tmp_path):
    rows, items = abx.random(6)
    plain = abx.plain(rows, items)
    # The same rows in the middle of longer files, of 0.1 s a row.
    longer = {name: np.concatenate([np.zeros((2, 4)), value, np.ones((3, 4))]) for name, value in rows.items()}
    times = {name: (0.2, 0.2 + 0.1 * len(value)) for name, value in rows.items()}
    task = read_task(write_task(tmp_path / "t.abx", items, plain.triplets, times))
    assert not task.whole
    assert score_task(task, load_task(task, longer, frame=0.1))["error"] == pytest.approx(plain.error)
    assert read_task(tmp_path / "t.abx", "whole").whole and not read_task(tmp_path / "t.abx", "seconds").whole


def test_bad_task_files(abx, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_task(tmp_path / "none.abx")
    (tmp_path / "text.abx").write_text("no")
    with pytest.raises(UserError, match="not an HDF5 file"):
        read_task(tmp_path / "text.abx")
    with h5py.File(tmp_path / "other.abx", "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match="as ABXpy writes it; it lacks"):
        read_task(tmp_path / "other.abx")
    rows, items = abx.random(0)
    path = write_task(tmp_path / "t.abx", items, abx.plain(rows, items).triplets)
    with h5py.File(path, "a") as file:
        for group in file["regressors"].values():
            group["indexed_datasets"][3] = "talker_2"
    task = read_task(path)
    with pytest.raises(UserError, match="expected a task on phones across speakers"):
        score_task(task, load_task(task, rows))
    with h5py.File(path, "a") as file:
        del file[f"feat_dbs/{task.bys[0]}/table"].attrs["values_block_0_kind"]
    with pytest.raises(UserError, match="expected the columns file, onset and offset"):
        read_task(path)


def test_a_damaged_task(abx, tmp_path):
    rows, items = abx.random(0)
    path = write_task(tmp_path / "t.abx", items, abx.plain(rows, items).triplets)
    task = read_task(path)
    corpus = load_task(task, rows)
    with h5py.File(path, "a") as file:
        file["triplets/data"][0] = (30, 31, 32)
    with pytest.raises(UserError, match="the file is damaged"):
        score_task(task, corpus)
    with h5py.File(path, "a") as file:
        file["unique_pairs/data"][0] = 10**9
    with pytest.raises(UserError, match="a pair names an item that is not there"):
        score_task(task, corpus)


def test_without_h5py(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="pip install h5py"):
        read_task(tmp_path / "t.abx")
