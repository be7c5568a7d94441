"""What a validator of ZeroSpeech's 2019 track would refuse in a submission, all of it at once.

Checked as the public validator does: the tree, keys and kinds of metadata, required files, numbers and columns of
embeddings, rules of auxiliary embeddings, code; and the format of the wavs, as the instructions have it.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evc2.errors import UserError
from evc2.evaluate.zerospeech.embeddings import parse_rows
from evc2.evaluate.zerospeech.submission import (
    AUXILIARY,
    AUXILIARY_KEYS,
    DISTANCES,
    LANGUAGES,
    RATE,
    TOP_KEYS,
    TRACK_KEYS,
)
from evc2.fileio.tables import rows

_NAMED = 5
"""Files of one kind of problem that are named; the rest is counted."""


def read_required(path: str | os.PathLike[str], language: str) -> list[str]:
    """Names below 2019/ of a list such as the official required_filelist: `english/test/S002_1.txt`, a line each.

    A name without folders is one of <language>/test. A second word of a line (seconds) is ignored.
    """
    found = [name if "/" in name else f"{language}/test/{name}" for _, name, _ in rows(path)]
    if not found:
        raise UserError(f"{path}: empty; expected names of required files, one a line")
    return found


class Tree:
    """The files of a submission, of a folder or of a zip archive: ``names`` with / between folders, and `read`.

    Raises:
        UserError: neither a folder nor a zip archive.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            found = (p for p in self.path.rglob("*") if p.is_file())
            self.names = sorted(p.relative_to(self.path).as_posix() for p in found)
        elif zipfile.is_zipfile(self.path):
            self._zip = zipfile.ZipFile(self.path)
            self.names = sorted(name for name in self._zip.namelist() if not name.endswith("/"))
        else:
            what = "found a file of another kind" if self.path.exists() else "found nothing"
            raise UserError(f"{self.path}: expected a submission, a folder or a zip archive; {what}")

    def read(self, name: str) -> bytes:
        """Content of a file; UserError where a zip archive is damaged."""
        if self._zip is None:
            return (self.path / name).read_bytes()
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise UserError(f"{self.path}: {name}: cannot be read: {error}") from None

    def folder(self, *parts: str) -> list[str]:
        """Names of the files right in a folder."""
        start = "".join(f"{part}/" for part in parts)
        return [name[len(start) :] for name in self.names if name.startswith(start) and "/" not in name[len(start) :]]

    def subfolders(self, *parts: str) -> set[str]:
        """Names of the folders right in a folder."""
        start = "".join(f"{part}/" for part in parts)
        below = (name[len(start) :] for name in self.names if name.startswith(start))
        return {name.split("/")[0] for name in below if "/" in name}


def validate(
    path: str | os.PathLike[str],
    languages: Sequence[str] = LANGUAGES,
    required: Iterable[str] = (),
) -> list[str]:
    """Everything that is wrong with a submission, a sentence each; an empty list for a valid one.

    Args:
        path: folder or zip archive.
        languages: those that it must have; the challenge wants both.
        required: names below 2019/ that must be there. Files of other languages are not asked for.

    Raises:
        UserError: not a submission at all.
    """
    tree, problems = Tree(path), []
    top = {*tree.folder(), *tree.subfolders()}
    for name in sorted(top - {"metadata.yaml", "2017", "2019"}):
        problems.append(f"{name}: not expected; the top folder has metadata.yaml and 2019/ (the zip has no other root)")
    if "2019" not in tree.subfolders():
        return [*problems, "2019/ is missing"]
    about = _metadata(tree, "metadata.yaml", TOP_KEYS, {}, problems)
    inside = {*tree.folder("2019"), *tree.subfolders("2019")}
    for name in sorted(inside - {"metadata.yaml", "code", *LANGUAGES}):
        problems.append(f"2019/{name}: not expected; found beside metadata.yaml, code/, {', '.join(LANGUAGES)}")
    _code(tree, about, problems)
    there = {name: [x for x in languages if name in tree.subfolders("2019", x)] for name in AUXILIARY}
    for name, found in there.items():
        if found and len(found) < len(languages):
            problems.append(f"2019/{found[0]}/{name} is there, but not that of the other language")
    if there[AUXILIARY[1]] and not there[AUXILIARY[0]]:
        problems.append(f"{AUXILIARY[1]} is there without {AUXILIARY[0]}")
    needed = {AUXILIARY_KEYS[name]: str for name, found in there.items() if found}
    optional = {key: str for key in AUXILIARY_KEYS.values() if key not in needed}
    track = _metadata(tree, "2019/metadata.yaml", {**TRACK_KEYS, **needed}, optional, problems)
    distance = track.get("abx distance")
    if isinstance(distance, str) and distance not in DISTANCES:
        problems.append(f"2019/metadata.yaml: 'abx distance' is '{distance}', expected {', '.join(DISTANCES)}")
    required = [name for name in required if name.split("/")[0] in languages]
    lacking = sorted(set(required) - {name.removeprefix("2019/") for name in tree.names})
    _group(problems, lacking, "required files are missing")
    for language in languages:
        _language(tree, language, [name for name in AUXILIARY if language in there[name]], problems)
    return problems


