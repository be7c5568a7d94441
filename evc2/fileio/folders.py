"""A folder of somebody's recordings with a folder for each speaker (or instrument), and the transcripts beside them.

Transcripts are optional: a text file beside a recording (take1.wav, take1.txt), or one transcripts.tsv in the top
folder with lines `relative path<TAB>text`.
"""

import logging
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.manifest import Utterance, describe_folder

AUDIO = (".wav", ".flac", ".ogg", ".mp3")
TRANSCRIPTS = "transcripts.tsv"


def plain(name: str) -> str:
    """Return a file's name in one form: some systems store letters with accents in two parts."""
    return unicodedata.normalize("NFC", name)


def as_speaker(name: str) -> str:
    """Return a folder's name as a speaker's id: letters, digits and _."""
    return re.sub(r"\W", "_", plain(name))


def as_id(name: str) -> str:
    """Return a file's name as a part of an utterance's id: letters, digits, _ . and -."""
    return re.sub(r"[^-.\w]", "_", plain(name))


def subfolders(path: Path) -> list[Path]:
    """Return the folders right in `path` in the order of their names, without hidden ones."""
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def is_audio(path: Path) -> bool:
    """Say whether the name is that of a recording that is not hidden."""
    return path.suffix.lower() in AUDIO and not path.name.startswith(".")


def _decoded(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as UTF-8") from None


def read_transcripts(root: Path) -> dict[str, str]:
    """Return relative path -> text of root/transcripts.tsv, {} without that file; a malformed line is a UserError."""
    path = root / TRANSCRIPTS
    if not path.is_file():
        return {}
    texts = {}
    for number, line in enumerate(_decoded(path).splitlines(), 1):
        name, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab:
            raise UserError(f"{path}:{number}: expected `relative path<TAB>text`, found '{line}'")
        texts[plain(name.strip())] = " ".join(text.split())
    unused = sorted(name for name in texts if not (root / name).exists() and name != "path")
    if unused:
        logging.warning("%s: %d lines name no file: %s ...", path, len(unused), unused[0])
    return texts


def text_of(path: Path, root: Path, texts: Mapping[str, str]) -> str:
    """Return what is said in a recording below `root`: the text file beside it, else `texts`, else ""."""
    beside = path.with_suffix(".txt")
    if beside.is_file():
        return " ".join(_decoded(beside).split())
    return texts.get(plain(path.relative_to(root).as_posix()), "")


def add_once(found: dict[str, Utterance], row: Utterance) -> None:
    """Add an utterance under its id; a second one of that id is a UserError that names both files."""
    if row.utt in found:
        raise UserError(f"{row.path} and {found[row.utt].path} would both be '{row.utt}'; rename one of them")
    found[row.utt] = row


def report(found: Mapping[str, Utterance]) -> None:
    """Log how many recordings there are, and how many of them without a transcript."""
    silent = sum(not row.text for row in found.values())
    logging.info("%d recordings, %d without a transcript", len(found), silent)


def read_folders(root: Path, same_names: bool = False) -> list[Utterance]:
    """Return the recordings ROOT/<speaker>/**/*.{wav,flac,ogg,mp3}, all of them neutral.

    An id is `<speaker>-<path below the speaker's folder, - between folders>` without suffix: anna-takes-001 for
    anna/takes/001.wav. Characters that ids cannot hold become _.

    Args:
        root: the top folder.
        same_names: recordings of one name (without folders and suffix) say the same words, whoever says them.

    Raises:
        UserError: another layout, or two recordings or speakers that would get one id.
    """
    texts = read_transcripts(root)
    found: dict[str, Utterance] = {}
    speakers: dict[str, Path] = {}
    for folder in subfolders(root):
        rows = sorted(path for path in folder.rglob("*") if is_audio(path) and path.is_file())
        rows = [path for path in rows if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
        speaker = as_speaker(folder.name)
        if rows and speakers.setdefault(speaker, folder) != folder:
            raise UserError(f"{folder} and {speakers[speaker]} would both be speaker '{speaker}'; rename one of them")
        for path in rows:
            name = as_id("-".join(path.relative_to(folder).with_suffix("").parts))
            sentence = as_id(path.stem) if same_names else ""
            text = text_of(path, root, texts)
            add_once(found, Utterance(f"{speaker}-{name}", speaker, "neutral", "", str(path), text, sentence=sentence))
    if not found:
        raise UserError(f"{root}: expected <speaker>/*.wav (or flac, ogg, mp3), found: {describe_folder(root)}")
    report(found)
    return list(found.values())
