#!/usr/bin/env python3
"""IEMOCAP (five sessions, ten actors) as a manifest for evc2.bin.make_data.

Labels come from dialog/EmoEvaluation, words from dialog/transcriptions, audio from sentences/wav, and word times, where
there are some, from sentences/ForcedAlignment/*.wdseg.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from published import check_counts

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest

HOW = (
    "IEMOCAP is given by the University of Southern California on request: sign the release form at "
    "https://sail.usc.edu/iemocap/iemocap_release.htm, unpack what you are sent, and give the folder with "
    "Session1 ... Session5 as --db_root."
)
LABELS = {
    "ang": "angry",
    "hap": "happy",
    "sad": "sad",
    "neu": "neutral",
    "exc": "excited",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgust",
}
DROPPED = {"xxx": "turns without a majority label (xxx)", "oth": "turns labelled other (oth)"}
DIALOG = r"Ses(?P<session>0[1-5])[FM]_(?:impro|script)\d\d[ab]?(?:_\d+[ab]?)?"
TURN = re.compile(DIALOG + r"_(?P<gender>[FM])\d{3}")
OVERLAPPED = re.compile(DIALOG + r"_[FM]XX\d+")
EVALUATION = re.compile(r"\[\d+\.\d+ - \d+\.\d+\]\t(\S+)\t(\w{3})\t\[.*\]\s*")
TRANSCRIPT = re.compile(r"(\S+)\s+\[-?\d+\.\d+-\d+\.\d+\]:\s*(.*)")
WORD = re.compile(r"\s*(\d+)\s+(\d+)\s+-?\d+\s+(\S+)\s*")
FRAME = 0.01  # seconds a frame of the alignments
DISJOINT = {"05": "test", "04": "dev"}  # sessions; the others train


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, UTF-8 (with or without a mark at its beginning) or Latin-1."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return content.decode("latin-1").splitlines()


def files(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files of a folder in order, without those that macOS leaves beside others (`._*`)."""
    yield from (path for path in sorted(folder.glob(pattern)) if not path.name.startswith("."))


def read_labels(session: Path, counts: Counter[str]) -> dict[str, str]:
    """Return turn -> emotion of a session; dropped ones go into `counts`."""
    labels = {}
    for path in files(session / "dialog" / "EmoEvaluation", "*.txt"):
        for line in read_lines(path):
            match = EVALUATION.fullmatch(line)
            if not match:
                continue  # headings, the annotators' own lines, blank lines
            turn, label = match.groups()
            if label in DROPPED:
                counts[DROPPED[label]] += 1
            elif OVERLAPPED.fullmatch(turn):
                counts["overlapped turns"] += 1
            elif not TURN.fullmatch(turn) or label not in LABELS:
                counts["evaluated turns with an unknown name or label"] += 1
            else:
                labels[turn] = LABELS[label]
    return labels


def read_transcripts(session: Path, counts: Counter[str]) -> dict[str, str]:
    """Return turn -> words of a session, without marks of noises such as [LAUGHTER]."""
    texts = {}
    for path in files(session / "dialog" / "transcriptions", "*.txt"):
        for line in read_lines(path):
            match = TRANSCRIPT.fullmatch(line.strip())
            turn = match[1] if match else line.split(" ")[0]
            if match and TURN.fullmatch(turn):
                text = re.sub(r"\[\w+\]|\.{2,}|-{2,}", " ", match[2])
                texts[turn] = " ".join(text.split())
            elif OVERLAPPED.fullmatch(turn):
                counts["overlapped turns in transcripts"] += 1
            elif line.strip():
                counts["transcript lines without a turn's name"] += 1
    return texts


def read_alignment(path: Path) -> str:
    """Return the words of a .wdseg file as "start stop word ..." in seconds; "" if it holds none."""
    words = []
    for line in read_lines(path):
        match = WORD.fullmatch(line)
        if match and not match[3].startswith(("<", "++")):  # silence and fillers
            start, stop = int(match[1]) * FRAME, (int(match[2]) + 1) * FRAME
            words.append(f"{start:.2f} {stop:.2f} {re.sub(r'[(][0-9]+[)]$', '', match[3]).lower()}")
    return " ".join(words)


def read_session(session: Path, split: str, counts: Counter[str]) -> list[Utterance]:
    """Return the usable turns of one session; what is left out goes into `counts`."""
    labels, texts = read_labels(session, counts), read_transcripts(session, counts)
    sentences = session / "sentences"
    rows = []
    for turn, emotion in sorted(labels.items()):
        match = TURN.fullmatch(turn)
        dialog = turn.rpartition("_")[0]
        wav = sentences / "wav" / dialog / f"{turn}.wav"
        if not wav.is_file():
            counts["labelled turns without a wav file"] += 1
            continue
        alignment = sentences / "ForcedAlignment" / dialog / f"{turn}.wdseg"
        words = read_alignment(alignment) if alignment.is_file() else ""
        counts["turns without a word alignment (used all the same)"] += not words
        counts["turns without a transcript (used all the same)"] += turn not in texts
        # The letter after the session tells who wears the markers; the one before the number tells who speaks.
        speaker = f"Ses{match['session']}{match['gender']}"
        rows.append(
            Utterance(
                utt=f"{speaker}-{turn}",
                speaker=speaker,
                emotion=emotion,
                gender=match["gender"].lower(),
                path=str(wav),
                text=texts.get(turn, ""),
                set=DISJOINT.get(match["session"], "train") if split == "speaker_disjoint" else "",
                words=words,
            )
        )
    return rows


def read_corpus(root: Path, split: str) -> list[Utterance]:
    """Return the usable turns of all sessions under `root`; log what is missing and what was left out.

    Raises:
        UserError: another layout, or no labelled turn with a recording.
    """
    if not (root / "Session1").is_dir() and (root / "IEMOCAP_full_release").is_dir():
        root = root / "IEMOCAP_full_release"
    sessions = [root / f"Session{i}" for i in range(1, 6)]
    present = [session for session in sessions if (session / "dialog" / "EmoEvaluation").is_dir()]
    expected = "expected Session1 ... Session5 with dialog/EmoEvaluation, dialog/transcriptions and sentences/wav"
    if not present:
        raise UserError(f"IEMOCAP: {root}: {expected}, found: {describe_folder(root)}. {HOW}")
    if len(present) < 5:
        names = " ".join(session.name for session in sessions if session not in present)
        logging.warning("expected 5 sessions, found %d; not there: %s", len(present), names)
    counts: Counter[str] = Counter()
    rows = [row for session in present for row in read_session(session, split, counts)]
    for what, number in sorted(counts.items()):
        if number:
            logging.warning("%d %s", number, what)
    if not rows:
        raise UserError(f"IEMOCAP: {root}: {expected}, found no labelled turn with a wav file. {HOW}")
    logging.info("%d turns of %d actors", len(rows), len({row.speaker for row in rows}))
    print(check_counts(((row.speaker, row.emotion) for row in rows), len(present)))
    return rows


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help="folder with Session1 ... Session5")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    parser.add_argument(
        "--split",
        default="speaker_dependent",
        choices=["speaker_dependent", "speaker_disjoint"],
        help="left to make_data's fractions, or session 5 for test and session 4 for development",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    write_manifest(args.manifest, read_corpus(require_folder(args.db_root, "IEMOCAP", HOW), args.split))


if __name__ == "__main__":
    run(main)
