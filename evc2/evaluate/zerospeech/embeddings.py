"""Embeddings of utterances: the text files of a submission, or Kaldi's arks, as matrices of one row a time step.

A submission's file is ASCII: a line a time step, numbers separated by one space, no header, the same number of columns
in all files (ZeroSpeech 2019, instructions and validator).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from evc2.errors import UserError, nearest
from evc2.fileio.ark import ScpReader
from evc2.fileio.atomic import write_text
from evc2.fileio.manifest import describe_folder

SUFFIXES = (".txt", ".wav")


def name_of(word: str) -> str:
    """The utterance that a list means: `english/test/S002_1.txt`, `S002_1.wav` and `S002_1` are all S002_1."""
    name = PurePosixPath(word).name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def parse_rows(text: str, where: object) -> np.ndarray:
    """Numbers of an embedding file's text: float64 [rows, columns], both at least 1.

    Raises:
        UserError: empty, lines of differing numbers of values, anything but numbers and single spaces, NaN, infinity.
    """
    if not text.strip():
        raise UserError(f"{where}: empty; expected at least one line of numbers")
    lines = text.removesuffix("\n").split("\n")
    spaces = lines[0].count(" ")
    try:
        values = np.fromstring(text, dtype=np.float64, sep=" ")
    except ValueError:
        values = np.empty(0)
    # One number more than there are spaces in every line means single spaces, none at the ends: an empty word between
    # two spaces would be missing in the count.
    same = all(line.count(" ") == spaces for line in lines) and not any(c in text for c in "\t\r\v\f")
    if not same or len(values) != len(lines) * (spaces + 1) or not np.isfinite(values).all():
        raise UserError(f"{where}: {_line_problem(lines)}")
    return values.reshape(len(lines), spaces + 1)


def _line_problem(lines: list[str]) -> str:
    """What the first bad line of an embedding file has."""
    width = len(lines[0].split(" "))
    for number, line in enumerate(lines, 1):
        words = line.split(" ")
        for word in words:
            try:
                good = np.isfinite(float(word)) and word == word.strip()
            except ValueError:
                good = False
            if not good:
                return f"line {number}: expected numbers separated by one space, found '{word}' in '{line[:60]}'"
        if len(words) != width:
            return f"line {number}: {len(words)} values, the first line has {width}; expected as many in every line"
    return "expected lines of numbers separated by one space"


def read_rows(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an embedding file: float64 [rows, columns]; UserError as `parse_rows`, or where it cannot be read."""
    try:
        text = Path(path).read_bytes().decode("ascii")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not ASCII; expected lines of numbers") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_rows(text, path)


def row_text(rows: np.ndarray, decimals: int = 6) -> str:
    """The text of an embedding file: rows [N, D]; integers as they are, other numbers with fixed decimals.

    Raises:
        ValueError: another shape, no value at all, NaN or infinity.
    """
    if rows.ndim != 2 or rows.size == 0 or not np.isfinite(rows).all():
        raise ValueError(f"expected a matrix of finite rows, found shape {rows.shape}")
    if rows.dtype.kind in "iub":
        return "".join(" ".join(map(str, row)) + "\n" for row in rows.astype(np.int64).tolist())
    # Adding zero turns -0.0 into 0.0, which is no other symbol.
    rounded = np.round(rows.astype(np.float64), decimals) + 0.0
    return "".join(" ".join([f"{value:.{decimals}f}" for value in row]) + "\n" for row in rounded.tolist())


def write_rows(path: str | os.PathLike[str], rows: np.ndarray, decimals: int = 6) -> None:
    """Write an embedding file of rows [N, D], atomically."""
    write_text(path, row_text(rows, decimals))


class TextFolder(Mapping[str, np.ndarray]):
    """The embedding files of a folder, by utterance; each is read when it is asked for.

    Raises:
        UserError: the folder holds no .txt file.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._names = sorted(path.stem for path in self.folder.glob("*.txt") if not path.name.startswith("."))
        self._known = set(self._names)
        if not self._names:
            raise UserError(f"{folder}: expected embeddings <utterance>.txt, found: {describe_folder(folder)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._known:
            raise KeyError(name)
        return read_rows(self.folder / f"{name}.txt")


def open_embeddings(where: str | os.PathLike[str]) -> Mapping[str, np.ndarray]:
    """Embeddings by utterance: of a folder of <utterance>.txt, or of an scp file of Kaldi's arks.

    Raises:
        UserError: neither is there.
    """
    path = Path(where)
    if path.is_dir():
        return TextFolder(path)
    if not path.is_file():
        raise UserError(f"--embeddings: expected a folder of <utterance>.txt or an scp file, found nothing at {where}")
    return ScpReader(path)


def require_files(folder: str | os.PathLike[str], subfolders: Iterable[str], names: Iterable[str]) -> None:
    """UserError unless every utterance has an embedding in each of the subfolders."""
    for name in subfolders:
        there = {path.stem for path in (Path(folder) / name).glob("*.txt")}
        lacking = [utt for utt in names if utt not in there]
        if lacking:
            shown = " ".join(lacking[:5])
            raise UserError(f"{Path(folder) / name}: {len(lacking)} embeddings are missing, run their jobs: {shown}")


def matrix(embeddings: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Rows of one utterance: float64 [N, D], N >= 1 (a vector counts as one column)."""
    rows = np.asarray(embeddings[name], dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.size == 0:
        raise UserError(f"{name}: its embedding is empty; expected at least one row")
    return rows


def require_some(found: int, wanted: list[str], embeddings: Mapping[str, np.ndarray], what: str) -> None:
    """UserError where none of the wanted utterances has an embedding, with names of both kinds."""
    if found == 0 and wanted:
        have = next(iter(embeddings))
        hint = nearest(wanted[0], embeddings)
        raise UserError(f"no embedding is of {what}: it names '{wanted[0]}'{hint}, an embedding is called '{have}'")


class Symbols:
    """Numbers for distinct rows: equal rows (as exact values) have one number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._width: int | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, rows: np.ndarray, name: str) -> np.ndarray:
        """The symbols of rows [N, D]: int32 [N]; UserError where D differs from that of earlier rows."""
        if self._width is None:
            self._width = rows.shape[1]
        if rows.shape[1] != self._width:
            raise UserError(f"{name}: its rows have {rows.shape[1]} values, those of other files {self._width}")
        rows = np.ascontiguousarray(rows, dtype=np.float64) + 0.0  # -0.0 is 0.0
        numbers = self._numbers
        return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows], dtype=np.int32)

    def rows(self) -> np.ndarray:
        """The distinct rows, by number: float64 [symbols, D]."""
        return np.frombuffer(b"".join(self._numbers), dtype=np.float64).reshape(len(self), self._width or 0)
