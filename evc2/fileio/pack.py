"""Packs: a trained model in one zip file, with a manifest and checksums. An archive is judged before it is unpacked."""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evc2.errors import UserError
from evc2.fileio.atomic import atomic_path

FORMAT = "evc2-pack"
VERSION = 1
MANIFEST = "manifest.json"
MAX_BYTES = 4 * 2**30
MAX_MANIFEST_BYTES = 2**20
MAX_FILES = 1000
_CHUNK = 2**20
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first date: packs of equal content are equal files


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _name_problem(name: str) -> str | None:
    # Only plain relative names pass; what is special on any system (drives, backslashes, dots) does not.
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "leads outside the pack"
    if not all(_PART.fullmatch(part) for part in name.split("/")):
        return "is not a plain file name"
    return None


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED  # weights hardly shrink, and stored bytes depend on no zlib version
    return info


def write_pack(out: str | os.PathLike[str], files: Mapping[str, str | os.PathLike[str]]) -> None:
    """Write a pack, atomically; equal files give an equal pack, byte by byte.

    Args:
        out: the zip file to write.
        files: name in the pack -> file on disk.

    Raises:
        UserError: a name that open_pack would refuse, or a file that is missing.
    """
    paths = {name: Path(path) for name, path in files.items()}
    for name, path in paths.items():
        if name == MANIFEST or (problem := _name_problem(name)):
            raise UserError(f"{out}: '{name}' cannot be packed: {'it is reserved' if name == MANIFEST else problem}")
        if not path.is_file():
            raise UserError(f"{out}: expected a file to pack as {name}, found none at {path}")
    manifest = {"format": FORMAT, "version": VERSION, "files": {name: _sha256(paths[name]) for name in sorted(paths)}}
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        for name in sorted(paths):
            info = _entry(name)
            info.file_size = paths[name].stat().st_size  # tells zipfile whether it needs the large-file form
            with paths[name].open("rb") as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK)


def _checked_entries(archive: zipfile.ZipFile, path: Path, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise UserError(f"{path}: refused: {len(infos)} files, expected at most {MAX_FILES}")
    for info in infos:
        name = info.orig_filename  # as stored: zipfile's own `filename` is already tidied up
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise UserError(f"{path}: refused: '{name}' is a link")
        if problem := _name_problem(name):
            raise UserError(f"{path}: refused: '{name}' {problem}")
        if kind not in (0, stat.S_IFREG) or info.is_dir():
            raise UserError(f"{path}: refused: '{name}' is not a plain file")
        if info.flag_bits & 0x1:
            raise UserError(f"{path}: refused: '{name}' is encrypted")
        if name.casefold() in seen:
            raise UserError(f"{path}: refused: '{name}' is there twice")
        seen.add(name.casefold())
        entries[name] = info
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise UserError(f"{path}: refused: would unpack to {total} bytes, expected at most {max_bytes}")
    return entries


def _manifest(archive: zipfile.ZipFile, path: Path, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    if MANIFEST not in entries or entries[MANIFEST].file_size > MAX_MANIFEST_BYTES:
        raise UserError(f"{path}: not an evc2 pack: expected a {MANIFEST} in it (`evc2 pack` writes packs)")
    try:
        manifest: Any = json.loads(archive.read(entries[MANIFEST]).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its {MANIFEST} is not JSON: {error}") from None
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path}: not an evc2 pack: expected format '{FORMAT}' in its {MANIFEST}")
    if manifest.get("version") != VERSION:
        raise UserError(
            f"{path}: pack version {manifest.get('version')}, this program reads version {VERSION}; "
            f"use the evc2 release that wrote it, or pack the model again"
        )
    for what, names in (
        ("lacks files of its manifest", set(files) - set(entries)),
        ("holds files that are not in its manifest", set(entries) - set(files) - {MANIFEST}),
    ):
        if names:
            raise UserError(f"{path}: refused: the pack {what}: {', '.join(sorted(names)[:5])}")
    return files


@contextmanager
def open_pack(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """Unpack into a private temporary folder, which is removed at the end.

    Nothing is written before every name, kind and size has been checked; a file whose checksum differs from the
    manifest's is refused. Loading what is inside is still to be done with loaders that run no code.

    Args:
        path: the pack.
        max_bytes: most that its files may take when unpacked.

    Raises:
        UserError: not a pack, damaged, or unsafe: absolute paths, "..", links, folders, names that occur twice or
            are not in the manifest, too large, wrong checksum.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected a pack (a zip file that `evc2 pack` wrote), found nothing")
    with tempfile.TemporaryDirectory(prefix="evc2-pack-") as folder:
        _unpack(path, Path(folder), max_bytes)
        yield Path(folder)


def _unpack(path: Path, folder: Path, max_bytes: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked_entries(archive, path, max_bytes)
            files = _manifest(archive, path, entries)
            for name, expected in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256()
                # zipfile hands out at most the size that the entry declares, and those sizes have been added up.
                with archive.open(entries[name]) as source, target.open("xb") as sink:
                    while chunk := source.read(_CHUNK):
                        digest.update(chunk)
                        sink.write(chunk)
                if digest.hexdigest() != expected:
                    raise UserError(f"{path}: refused: the checksum of '{name}' differs from the manifest's")
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise UserError(f"{path}: not a zip file that can be read, or damaged: {error}") from None