def _group(problems: list[str], names: Sequence[str], what: str) -> None:
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        problems.append(f"{len(names)} {what}: {' '.join(names[:_NAMED])}{more}")


def _metadata(
    tree: Tree,
    name: str,
    needed: Mapping[str, type | None],
    optional: Mapping[str, type | None],
    problems: list[str],
) -> dict[str, Any]:
    """The content of a metadata.yaml as far as there is one; what is wrong with it is added to the problems."""
    import yaml

    if name not in tree.names:
        problems.append(f"{name} is missing")
        return {}
    try:
        content = yaml.safe_load(tree.read(name).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        problems.append(f"{name}: expected YAML lines of `key: value`")
        return {}
    known = {**needed, **optional}
    lacking, extra = [key for key in needed if key not in content], [str(key) for key in content if key not in known]
    if lacking:
        problems.append(f"{name}: lacks {', '.join(repr(key) for key in lacking)}")
    if extra:
        problems.append(f"{name}: has keys that are not allowed: {', '.join(repr(key) for key in extra)}")
    for key, kind in known.items():
        value = content.get(key)
        if key in content and (value is None or kind is not None and not isinstance(value, kind)):
            expected = "a value" if kind is None else "true or false" if kind is bool else "a text"
            problems.append(f"{name}: '{key}': expected {expected}, found {value!r}")
    return content


def _code(tree: Tree, about: Mapping[str, Any], problems: list[str]) -> None:
    there = any(name.startswith("2019/code/") for name in tree.names)
    if about.get("open source") is True and not there:
        problems.append("2019/code/ is missing or empty, although 'open source' is true")
    if about.get("open source") is False and there:
        problems.append("2019/code/ has files, although 'open source' is false")


def _language(tree: Tree, language: str, auxiliary: Sequence[str], problems: list[str]) -> None:
    if language not in tree.subfolders("2019"):
        problems.append(f"2019/{language}/ is missing (a submission has both languages)")
        return
    where = f"2019/{language}"
    others = {*tree.folder("2019", language), *tree.subfolders("2019", language)} - {"test", *AUXILIARY}
    for name in sorted(others):
        problems.append(f"{where}/{name}: not expected; found beside test/ and {', '.join(AUXILIARY)}")
    files = tree.folder("2019", language, "test")
    texts = [name for name in files if name.endswith(".txt")]
    if not texts:
        problems.append(f"{where}/test: no embedding")
    strange = sorted(set(files) - set(texts) - {name for name in files if name.endswith(".wav")})
    _group(problems, strange, f"files in {where}/test are neither .txt nor .wav")
    _embeddings(tree, f"{where}/test", texts, problems)
    for name in auxiliary:
        own = tree.folder("2019", language, name)
        _group(problems, sorted(set(texts) - set(own)), f"embeddings of {where}/test are not in {name}")
        _group(problems, sorted(set(own) - set(texts)), f"files in {where}/{name} have no counterpart in test")
        _embeddings(tree, f"{where}/{name}", [x for x in own if x.endswith(".txt")], problems)
    for name in files:
        if name.endswith(".wav"):
            _check(problems, lambda name=name: _wav(f"{where}/test/{name}", tree.read(f"{where}/test/{name}")))


def _check(problems: list[str], action: Callable[[], Any]) -> Any:
    try:
        return action()
    except UserError as error:
        problems.append(str(error))
        return None


def _embeddings(tree: Tree, folder: str, names: Iterable[str], problems: list[str]) -> None:
    widths: dict[int, list[str]] = {}
    for name in names:
        where = f"{folder}/{name}"

        def parse(where: str = where) -> int:
            try:
                text = tree.read(where).decode("ascii")
            except UnicodeDecodeError:
                raise UserError(f"{where}: not ASCII; expected lines of numbers") from None
            return parse_rows(text, where).shape[1]

        width = _check(problems, parse)
        if width is not None:
            widths.setdefault(width, []).append(name)
    most = max(widths.values(), key=len, default=[])
    for width, found in widths.items():
        if found is not most:
            _group(problems, found, f"files of {folder} have {width} columns, unlike the others")


def _wav(where: str, content: bytes) -> None:
    import soundfile

    try:
        info = soundfile.info(io.BytesIO(content))
    except soundfile.SoundFileError:
        raise UserError(f"{where}: cannot be read as a wav") from None
    found = (info.format, info.subtype, info.samplerate, info.channels)
    if found != ("WAV", "PCM_16", RATE, 1):
        raise UserError(
            f"{where}: expected a wav of 16-bit PCM, {RATE} Hz, one channel; found {info.format} {info.subtype}, "
            f"{info.samplerate} Hz, {info.channels} channels"
        )
    if info.frames == 0:
        raise UserError(f"{where}: empty")
