#!/usr/bin/env python3
"""RAVDESS speech (24 actors, 60 files each) as a manifest for evc2.bin.make_data.

A file's name says everything: seven two-digit fields, modality-channel-emotion-intensity-statement-repetition-actor.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest

RECORD = "https://zenodo.org/api/records/1188976"
ARCHIVE = "Audio_Speech_Actors_01-24.zip"
HOW = "Give the folder with Actor_01 ... Actor_24, or --download true to fetch it (about 200 MB, CC BY-NC-SA 4.0)."
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")  # codes 01 to 08
INTENSITIES = ("normal", "strong")
STATEMENTS = ("Kids are talking by the door", "Dogs are sitting by the door")
NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
AUDIO = (".wav", ".flac")


def names_of(actor: int) -> list[str]:
    """Return the 60 names (without suffix) that an actor's speech recordings have."""
    return [
        f"03-01-{e:02d}-{i:02d}-{s:02d}-{r:02d}-{actor:02d}"
        for e in range(1, 9)
        for i in ((1,) if e == 1 else (1, 2))  # neutral has one intensity
        for s in (1, 2)
        for r in (1, 2)
    ]


def utterance(name: str, path: str) -> Utterance:
    """Turn a file's name (without suffix) into a line of the manifest. The whole name stays in the id."""
    _, _, emotion, intensity, statement, repetition, actor = (int(field) for field in name.split("-"))
    return Utterance(
        utt=f"Actor_{actor:02d}-{name}",
        speaker=f"Actor_{actor:02d}",
        emotion=EMOTIONS[emotion - 1],
        gender="m" if actor % 2 else "f",
        path=path,
        text=STATEMENTS[statement - 1],
        intensity=INTENSITIES[intensity - 1],
        sentence=("kids", "dogs")[statement - 1],
        repetition=str(repetition),
    )


def scan(root: Path) -> tuple[dict[str, Path], Counter[str]]:
    """Find the speech recordings under `root`, at any depth: name without suffix -> path, and what was left out.

    Of several files with one name (a popular mirror holds the corpus twice) the one nearest to `root` is taken.
    """
    known = {name for actor in range(1, 25) for name in names_of(actor)}
    found: dict[str, Path] = {}
    left_out: Counter[str] = Counter()
    for path in sorted(root.rglob("*"), key=lambda path: (len(path.parts), str(path))):
        match = NAME.fullmatch(path.stem)
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() in AUDIO and path.stem in known:
            if path.stem in found:
                left_out["second copies of a file"] += 1
            found.setdefault(path.stem, path)
        elif match and (match[2] == "02" or match[1] in ("01", "02")):
            left_out["song or video files"] += 1
        elif path.suffix.lower() in AUDIO:
            left_out["audio files with another name"] += 1
    return found, left_out


def read_corpus(root: Path) -> list[Utterance]:
    """Return the corpus's utterances; log what is missing and what was left out.

    Raises:
        UserError: no recording was found.
    """
    found, left_out = scan(root)
    notes = ", ".join(f"{number} {what}" for what, number in sorted(left_out.items()))
    if not found:
        raise UserError(
            f"RAVDESS: {root}: expected files like Actor_01/03-01-05-02-01-01-01.wav (or .flac), "
            f"found: {describe_folder(root)}{'; left out: ' + notes if notes else ''}. {HOW}"
        )
    if notes:
        logging.warning("left out: %s", notes)
    actors = sorted({int(name[-2:]) for name in found})
    missing = [name for actor in actors for name in names_of(actor) if name not in found]
    if len(actors) < 24:
        absent = " ".join(f"{actor:02d}" for actor in range(1, 25) if actor not in actors)
        logging.warning("expected 24 actors, found %d; not there: %s", len(actors), absent)
    if missing:
        counts = Counter(name[-2:] for name in missing)
        each = ", ".join(f"Actor_{actor} has {60 - number}" for actor, number in sorted(counts.items()))
        some = " ".join(missing[:10]) + " ..." * (len(missing) > 10)
        logging.warning("expected 60 files an actor: %s; missing: %s", each, some)
    logging.info("%d recordings of %d actors", len(found), len(actors))
    return [utterance(name, str(path)) for name, path in found.items()]


def download(root: Path, record: str, md5: str) -> None:
    """Fetch the archive beside `root` and unpack it as `root`, unless recordings are there already."""
    from evc2.fileio.download import fetch, unpack, zenodo_file

    if root.is_dir() and scan(root)[0]:
        logging.info("%s: recordings are there, nothing to fetch", root)
        return
    url, published, size = zenodo_file(record, ARCHIVE)
    if not (md5 or published):
        raise UserError(f"{record}: gives no md5 of {ARCHIVE}; give the right one with --md5")
    archive = root.parent / ARCHIVE
    logging.info("fetching %s (%s MB) to %s", url, f"{size / 1e6:.0f}" if size else "?", archive)
    unpack(fetch(url, archive, md5=md5 or published, size=None if md5 else size), root)


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help="folder with Actor_01 ... Actor_24")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    parser.add_argument("--download", type=parse_bool, default=False, help="fetch the corpus to db_root first")
    parser.add_argument("--record", default=RECORD, help="address of the Zenodo record's API")
    parser.add_argument("--md5", default="", help="checksum of the archive; empty for the one that the record gives")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    fetch = partial(download, record=args.record, md5=args.md5) if args.download else None
    write_manifest(args.manifest, read_corpus(require_folder(args.db_root, "RAVDESS", HOW, fetch)))


if __name__ == "__main__":
    run(main)
