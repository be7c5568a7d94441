"""Files that appear under their final name only when they are complete."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evc2.errors import UserError


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced to disk and renamed to `path`.

    The temporary name keeps the suffix (writers choose the format by it) and starts with a dot. When the body fails,
    also by a full disk, the temporary file is removed and `path` stays as it was. Missing folders are made.

    Raises:
        UserError: `path` is a folder or a device.
        FileNotFoundError: the body did not write the file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: expected a file to write, found a folder or a device; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name holds random bytes of the system, not of `random`: two jobs with one seed must not meet.
    temporary = path.with_name(f".{path.stem[:150]}.{os.getpid()}-{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)  # the rename itself must survive a power cut


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, atomically. An OSError names `path`."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused (ValueError): JSON has neither."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
