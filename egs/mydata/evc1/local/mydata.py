#!/usr/bin/env python3
"""A folder of one's own recordings, DB/<speaker>/<emotion>/*.wav, as a manifest for evc2.bin.make_data.

Transcripts are optional: a text file beside a recording (take1.wav, take1.txt), or one DB/transcripts.tsv with lines
`relative path<TAB>text`.
"""

import logging
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError, nearest
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest
from evc2.fileio.trials import EMOTIONS

HOW = "Give a folder with <speaker>/<emotion>/*.wav, e.g. DB/anna/angry/take1.wav, as --db_root (see README.md)."
AUDIO = (".wav", ".flac", ".ogg", ".mp3")
SYNONYMS = {
    "normal": "neutral",
    "neu": "neutral",
    "relaxed": "calm",
    "joy": "happy",
    "joyful": "happy",
    "happiness": "happy",
    "hap": "happy",
    "sadness": "sad",
    "anger": "angry",
    "ang": "angry",
    "fear": "fearful",
    "afraid": "fearful",
    "disgusted": "disgust",
    "surprise": "surprised",
    "excitement": "excited",
    "frustration": "frustrated",
    "boredom": "bored",
}


def emotion_of(folder: str) -> str | None:
    """Return the emotion that a folder's name means, in any case, or None."""
    name = folder.strip().lower()
    return SYNONYMS.get(name, name if name in EMOTIONS else None)


def read_text(path: Path) -> str:
    """Return a text file's words in one line; a file that is not UTF-8 is a UserError."""
    try:
        return " ".join(path.read_bytes().decode("utf-8-sig").split())
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as UTF-8") from None


def read_transcripts(root: Path) -> dict[str, str]:
    """Return relative path -> text of transcripts.tsv, {} without that file; a malformed line is a UserError."""
    path = root / "transcripts.tsv"
    if not path.is_file():
        return {}
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save it as UTF-8") from None
    texts = {}
    for number, line in enumerate(lines, 1):
        name, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab:
            raise UserError(f"{path}:{number}: expected `relative path<TAB>text`, found '{line}'")
        texts[_plain(name.strip())] = " ".join(text.split())
    unused = sorted(name for name in texts if not (root / name).exists() and name != "path")
    if unused:
        logging.warning("%s: %d lines name no file: %s ...", path, len(unused), unused[0])
    return texts


def _plain(name: str) -> str:
    # Some systems store letters with accents in two parts; ids and look-ups need one form.
    return unicodedata.normalize("NFC", name)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def read_corpus(root: Path) -> list[Utterance]:
    """Return the recordings under `root`.

    Raises:
        UserError: another layout, an unknown emotion, or two recordings that would get one id.
    """
    texts = read_transcripts(root)
    found: dict[str, Utterance] = {}
    ignored = 0
    for person in _folders(root):
        if emotion_of(person.name) and not any(emotion_of(folder.name) for folder in _folders(person)):
            raise UserError(f"{person}: expected a speaker's folder, found an emotion's; put it into one. {HOW}")
        speaker = re.sub(r"\W", "_", _plain(person.name))
        for folder in _folders(person):
            emotion = emotion_of(folder.name)
            if emotion is None:
                known = (*EMOTIONS, *SYNONYMS)
                raise UserError(
                    f"{folder}: unknown emotion '{folder.name}'{nearest(folder.name.lower(), known)}; "
                    f"known: {' '.join(EMOTIONS)}"
                )
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() not in AUDIO or path.parent != folder or path.name.startswith("."):
                    ignored += path.suffix.lower() in AUDIO and path.is_file() and not path.name.startswith(".")
                    continue
                utt = f"{speaker}-{emotion}-{re.sub(r'[^-.\w]', '_', _plain(path.stem))}"
                if utt in found:
                    raise UserError(f"{path} and {found[utt].path} would both be '{utt}'; rename one of them")
                beside = path.with_suffix(".txt")
                listed = texts.get(_plain(path.relative_to(root).as_posix()), "")
                text = read_text(beside) if beside.is_file() else listed
                found[utt] = Utterance(utt, speaker, emotion, "", str(path), text)
    if ignored:
        logging.warning("%d audio files lie in folders below an emotion's and are not used", ignored)
    if not found:
        raise UserError(f"{root}: expected <speaker>/<emotion>/*.wav, found: {describe_folder(root)}. {HOW}")
    silent = sum(not row.text for row in found.values())
    logging.info("%d recordings, %d without a transcript", len(found), silent)
    return list(found.values())


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help="folder with <speaker>/<emotion>/*.wav")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    write_manifest(args.manifest, read_corpus(require_folder(args.db_root, "your recordings", HOW)))


if __name__ == "__main__":
    run(main)
