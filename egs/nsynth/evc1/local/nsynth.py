#!/usr/bin/env python3
"""NSynth, fetched on request, as a manifest for evc2.bin.make_data: notes of instruments, their families as speakers.

A note is nsynth-{train,valid,test}/audio/<family>_<source>_<instrument>-<pitch>-<velocity>.wav. Its name says all that
is needed, so examples.json is not read.
"""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError, nearest
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest

ADDRESS = "http://download.magenta.tensorflow.org/datasets/nsynth"
PARTS = {"train": "train", "valid": "dev", "test": "test"}  # part of the corpus -> set
SOURCES = ("acoustic", "electronic", "synthetic")
NAME = re.compile(rf"([a-z_]+?)_({'|'.join(SOURCES)})_(\d{{3}})-(\d{{3}})-(\d{{3}})")
HOW = "Give the folder with nsynth-train, nsynth-valid and nsynth-test, or --download true (about 25 GB, CC BY 4.0)."


def utterance(path: Path, which: str) -> Utterance | None:
    """Turn a note's file into a line of the manifest, None for another name. Notes of one pitch and velocity "say" the
    same, whatever the instrument."""
    match = NAME.fullmatch(path.stem)
    if match is None or path.suffix.lower() != ".wav" or path.name.startswith("."):
        return None
    family, source, instrument, pitch, velocity = match.groups()
    utt = f"{family}-{source}_{instrument}-{pitch}-{velocity}"
    return Utterance(utt, family, "neutral", "", str(path), "", sentence=f"{pitch}-{velocity}", set=which)


def part_folder(root: Path, part: str) -> Path | None:
    """Return the folder `audio` of a part, wherever below `root` the archive was unpacked; None without one."""
    name = f"nsynth-{part}"
    places = (root / name, root / name / name, root / "nsynth" / name, *([root] if root.name == name else []))
    return next((place / "audio" for place in places if (place / "audio").is_dir()), None)


def spread(rows: Sequence[Utterance], number: int) -> list[Utterance]:
    """Take `number` notes: one of each pitch and velocity in turn, in a drawn order that is the same for every family
    (so that notes have their like in other families), each of an instrument drawn for it."""

    def draw(text: str) -> bytes:
        return hashlib.sha256(text.encode()).digest()

    cells = defaultdict(list)
    for row in rows:
        cells[row.sentence].append(row)
    order = []
    for sentence, cell in cells.items():
        cell.sort(key=lambda row: draw(row.utt))
        order += [(turn, draw(sentence), row) for turn, row in enumerate(cell)]
    order.sort(key=lambda entry: entry[:2])
    return [row for _, _, row in order[:number]]


def pitch_range(text: str) -> tuple[int, int]:
    """Read "36:84" as (36, 84); anything else is a UserError."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or not int(match[1]) <= int(match[2]) <= 127:
        raise UserError(f"--pitches: expected lowest:highest in MIDI numbers, e.g. 36:84, found '{text}'")
    return int(match[1]), int(match[2])


def read_corpus(
    root: Path, parts: str, families: str = "", source: str = "", pitches: str = "0:127", max_notes: int = 0
) -> list[Utterance]:
    """Return the notes that were asked for, with their sets where all of train, valid and test are there.

    Raises:
        UserError: another layout, unknown words, or no such note.
    """
    low, high = pitch_range(pitches)
    wanted = set(families.replace(",", " ").split())
    if source and source not in SOURCES:
        raise UserError(f"--source: expected one of {' '.join(SOURCES)}, found '{source}'{nearest(source, SOURCES)}")
    folders = {}
    for part in parts.replace(",", " ").split():
        if part not in PARTS:
            raise UserError(f"--parts: expected some of {' '.join(PARTS)}, found '{part}'{nearest(part, PARTS)}")
        folders[part] = part_folder(root, part)
    missing = [part for part, folder in folders.items() if folder is None]
    if len(missing) == len(folders):
        raise UserError(f"NSynth: {root}: expected nsynth-train/audio ..., found: {describe_folder(root)}. {HOW}")
    if missing:
        logging.warning("%s: not there: %s", root, " ".join(f"nsynth-{part}" for part in missing))
    rows = [
        row
        for part, folder in folders.items()
        if folder is not None
        for row in (utterance(path, PARTS[part]) for path in sorted(folder.iterdir()))
        if row is not None
    ]
    known = {row.speaker for row in rows}
    for name in sorted(wanted - known):
        raise UserError(f"{root}: no note is of '{name}'{nearest(name, known)}; found: {' '.join(sorted(known))}")
    chosen = defaultdict(list)
    for row in rows:
        fits = not source or row.utt.startswith(f"{row.speaker}-{source}_")
        if fits and (not wanted or row.speaker in wanted) and low <= int(row.sentence[:3]) <= high:
            chosen[row.speaker, row.set].append(row)
    rows = [row for cell in chosen.values() for row in (spread(cell, max_notes) if max_notes else cell)]
    if not rows:
        raise UserError(f"{root}: no note of source '{source or 'any'}' with a pitch of {pitches}; ask for others")
    if {row.set for row in rows} != set(PARTS.values()):
        logging.warning("without train, valid and test, all three, the sets are drawn from what is there")
        rows = [replace(row, set="") for row in rows]
    logging.info("%d notes of %d families", len(rows), len({row.speaker for row in rows}))
    return rows


def download(root: Path, parts: str, address: str) -> None:
    """Fetch the archives of the parts that are not there beside `root` and unpack them in it.

    No checksums are published as far as we know: only the length that the server gives is checked.
    """
    from evc2.fileio.download import fetch, unpack

    for part in parts.replace(",", " ").split():
        if part not in PARTS:
            raise UserError(f"--parts: expected some of {' '.join(PARTS)}, found '{part}'{nearest(part, PARTS)}")
        if part_folder(root, part) is not None:
            logging.info("nsynth-%s is there, nothing to fetch", part)
            continue
        name = f"nsynth-{part}.jsonwav.tar.gz"
        archive = root.parent / name
        if not archive.is_file():
            logging.info("fetching %s/%s to %s, without a checksum", address, name, archive)
            fetch(f"{address}/{name}", archive)
        unpack(archive, root / f"nsynth-{part}")


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help="folder with nsynth-train, nsynth-valid, nsynth-test")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    parser.add_argument("--parts", default="train valid test", help="of the corpus")
    parser.add_argument("--families", default="", help='e.g. "guitar flute"; empty for all')
    parser.add_argument("--source", default="", help="acoustic, electronic or synthetic; empty for any")
    parser.add_argument("--pitches", default="0:127", help="lowest and highest MIDI number")
    parser.add_argument("--max_notes", type=int, default=0, help="of each family and set; 0 for all")
    parser.add_argument("--download", type=parse_bool, default=False, help="fetch the parts to db_root first")
    parser.add_argument("--address", default=ADDRESS, help="folder of the archives")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    fetch = partial(download, parts=args.parts, address=args.address) if args.download else None
    root = require_folder(args.db_root, "NSynth", HOW, fetch)
    notes = read_corpus(root, args.parts, args.families, args.source, args.pitches, args.max_notes)
    write_manifest(args.manifest, notes)


if __name__ == "__main__":
    run(main)
