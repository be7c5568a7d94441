"""Files that appear under their final name only when they are complete."""

import errno
import json
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evc2.errors import UserError

_HOST = f"{zlib.crc32(os.uname().nodename.encode()):08x}"
_UNFINISHED = re.compile(r"\..+\.(?P<pid>\d+)-(?P<host>[0-9a-f]{8})-[0-9a-f]{8}(\.[^.]+)?")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of writing to a file that is open: nobody names it
_FORGOTTEN = 86400.0  # seconds without a change after which a file of another machine counts as left over


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def atomic_path(path: str | os.PathLike[str], sync_folder: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced to disk and renamed to `path`.

    The temporary name keeps the suffix (writers choose the format by it) and starts with a dot. When the body fails,
    also by a full disk, the temporary file is removed and `path` stays as it was. Missing folders are made.

    Args:
        path: the file; its folder is made where it is missing.
        sync_folder: whether the new name is on the disk, too, at the end. Who writes many files into one folder may
            :func:`sync` that once, after the last and before anything refers to them.

    Raises:
        UserError: `path` is a folder or a device.
        FileNotFoundError: the body did not write the file.
        OSError: the machine cannot write it (no space, no right, ...); names `path`, not the temporary file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: expected a file to write, found a folder or a device; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Process and machine, so that others can tell what a dead one left (remove_leftovers). The random bytes are the
    # system's, not of `random`: two jobs with one seed must not meet.
    temporary = path.with_name(f".{path.stem[:150]}.{os.getpid()}-{_HOST}-{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        _unlink(temporary)
        _name(error, path, temporary)
        raise
    if sync_folder:
        sync(path.parent)  # the rename itself must survive a power cut


def _name(error: BaseException, path: Path, temporary: Path) -> None:
    """Have an OSError of writing `temporary` name `path`; raise the one that is hidden behind another error."""
    if isinstance(error, OSError):
        unnamed = error.filename is None and error.errno in _NO_ROOM
        if unnamed or str(error.filename) == str(temporary):
            error.filename, error.filename2 = os.fspath(path), None
    elif isinstance(error, RuntimeError):  # torch's, which closes its archive once more after a failed write
        behind = error.__context__
        if isinstance(behind, OSError) and behind.errno in _NO_ROOM:
            raise OSError(behind.errno, behind.strerror, os.fspath(path)) from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # a read-only disk; the error that led here is the one to tell


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    try:  # one that nobody has waited for yet (a zombie) writes no more
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return True  # a system without /proc


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Remove the temporary files of atomic_path below `folder` that killed processes left; return how many there were.

    Files of living processes of this machine stay; so do those of other machines (of a cluster, which see the same
    folder) that changed within a day. One that cannot be removed stays, too: it is in nobody's way.
    """
    count = 0
    for top, _, names in os.walk(folder):
        for name in names:
            found = _UNFINISHED.fullmatch(name) if name[0] == "." else None
            if found is None or (found["host"] == _HOST and _alive(int(found["pid"]))):
                continue
            path = Path(top, name)
            try:
                if found["host"] == _HOST or time.time() - path.stat().st_mtime > _FORGOTTEN:
                    path.unlink()
                    count += 1
            except OSError:
                pass
    return count


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, atomically. An OSError names `path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused (ValueError): JSON has neither."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
