"""Kaldi arks and scp files. The only module that knows kaldiio.

Arks are written by kaldiio as uncompressed float32. Of binary float matrices and vectors just the rows that are asked
for are read here, because a 128-frame crop then costs microseconds; kaldiio reads whatever else Kaldi writes
(compressed, text). They are read by position (preadv) and not through a memory map: that is as fast, but a map's pages
count as memory of the process, which then seems to hold the whole corpus, and a file that shrinks under it kills it.
Header of a float matrix: NUL 'B' 'FM ' 4 <int32 rows> 4 <int32 columns>, then rows * columns little-endian values;
of a vector: NUL 'B' 'FV ' 4 <int32 size>, then the values ('D' instead of 'F': float64).
"""

import os
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evc2.errors import UserError
from evc2.fileio.atomic import atomic_path
from evc2.fileio.tables import read_table, write_table

_MATRIX, _VECTOR = struct.Struct("<xxxxxxixi"), struct.Struct("<xxxxxxi")


class ArkWriter:
    """Write arrays to an ark and its scp, both under temporary names until all is written.

    Args:
        ark_path: the ark; the scp names it exactly so (relative to the current folder, as in Kaldi).
        scp_path: the index, sorted by key.

    Use as a context manager: `with ArkWriter("a.ark", "a.scp") as writer: writer["utt"] = feats`. On success the ark
    gets its name first and the scp second, so an scp never points to an ark that is not there or is another one. If
    the body or the disk fails, neither appears.
    """

    def __init__(self, ark_path: str | os.PathLike[str], scp_path: str | os.PathLike[str]) -> None:
        self.ark_path, self.scp_path = Path(ark_path), Path(scp_path)
        self._entries: dict[str, str] = {}

    def __enter__(self) -> "ArkWriter":
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.ark_path))
            self._file = stack.enter_context(open(temporary, "wb"))
            self._stack = stack.pop_all()
        return self

    def __setitem__(self, key: str, array: np.ndarray) -> None:
        """Append a vector [N] or matrix [T, D] under `key` as float32.

        Raises:
            UserError: a key that is used already, or an array that is empty or holds NaN or infinity.
            ValueError: a key with white space, or an array with another number of dimensions.
        """
        import kaldiio

        array = np.asarray(array)
        if not key or len(key.split()) != 1 or key != key.strip():
            raise ValueError(f"a key of an ark has no white space: '{key}'")
        if array.ndim not in (1, 2):
            raise ValueError(f"{key}: an ark holds vectors and matrices, not arrays of shape {array.shape}")
        if key in self._entries:
            raise UserError(f"{self.ark_path}: '{key}' is there already; utterance ids must be unique")
        array = np.ascontiguousarray(array, dtype=np.float32)
        if array.size == 0:
            raise UserError(f"{self.ark_path}: '{key}' is empty (shape {array.shape})")
        if not np.isfinite(array).all():
            raise UserError(f"{self.ark_path}: '{key}' contains NaN or infinity")
        offset = self._file.tell() + len(key.encode()) + 1
        kaldiio.save_ark(self._file, {key: array})
        self._entries[key] = f"{self.ark_path}:{offset}"

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            # An scp of an earlier run would point into the new ark at the old offsets.
            self.scp_path.unlink(missing_ok=True)
        self._stack.__exit__(*exc)
        if exc[0] is None:
            write_table(self.scp_path, self._entries)


class _Place(NamedTuple):
    """Where in its ark an array lies."""

    ark: str
    begin: int
    shape: tuple[int, ...]
    dtype: np.dtype
    row: int  # bytes


