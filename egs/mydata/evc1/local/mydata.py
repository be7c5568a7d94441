#!/usr/bin/env python3
"""A folder of one's own recordings, DB/<speaker>/<emotion>/*.wav, as a manifest for evc2.bin.make_data.

Transcripts are optional: a text file beside a recording (take1.wav, take1.txt), or one DB/transcripts.tsv with lines
`relative path<TAB>text`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError, nearest
from evc2.fileio.folders import add_once, as_id, as_speaker, is_audio, read_transcripts, report, subfolders, text_of
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest
from evc2.fileio.trials import EMOTIONS

HOW = "Give a folder with <speaker>/<emotion>/*.wav, e.g. DB/anna/angry/take1.wav, as --db_root (see README.md)."
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


def read_corpus(root: Path) -> list[Utterance]:
    """Return the recordings under `root`.

    Raises:
        UserError: another layout, an unknown emotion, or two recordings that would get one id.
    """
    texts = read_transcripts(root)
    found: dict[str, Utterance] = {}
    ignored = 0
    for person in subfolders(root):
        if emotion_of(person.name) and not any(emotion_of(folder.name) for folder in subfolders(person)):
            raise UserError(f"{person}: expected a speaker's folder, found an emotion's; put it into one. {HOW}")
        speaker = as_speaker(person.name)
        for folder in subfolders(person):
            emotion = emotion_of(folder.name)
            if emotion is None:
                known = (*EMOTIONS, *SYNONYMS)
                raise UserError(
                    f"{folder}: unknown emotion '{folder.name}'{nearest(folder.name.lower(), known)}; "
                    f"known: {' '.join(EMOTIONS)}"
                )
            for path in sorted(path for path in folder.rglob("*") if is_audio(path)):
                if path.parent != folder:
                    ignored += path.is_file()
                    continue
                utt = f"{speaker}-{emotion}-{as_id(path.stem)}"
                add_once(found, Utterance(utt, speaker, emotion, "", str(path), text_of(path, root, texts)))
    if ignored:
        logging.warning("%d audio files lie in folders below an emotion's and are not used", ignored)
    if not found:
        raise UserError(f"{root}: expected <speaker>/<emotion>/*.wav, found: {describe_folder(root)}. {HOW}")
    report(found)
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
