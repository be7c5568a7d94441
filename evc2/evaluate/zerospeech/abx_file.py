"""Official ABX tasks: HDF5 files with all triplets, as ABXpy writes them.

Layout (ABXpy, task.py and h5tools), a "by" being a context, with its name `by` as Python prints it:
  bys                             names of the bys, strings [K]
  triplets/data, by_index         numbers of A, B, X within their by [T, 3]; first and last + 1 row of each by [K, 2]
  feat_dbs/<by>/table             a pandas table of the by's items: file, onset, offset; see `_places`
  unique_pairs/data               pairs (first + base * second) of items to compare, sorted within a by [P, 1]
  unique_pairs, attribute <by>    base, first and last + 1 row of the by's pairs
  regressors/<by>/indexed_data    for each triplet of the by, numbers into indexes/<name>, a column each of
                                  indexed_datasets: phone_1 (A and X), phone_2 (B), speaker_1 (A, B), speaker_2 (X)
Names of columns are pickled in the table's attributes; they are looked for in the bytes, nothing is unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.zerospeech.averages import Averager
from evc2.evaluate.zerospeech.corpus import Corpus, load
from evc2.evaluate.zerospeech.distances import prepare
from evc2.evaluate.zerospeech.embeddings import name_of

REGRESSORS = ("phone_1", "phone_2", "speaker_1", "speaker_2")
_SIZES = np.array([1 << 12, 1 << 12, 1 << 14, 1 << 14])
_WEIGHTS = np.append(np.cumprod(_SIZES[:0:-1])[::-1], 1)
"""Most phones and speakers of a task, by which the four numbers of a cell become one."""
_TRIPLETS = 1_000_000
"""Triplets that are in memory at once."""
_PAIRS = 500_000
"""Pairs of items that are compared at once, unless one context has more."""


@dataclass(frozen=True)
class TaskFile:
    """The items of all bys: ``names``, ``onsets`` and ``offsets`` (NaN: whole files); a by's begin at ``first[by]``."""

    path: str
    bys: list[str]
    names: list[str]
    onsets: np.ndarray
    offsets: np.ndarray
    first: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether the task is about whole files (snippets) rather than parts of them."""
        return bool(np.isnan(self.onsets).all())


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path}: tasks in HDF5 need the package h5py: pip install h5py, or tools/setup.sh --extras eval"
        ) from None
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except KeyError as error:
        raise UserError(f"{path}: expected an ABX task as ABXpy writes it; it lacks {error.args[0]}") from None
    except OSError as error:
        raise UserError(f"{path}: not an HDF5 file that can be read: {error}") from None


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _places(table: Any, where: str) -> dict[str, tuple[str, int]]:
    """Where in a pandas table each column is: name -> (field, place in it).

    pandas keeps columns of one kind together: field values_block_<k> with some columns, whose names are in the
    attribute values_block_<k>_kind, a pickled list.
    """
    found: dict[str, tuple[str, int]] = {}
    for field in table.dtype.names or ():
        if not field.startswith("values_block_"):
            continue
        raw = table.attrs.get(f"{field}_kind", b"")
        raw = raw.encode() if isinstance(raw, str) else bytes(np.asarray(raw).tobytes())
        names = sorted((raw.find(name.encode()), name) for name in ("file", "onset", "offset") if name.encode() in raw)
        width = table.dtype[field].shape[0] if table.dtype[field].shape else 1
        if len(names) != width:
            raise UserError(f"{where}: expected the columns file, onset and offset, found a block of {width} others")
        found |= {name: (field, place) for place, (_, name) in enumerate(names)}
    if len(found) != 3:
        raise UserError(f"{where}: expected the columns file, onset and offset, found {', '.join(found) or 'none'}")
    return found


def _column(data: np.ndarray, place: tuple[str, int]) -> np.ndarray:
    values = data[place[0]]
    return values.reshape(len(data), -1)[:, place[1]]


def read_task(path: str | os.PathLike[str], times: str = "auto") -> TaskFile:
    """Read the items of an official task.

    Args:
        path: the .abx file.
        times: "seconds": onsets and offsets are seconds; "whole": whole files, as in the tasks of 2019, whose files
            are snippets; "auto": whole where each file has one item that begins at 0.

    Raises:
        UserError: no such file, h5py is missing, or another layout.
    """
    names: list[str] = []
    onsets, offsets, first = [], [], [0]
    with _opened(path) as file:
        bys = [_text(by) for by in file["bys"][...]]
        for by in bys:
            table = file[f"feat_dbs/{by}/table"]
            places, data = _places(table, f"{path}: feat_dbs/{by}"), table[...]
            names += [name_of(_text(value)) for value in _column(data, places["file"])]
            onsets.append(_column(data, places["onset"]).astype(np.float64))
            offsets.append(_column(data, places["offset"]).astype(np.float64))
            first.append(len(names))
    if not names:
        raise UserError(f"{path}: a task without items")
    start, stop = np.concatenate(onsets), np.concatenate(offsets)
    ends: dict[str, float] = {}
    snippets = bool((start == 0).all()) and all(
        ends.setdefault(name, end) == end for name, end in zip(names, stop.tolist(), strict=True)
    )
    if times == "whole" or (times == "auto" and snippets):
        start, stop = np.full(len(names), np.nan), np.full(len(names), np.nan)
    return TaskFile(os.fspath(path), bys, names, start, stop, np.array(first, dtype=np.int64))


def load_task(
    task: TaskFile,
    embeddings: Mapping[str, np.ndarray],
    frame: float | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Corpus:
    """Rows of a task's items; see `corpus.load`."""
    return load(task.names, task.onsets, task.offsets, embeddings, frame, seconds)