class _Ark:
    """A file that is open to be read by position, by several threads and forked processes if need be."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.fd).st_size

    def __del__(self) -> None:  # with its last user, which may be another thread than the one that let go of it
        if self.fd >= 0:
            os.close(self.fd)

    def peek(self, begin: int, length: int) -> bytes:
        """As many of these bytes as the file has."""
        return os.pread(self.fd, length, begin)

    def fill(self, array: np.ndarray, begin: int) -> bool:
        """Read a contiguous array from the byte `begin` on; say whether the file has so much."""
        done = os.preadv(self.fd, [array], begin) if array.size else 0
        while done < array.nbytes:  # one call reads 2 GiB at most
            read = os.preadv(self.fd, [memoryview(array).cast("B")[done:]], begin + done)
            if read == 0:
                return False
            done += read
        return True


class ScpReader(Mapping[str, np.ndarray]):
    """Read arrays by key through an scp file (`key ark:offset`), as float32.

    Args:
        path: the scp; several jobs' files may be joined to one with cat and sort.
        max_open: how many arks stay open at once.

    A missing or truncated ark is a UserError that names the file and the key. Safe to pickle and to fork.
    """

    def __init__(self, path: str | os.PathLike[str], max_open: int = 64) -> None:
        self.path = Path(path)
        self._entries = read_table(path)
        self._max_open = max_open
        self._arks: OrderedDict[str, _Ark] = OrderedDict()
        self._places: dict[str, _Place | None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_arks": OrderedDict()}

    def __getitem__(self, key: str) -> np.ndarray:
        """Return the whole array [T, D] or [N], a copy. KeyError for an unknown key; UserError for NaN or infinity."""
        place = self._place(key)
        array = self._read_other(key) if place is None else self._read(key, place, 0, place.shape[0])
        if not np.isfinite(array).all():
            raise UserError(f"{self._where(key)}: contains NaN or infinity; extract these features again")
        return array

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array without reading its values."""
        place = self._place(key)
        return self._read_other(key).shape if place is None else place.shape

    def crop(self, key: str, start: int, length: int) -> np.ndarray:
        """Return rows `start` to `start + length` of an array, a copy that reads no other rows.

        Raises:
            ValueError: the rows are not all within the array.
        """
        place = self._places.get(key) or self._place(key)
        other = self._read_other(key) if place is None else None
        total = place.shape[0] if other is None else len(other)
        if start < 0 or length < 0 or start + length > total:
            raise ValueError(f"{key}: rows {start} to {start + length} are not within its {total}")
        return self._read(key, place, start, length) if other is None else other[start : start + length]

    def close(self) -> None:
        """Close the arks; they open again when needed."""
        self._arks.clear()

    def _where(self, key: str) -> str:
        return f"{self._entries[key]}: '{key}' of {self.path}"

    def _split(self, key: str) -> tuple[str, int]:
        entry = self._entries[key]
        if entry.endswith(("|", "]")) or entry.startswith("|"):
            raise UserError(f"{self._where(key)}: expected `ark:offset`; commands and row ranges are not read here")
        ark, colon, offset = entry.rpartition(":")
        return (ark, int(offset)) if colon and offset.isdecimal() else (entry, 0)

    def _open(self, key: str, ark: str) -> _Ark:
        opened = self._arks.pop(ark, None)  # and in again as the newest: each is one step, so threads do not collide
        if opened is None:
            try:
                opened = _Ark(ark)
            except OSError as error:
                raise UserError(
                    f"{ark}: cannot be read for '{key}' of {self.path}: {error.strerror} "
                    f"(paths in scp files are relative to the current folder, {os.getcwd()})"
                ) from None
            if opened.size == 0:
                raise UserError(f"{ark}: truncated: '{key}' of {self.path} should be in it, but it is empty")
        self._arks[ark] = opened
        if len(self._arks) > self._max_open:
            with suppress(KeyError):  # another thread has just let go of the last one
                self._arks.popitem(last=False)
        return opened

    def _read(self, key: str, place: _Place, start: int, length: int) -> np.ndarray:
        array = np.empty((length, *place.shape[1:]), place.dtype)
        if not self._open(key, place.ark).fill(array, place.begin + start * place.row):
            raise UserError(f"{self._where(key)}: truncated: it has become shorter since it was opened")
        return array.astype(np.float32, copy=False)

    def _place(self, key: str) -> _Place | None:
        """Find an array by its header, once; None for a kind of entry that kaldiio must read."""
        if key not in self._places:
            ark, offset = self._split(key)
            self._places[key] = self._parse(key, ark, offset)
        return self._places[key]

    def _parse(self, key: str, ark: str, offset: int) -> _Place | None:
        opened = self._open(key, ark)
        header = opened.peek(offset, _MATRIX.size)
        kind = header[:5]
        if kind not in (b"\0BFM ", b"\0BDM ", b"\0BFV ", b"\0BDV "):
            if not header:
                raise UserError(f"{self._where(key)}: truncated: the file ends at byte {opened.size}")
            return None
        layout = _MATRIX if kind[3:4] == b"M" else _VECTOR
        if len(header) < layout.size:
            raise UserError(f"{self._where(key)}: truncated: the file ends at byte {opened.size}, in its header")
        shape = layout.unpack(header[: layout.size])
        dtype = np.dtype("<f4" if kind[2:3] == b"F" else "<f8")
        begin = offset + layout.size
        row = dtype.itemsize * (shape[1] if len(shape) > 1 else 1)
        end = begin + shape[0] * row
        if min(shape) < 0 or header[5:6] != b"\4":
            raise UserError(f"{self._where(key)}: not an array (corrupt header); write this ark again")
        if end > opened.size:
            raise UserError(f"{self._where(key)}: truncated: needs {end} bytes, the file has {opened.size}")
        return _Place(sys.intern(ark), begin, shape, dtype, row)  # one name for all of an ark's arrays

    def _read_other(self, key: str) -> np.ndarray:
        from kaldiio.matio import read_kaldi

        ark, offset = self._split(key)
        opened = self._open(key, ark)
        head = opened.peek(offset, 64)
        # kaldiio would unpickle an entry marked PKL, which runs code: only Kaldi's own kinds get there.
        if head[:2] != b"\0B" and not head.lstrip().startswith(b"["):
            raise UserError(f"{self._where(key)}: expected a Kaldi matrix or vector, found something else")
        try:
            with open(ark, "rb") as file:
                file.seek(offset)
                return np.array(read_kaldi(file), dtype=np.float32)
        except Exception as error:  # kaldiio raises whatever the bytes make it stumble over
            raise UserError(f"{self._where(key)}: truncated or corrupt: {type(error).__name__} {error}") from None
