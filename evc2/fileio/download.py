"""Fetching a public corpus: downloads that go on where they stopped, checked, and archives that cannot do harm."""

import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from evc2.errors import UserError, nearest
from evc2.fileio.corpus import atomic_folder

_BLOCK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte before a connection counts as broken
_NETWORK = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(
    url: str,
    path: str | os.PathLike[str],
    md5: str | None = None,
    size: int | None = None,
    attempts: int = 5,
    wait: float = 2.0,
) -> Path:
    """Download `url` to `path`, going on where an earlier call stopped (HTTP Range).

    What has come so far lies in `<path>.part`; the file gets its name only when it is complete and checked. A file
    that is already there with the right size and sum is not fetched again.

    Args:
        url: http or https address.
        path: the file to write.
        md5: expected checksum in hex; None checks the length only.
        size: expected length in bytes; None takes the server's word.
        attempts: how often a broken connection is tried again before giving up.
        wait: seconds before the second attempt, twice as many before each later one.

    Raises:
        UserError: another scheme, no connection, the server refuses, or the content is not the expected one (the
            part is removed then, so that the next call starts anew).
    """
    path = Path(path)
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"{url}: expected an http or https address")
    if path.is_file() and (md5 or size is not None):
        problem = _mismatch(path, md5, size)
        if problem is None:
            return path
        logging.warning("%s: %s; fetching it again", path, problem)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    had = part.stat().st_size if part.exists() else 0
    _fetch_part(url, part, size, attempts, wait)
    problem = _mismatch(part, md5, size)
    if problem is not None and had:
        # The first piece may be of another version of the file, or damaged: one try from the beginning.
        logging.warning("%s: %s; starting anew", part, problem)
        part.unlink()
        _fetch_part(url, part, size, attempts, wait)
        problem = _mismatch(part, md5, size)
    if problem is not None:
        part.unlink()
        raise UserError(f"{url}: {problem}; the download was removed. Try again, or check the address and the checksum")
    os.replace(part, path)
    return path


def _mismatch(path: Path, md5: str | None, size: int | None) -> str | None:
    found = path.stat().st_size
    if size is not None and found != size:
        return f"expected {size} bytes, found {found}"
    if md5:
        digest = hashlib.md5(usedforsecurity=False)  # the sum that Zenodo publishes; guards against damage
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != md5.lower():
            return f"expected md5 {md5.lower()}, found {digest.hexdigest()}"
    return None


def _fetch_part(url: str, part: Path, size: int | None, attempts: int, wait: float) -> None:
    for attempt in range(attempts):
        before = part.stat().st_size if part.exists() else 0
        try:
            if not (size is not None and before == size):
                _append(url, part)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:
                # Nothing beyond what we have: complete, or a part that is too long (the check tells).
                return
            if error.code < 500 and error.code != 429:
                raise UserError(f"{url}: the server answers {error.code} {error.reason}") from None
            problem: Exception = error
        except _NETWORK as error:
            problem = error
        if attempt + 1 < attempts:
            seconds = wait * 2**attempt
            logging.warning("%s: %s; going on in %.0f s", url, _words(problem), seconds)
            time.sleep(seconds)
    raise UserError(
        f"{url}: cannot be fetched ({_words(problem)}). What has come so far is kept in {part}; "
        "run the same command again to go on"
    )


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__


