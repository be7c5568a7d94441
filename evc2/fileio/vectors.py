"""Vectors that another program computed, by speaker or by utterance: .scp, .ark, .npz, or a folder of .npy files."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.fileio.ark import ScpReader

SUFFIXES = ("-spker_embed", "")
"""What follows the speaker in the names of a folder's .npy files: the first is that of published preprocessors."""


def read_vectors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read one vector a key. A matrix of one row, as published embeddings are stored, counts as a vector.

    Args:
        path: an scp (`key ark:offset`), an ark, an .npz whose arrays are named by key, or a folder of `<key>.npy` or
            `<key>-spker_embed.npy`.

    Returns:
        Key -> float32 [D], one D for all.

    Raises:
        UserError: nothing there or nothing readable, pickled objects (never run), different sizes, no numbers, NaN or
            infinity, a vector of zeros.
    """
    path = Path(path)
    found = {key: _vector(f"{path}: {key}", array) for key, array in _arrays(path).items()}
    sizes = {len(vector): key for key, vector in found.items()}
    if len(sizes) > 1:
        examples = ", ".join(f"{size} ({key})" for size, key in sorted(sizes.items())[:4])
        raise UserError(f"{path}: expected vectors of one size, found {examples}; they are not of one kind")
    return found


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise UserError(f"{path}: expected vectors (.scp, .ark, .npz, or a folder of .npy files), found nothing")
    if path.suffix == ".scp":
        return ScpReader(path)
    if path.suffix == ".ark":
        return _ark(path)
    if path.suffix == ".npz":
        with _loaded(path) as file:
            return {key: _member(path, file, key) for key in file.files}
    raise UserError(f"{path}: expected vectors as .scp, .ark or .npz, or a folder of .npy files")


def _ark(path: Path) -> dict[str, np.ndarray]:
    # Without an scp an ark is read from front to back: key, blank, header (see evc2/fileio/ark.py), values.
    content, at, found = path.read_bytes(), 0, {}
    while at < len(content):
        blank = content.find(b" ", at)
        header = content[blank + 1 : blank + 6]
        try:
            key = content[at:blank].decode()
            layout = {b"V": "<xi", b"M": "<xixi"}[header[3:4]]
            dtype = np.dtype({b"\0BF": "<f4", b"\0BD": "<f8"}[header[:3]])
            shape = struct.unpack_from(layout, content, blank + 6)
            begin = blank + 6 + struct.calcsize(layout)
            found[key] = np.frombuffer(content, dtype, int(np.prod(shape, dtype=np.int64)), begin).reshape(shape)
        except (KeyError, ValueError, struct.error, UnicodeDecodeError):
            raise UserError(
                f"{path}: expected uncompressed float vectors, found something else or a truncated file at byte {at}; "
                f"give its .scp instead, where there is one"
            ) from None
        at = begin + found[key].nbytes
    if not found:
        raise UserError(f"{path}: empty; expected vectors")
    return found


def _folder(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    names: dict[str, str] = {}
    for file in sorted(path.glob("*.npy")):
        suffix = next(suffix for suffix in SUFFIXES if file.stem.endswith(suffix))
        key = file.stem.removesuffix(suffix)
        if key in names:
            raise UserError(f"{path}: both {names[key]} and {file.name} are of '{key}'; move one away")
        names[key], found[key] = file.name, _loaded(file)
    if not found:
        raise UserError(f"{path}: expected files <speaker>.npy or <speaker>-spker_embed.npy, found none")
    return found


def _loaded(path: Path):
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as plain numbers of numpy: {' '.join(str(error).split())}") from None


def _member(path: Path, file, key: str) -> np.ndarray:
    try:
        return file[key]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {key}: cannot be read: {' '.join(str(error).split())}") from None


def _vector(where: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu" or array.size == 0 or array.size != max(array.shape, default=0):
        raise UserError(f"{where}: expected one vector of numbers, found {array.dtype} of shape {array.shape}")
    vector = array.astype(np.float32).ravel()
    if not np.isfinite(vector).all() or not vector.any():
        raise UserError(f"{where}: expected a vector of finite numbers that are not all 0")
    return vector