class _Labels:
    """Numbers for names."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, names: np.ndarray) -> np.ndarray:
        return np.array([self.numbers.setdefault(_text(name), len(self.numbers)) for name in names], dtype=np.int64)


def _regressors(group: Any, rows: slice, labels: dict[str, _Labels], where: str) -> np.ndarray:
    """Numbers of phone_1, phone_2, speaker_1, speaker_2 of triplets: int64 [n, 4]."""
    columns = [_text(name) for name in group["indexed_datasets"][...]]
    lacking = [name for name in REGRESSORS if name not in columns]
    if lacking:
        raise UserError(
            f"{where}: expected a task on phones across speakers, with {', '.join(REGRESSORS)}, "
            f"found {', '.join(columns)}"
        )
    data = group["indexed_data"][rows]
    found = []
    for name in REGRESSORS:
        numbers = labels[name.rpartition("_")[0]].of(group["indexes"][name][...])
        found.append(numbers[data[:, columns.index(name)]])
    return np.stack(found, axis=1)


def score_task(
    task: TaskFile, corpus: Corpus, kind: str = "cosine", normalize: bool | None = None, nj: int = 1
) -> dict[str, float | int]:
    """ABX error of an official task, by its own triplets.

    Args:
        task: of `read_task`.
        corpus: of `load_task`. Triplets with an item that has no rows are left out.
        kind, normalize: see `distances.prepare`.
        nj: threads.

    Returns:
        As `abx.score`.

    Raises:
        UserError: another layout, or no triplet.
    """
    prepared, present = prepare(corpus, kind, normalize), corpus.present
    averager, labels = Averager(int(_SIZES[0]), int(_SIZES[2])), {"phone": _Labels(), "speaker": _Labels()}
    counts = {"contexts": 0, "triplets": 0, "pairs": 0, "items": int(present.sum())}
    with _opened(task.path) as file:
        for group in _together(file, task):
            pairs = [_pairs(file, task, k) for k in group]
            there = [present[pair].all(axis=1) for pair, _ in pairs]
            distances = prepared.pairs(np.concatenate([p[ok] for (p, _), ok in zip(pairs, there, strict=True)]), nj)
            counts["pairs"] += len(distances)
            done = 0
            for k, (pair, key), ok in zip(group, pairs, there, strict=True):
                own = np.full(len(pair), np.nan)
                own[ok] = distances[done : done + int(ok.sum())]
                done += int(ok.sum())
                number = _score_by(file, task, k, key, own, labels, averager)
                counts["triplets"] += number
                counts["contexts"] += number > 0
    return averager.result() | counts


def _together(file: Any, task: TaskFile) -> Iterator[list[int]]:
    """Numbers of bys that are compared at once."""
    group, size = [], 0
    for k, by in enumerate(task.bys):
        _, start, stop = (int(value) for value in file["unique_pairs"].attrs[by])
        if group and size + stop - start > _PAIRS:
            yield group
            group, size = [], 0
        group.append(k)
        size += stop - start
    if group:
        yield group


def _pairs(file: Any, task: TaskFile, k: int) -> tuple[np.ndarray, tuple[np.ndarray, int]]:
    """Pairs of a by as numbers of the task's items [P, 2], and what finds them: sorted keys and their base."""
    base, start, stop = (int(value) for value in file["unique_pairs"].attrs[task.bys[k]])
    keys = file["unique_pairs/data"][start:stop].reshape(-1).astype(np.int64)
    pairs = np.stack([keys % base, keys // base], axis=1)
    if len(pairs) and pairs.max() >= task.first[k + 1] - task.first[k]:
        raise UserError(f"{task.path}: {task.bys[k]}: a pair names an item that is not there; the file is damaged")
    return pairs + task.first[k], (keys, base)


def _score_by(
    file: Any,
    task: TaskFile,
    k: int,
    key: tuple[np.ndarray, int],
    distances: np.ndarray,
    labels: dict[str, _Labels],
    averager: Averager,
) -> int:
    """Add the cells of one by to the averages; returns its number of triplets."""
    first, last = (int(value) for value in file["triplets/by_index"][k])
    regressors, (keys, base) = file[f"regressors/{task.bys[k]}"], key
    total: dict[int, list[int]] = {}
    for start in range(first, last, _TRIPLETS):
        stop = min(last, start + _TRIPLETS)
        triplets = file["triplets/data"][start:stop].astype(np.int64)
        cells = _regressors(regressors, slice(start - first, stop - first), labels, task.path)
        places = [np.searchsorted(keys, triplets[:, i] + base * triplets[:, 2]) for i in (0, 1)]
        if len(triplets) and (max(p.max() for p in places) >= len(keys) or len(cells) != len(triplets)):
            raise UserError(f"{task.path}: {task.bys[k]}: triplets and pairs do not agree; the file is damaged")
        near, far = (distances[place] for place in places)
        known = ~(np.isnan(near) | np.isnan(far))
        sign = (near < far).astype(np.int64) - (near > far)
        found, where = np.unique(cells[known] @ _WEIGHTS, return_inverse=True)
        sums = np.bincount(where, weights=sign[known], minlength=len(found))
        numbers = np.bincount(where, minlength=len(found))
        for cell, value, number in zip(found.tolist(), sums, numbers, strict=True):
            entry = total.setdefault(cell, [0, 0])
            entry[0] += int(value)
            entry[1] += int(number)
    if total:
        cells = np.array(list(total), dtype=np.int64)
        columns = [cells // weight % size for weight, size in zip(_WEIGHTS, _SIZES, strict=True)]
        sums = np.array(list(total.values()), dtype=np.float64)
        averager.add(*columns, sums[:, 0] / sums[:, 1])
    return sum(number for _, number in total.values())