def _append(url: str, part: Path) -> None:
    """Ask for what is missing of `part` and add it; a connection that ends too early raises IncompleteRead."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        if urllib.parse.urlsplit(answer.url).scheme not in ("http", "https"):
            raise UserError(f"{url}: leads to {answer.url}, which is no http address")
        if answer.status == 206:
            match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if not match or int(match[1]) != have:
                raise UserError(f"{url}: the server answers with another range than asked for; remove {part} and retry")
        else:
            have = 0  # a server without ranges sends all of it again
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with part.open("ab" if have else "wb") as stream:
            _copy(answer, stream, have, total, part.name)
    if total is not None and part.stat().st_size < total:
        raise http.client.IncompleteRead(b"", total - part.stat().st_size)


def _copy(source: IO[bytes], target: IO[bytes], done: int, total: int | None, name: str) -> None:
    told = time.monotonic()
    while block := source.read(_BLOCK):
        target.write(block)
        done += len(block)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            share = f" of {total / 1e6:.0f}" if total else ""
            logging.info("%s: %.0f%s MB", name, done / 1e6, share)


def zenodo_file(record: str, name: str) -> tuple[str, str | None, int | None]:
    """Ask a Zenodo record for one of its files.

    Args:
        record: address of the record's API, e.g. https://zenodo.org/api/records/1188976.
        name: the file's name in the record.

    Returns:
        Address, md5 (hex) and size in bytes, as the record gives them.

    Raises:
        UserError: the record cannot be read, or has no such file.
    """
    if urllib.parse.urlsplit(record).scheme not in ("http", "https"):
        raise UserError(f"{record}: expected an http or https address")
    try:
        with urllib.request.urlopen(record, timeout=_TIMEOUT) as answer:
            content = json.load(answer)
        files = {str(item["key"]): item for item in content["files"]}
    except (*_NETWORK, OSError) as error:
        raise UserError(f"{record}: cannot be read ({_words(error)}); is this machine connected?") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{record}: expected a Zenodo record with a list `files`, found something else") from None
    if name not in files:
        raise UserError(f"{record}: no file '{name}'{nearest(name, files)}; found: {' '.join(sorted(files))}")
    item = files[name]
    kind, _, digest = str(item.get("checksum", "")).partition(":")
    size = item.get("size")
    links = item.get("links") if isinstance(item.get("links"), dict) else {}
    return (
        str(links.get("self", "")),
        digest if kind == "md5" and digest else None,
        size if isinstance(size, int) else None,
    )


def check_member(archive: object, name: str) -> PurePosixPath:
    """Return the path of an archive's member; one that leads out of the archive's folder is a UserError."""
    path = PurePosixPath(name)
    # A backslash or a drive letter means a folder on Windows, whatever it means here.
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise UserError(f"{archive}: refused: the member '{name}' leads out of the folder it is unpacked into")
    return path


def _zip_members(archive: Path, stream: zipfile.ZipFile) -> Iterator[tuple[PurePosixPath, IO[bytes] | None]]:
    for item in stream.infolist():
        kind = stat.S_IFMT(item.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{archive}: refused: the member '{item.filename}' is a link or a device")
        yield check_member(archive, item.filename), None if item.is_dir() else stream.open(item)


def _tar_members(archive: Path, stream: tarfile.TarFile) -> Iterator[tuple[PurePosixPath, IO[bytes] | None]]:
    for item in stream:
        if not (item.isreg() or item.isdir()):
            raise UserError(f"{archive}: refused: the member '{item.name}' is a link or a device")
        yield check_member(archive, item.name), None if item.isdir() else stream.extractfile(item)


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Unpack a zip or tar archive into a new folder, all of it or nothing.

    Args:
        archive: zip, tar, tar.gz, tar.bz2 or tar.xz, known by its content.
        folder: the folder to make; it must not exist or be empty.

    Raises:
        UserError: no such file, not an archive, a damaged one, or one with an absolute path, `..`, a link or a device.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise UserError(f"{archive}: no such file")
    try:
        with atomic_folder(folder) as new:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as stream:
                    _write(new, _zip_members(archive, stream))
            elif tarfile.is_tarfile(archive):
                with tarfile.open(archive) as stream:
                    _write(new, _tar_members(archive, stream))
            else:
                raise UserError(f"{archive}: expected a zip or tar archive, found something else")
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{archive}: refused: two members have one name") from None
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # zipfile raises RuntimeError for an encrypted member and NotImplementedError for an unknown compression.
        raise UserError(f"{archive}: damaged or not readable ({error}); remove it and fetch it again") from None
    return folder


def _write(folder: Path, members: Iterable[tuple[PurePosixPath, IO[bytes] | None]]) -> None:
    for name, source in members:
        target = folder / name
        if source is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("xb") as stream:
            shutil.copyfileobj(source, stream, _BLOCK)
