#!/usr/bin/env python3
"""The Flickr 8k Audio Caption Corpus, fetched on request, as a manifest for evc2.bin.make_data.

wavs/<image>_<n>.wav is caption n of an image, read aloud; wav2spk.txt has lines `<wav> <speaker>`, wav2capt.txt lines
`<wav> <image>.jpg #<n>`. What is said is in another corpus, Flickr 8k's Flickr8k.token.txt: `<image>.jpg#<n><TAB>text`.
"""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError, nearest
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest
from evc2.fileio.tables import rows

ARCHIVE = "flickr_audio.tar.gz"
ADDRESS = "https://groups.csail.mit.edu/sls/downloads/flickraudio/downloads/" + ARCHIVE
MD5 = "9d078f1f150c26e864aa64d1d733779a"  # as a copy of the corpus's own page has it
HOW = "Give the folder with wav2spk.txt and wavs/, or --download true to fetch it (4.2 GB, CC BY-SA)."
SPEAKERS, CAPTIONS = "wav2spk.txt", "wav2capt.txt"
GENDERS = {"4": "f", "7": "m", "49": "f", "17": "m"}  # those that published systems use; the corpus itself says nothing
HEADER = 44  # bytes of a wav file without a sample


def find_corpus(root: Path) -> Path:
    """Return the folder with wav2spk.txt: `root` or one in it; none is a UserError."""
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        if (folder / SPEAKERS).is_file():
            return folder
    raise UserError(f"Flickr 8k Audio: {root}: expected {SPEAKERS} and wavs/, found: {describe_folder(root)}. {HOW}")


def read_speakers(path: Path) -> dict[str, str]:
    """Return wav name -> speaker; a malformed line or a name that comes twice is a UserError."""
    found: dict[str, str] = {}
    for number, name, rest in rows(path):
        speaker = rest.split()
        if len(speaker) != 1 or not name.endswith(".wav"):
            raise UserError(f"{path}:{number}: expected `<name>.wav <speaker>`, found '{name} {rest}'")
        if found.setdefault(name, speaker[0]) != speaker[0]:
            raise UserError(f"{path}:{number}: {name} is of speaker {found[name]} in an earlier line")
    return found


def read_captions(path: Path, mapping: Path) -> dict[str, str]:
    """Return wav name -> text, by wav2capt.txt and Flickr8k.token.txt; a malformed line is a UserError."""
    texts: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--captions {path}: expected Flickr8k.token.txt, found nothing readable as UTF-8") from None
    for number, line in enumerate(lines, 1):
        key, tab, text = line.partition("\t")
        if line.strip() and not (tab and "#" in key):
            raise UserError(f"{path}:{number}: expected `<image>.jpg#<n><TAB>caption`, found '{line}'")
        texts[key.strip()] = " ".join(text.split())
    found: dict[str, str] = {}
    for number, name, rest in rows(mapping):
        fields = rest.split()
        if len(fields) != 2 or not fields[1].startswith("#"):
            raise UserError(f"{mapping}:{number}: expected `<name>.wav <image>.jpg #<n>`, found '{name} {rest}'")
        found[name] = texts.get("".join(fields), "")
    return found


def read_corpus(root: Path, speakers: str = "", captions: str = "") -> list[Utterance]:
    """Return the recordings of some speakers ("4 7"), or of all; log which were left out.

    Raises:
        UserError: another layout, an unknown speaker, or no recording at all.
    """
    folder = find_corpus(root)
    listed = read_speakers(folder / SPEAKERS)
    wanted, known = set(speakers.replace(",", " ").split()), set(listed.values())
    for name in sorted(wanted - known):
        raise UserError(f"{folder / SPEAKERS}: there is no speaker '{name}'{nearest(name, known)} among {len(known)}")
    texts = read_captions(Path(captions), folder / CAPTIONS) if captions else {}
    found: list[Utterance] = []
    left_out: Counter[str] = Counter()
    for name, speaker in listed.items():
        if wanted and speaker not in wanted:
            continue
        path = folder / "wavs" / name
        try:
            empty = os.path.getsize(path) <= HEADER
        except OSError:
            left_out["listed but not there"] += 1
            continue
        if empty:
            left_out["empty"] += 1
            continue
        utt = f"{speaker}-{path.stem}"
        found.append(Utterance(utt, speaker, "neutral", GENDERS.get(speaker, ""), str(path), texts.get(name, "")))
    notes = ", ".join(f"{number} {what}" for what, number in sorted(left_out.items()))
    if notes:
        logging.warning("left out: %s", notes)
    if not found:
        raise UserError(f"{folder}: no recording in wavs/ is usable ({notes or f'{SPEAKERS} is empty'}). {HOW}")
    if captions and not all(row.text for row in found):
        logging.warning("%s: %d recordings have no caption there", captions, sum(not row.text for row in found))
    logging.info("%d recordings of %d speakers", len(found), len({row.speaker for row in found}))
    return found


def download(root: Path, address: str, md5: str) -> None:
    """Fetch the archive beside `root` and unpack it as `root`, unless the corpus is there already."""
    from evc2.fileio.download import fetch, unpack

    if root.is_dir() and any(root.rglob(SPEAKERS)):
        logging.info("%s: the corpus is there, nothing to fetch", root)
        return
    archive = root.parent / ARCHIVE
    logging.info("fetching %s to %s%s", address, archive, "" if md5 else ", without a checksum")
    unpack(fetch(address, archive, md5=md5 or None), root)


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help=f"folder with {SPEAKERS} and wavs/")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    parser.add_argument("--speakers", default="", help='speakers to take, e.g. "4 7"; empty for all')
    parser.add_argument("--captions", default="", help="Flickr8k.token.txt; without it there are no transcripts")
    parser.add_argument("--download", type=parse_bool, default=False, help="fetch the corpus to db_root first")
    parser.add_argument("--address", default=ADDRESS, help="of the archive")
    parser.add_argument("--md5", default="", help=f"checksum of the archive; empty for {MD5}, none for no check")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    md5 = "" if args.md5 == "none" else args.md5 or MD5
    fetch = partial(download, address=args.address, md5=md5) if args.download else None
    root = require_folder(args.db_root, "Flickr 8k Audio", HOW, fetch)
    write_manifest(args.manifest, read_corpus(root, args.speakers, args.captions))


if __name__ == "__main__":
    run(main)
