"""Training state in one file: written whole or not at all, checksummed, the previous one kept until the new one is.

A checkpoint is an ordinary torch archive (``torch.load(path, weights_only=True)`` reads it) followed by a line with
the SHA-256 of everything before it.
"""

import hashlib
import io
import logging
import os
import random
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from evc2.errors import UserError
from evc2.fileio.atomic import atomic_path

MARK = b"\nevc2-sha256:"
TAIL = len(MARK) + 64


class HashingFile(io.RawIOBase):
    """A file that hashes what is written to it; it cannot seek, so torch writes the archive in order."""

    def __init__(self, file: BinaryIO):
        self.file, self.hash = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.file.write(data)
        return len(memoryview(data).cast("B"))


def save(state: dict[str, Any], path: Path) -> None:
    """Write state to path; the file that was there before is kept as ``<stem>.prev<suffix>``.

    At every moment one of the two is whole: the new file gets its name only after it reached the disk, and the old
    one keeps its content under its second name.
    """
    previous = path.with_suffix(f".prev{path.suffix}")
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as f:
            hashing = HashingFile(f)
            torch.save(state, hashing)
            f.write(MARK + hashing.hash.hexdigest().encode())
            f.flush()
            os.fsync(f.fileno())
        if path.exists():
            link = path.with_suffix(".link")
            link.unlink(missing_ok=True)
            try:
                os.link(path, link)
            except OSError:  # a file system without second names: for a moment the old file has only that of before
                link = path
            os.replace(link, previous)


def is_whole(path: Path) -> bool:
    """Whether the file ends with the checksum of its content."""
    digest, left = hashlib.sha256(), path.stat().st_size - TAIL
    if left <= 0:
        return False
    with open(path, "rb") as f:
        while left > 0:
            block = f.read(min(left, 1 << 22))
            if not block:
                return False
            digest.update(block)
            left -= len(block)
        return f.read() == MARK + digest.hexdigest().encode()


def find(path: Path) -> Path | None:
    """The last whole checkpoint: path, or the previous one when path is damaged; None when there is none.

    Raises:
        UserError: files are there but none is whole.
    """
    candidates = [p for p in (path, path.with_suffix(f".prev{path.suffix}")) if p.exists()]
    for candidate in candidates:
        if is_whole(candidate):
            return candidate
        logging.warning("%s is damaged (its checksum does not match); trying an earlier one", candidate)
    if candidates:
        raise UserError(
            f"no whole checkpoint: {', '.join(map(str, candidates))} do not match their checksums; remove them to "
            f"start this phase anew"
        )
    return None


def read(path: Path, device: str = "cpu") -> dict[str, Any]:
    """The state of a checkpoint that :func:`find` found."""
    logging.info("resuming from %s", path)
    return torch.load(path, map_location=device, weights_only=True)


def load(path: Path, device: str = "cpu") -> dict[str, Any] | None:
    """Read what :func:`find` finds; None when there is none."""
    found = find(path)
    return read(found, device) if found else None


def remove_damaged(path: Path) -> None:
    """Remove path if it is damaged, so that the next :func:`save` keeps the previous one, which is whole."""
    if path.exists() and not is_whole(path):
        path.unlink()


def save_model(state_dict: dict[str, torch.Tensor], path: Path) -> None:
    """Write a plain state dict, whole or not at all."""
    # To a file of Python's: torch's own hides that a disk is full, and puts the temporary name into the archive.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(state_dict, file)


def link(path: Path, target: str) -> None:
    """Point the symbolic link at target in one step."""
    temporary = path.with_name(f".{path.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)


def get_rng_state() -> dict[str, Any]:
    """The state of Python's, NumPy's and torch's generators, in types that load without pickled code."""
    numpy_state = np.random.get_state()
    state = {
        "python": list(random.getstate()[1]),
        "numpy": torch.from_numpy(numpy_state[1].astype(np.int64)),
        "numpy_pos": [int(numpy_state[2]), int(numpy_state[3]), float(numpy_state[4])],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore what get_rng_state returned."""
    random.setstate((3, tuple(state["python"]), None))
    numpy_state = state["numpy"].cpu().numpy().astype(np.uint32)
    np.random.set_state(("MT19937", numpy_state, *state["numpy_pos"]))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def average(paths: list[Path], leave: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """Mean of the floating-point tensors of several state dicts; buffers of whole numbers, and what begins with one of
    ``leave``, come from the first.
    """
    total = torch.load(paths[0], map_location="cpu", weights_only=True)
    names = [name for name, v in total.items() if v.is_floating_point() and not name.startswith(leave)]
    for path in paths[1:]:
        other = torch.load(path, map_location="cpu", weights_only=True)
        for name in names:
            total[name] += other[name]
    return {**total, **{name: total[name] / len(paths) for name in names}}
