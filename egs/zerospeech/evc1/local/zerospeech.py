#!/usr/bin/env python3
"""ZeroSpeech "TTS without T" (2019, 2020) as a manifest for evc2.bin.make_data, with its trials and its file lists.

A language is a folder with train/unit (many speakers, to find units with), train/voice (one or two speakers, whose
voices are synthesised), test (whole sentences, and snippets of about a tenth of a second for ABX) and synthesis.txt:
`<test file> <voice>`, what is to be synthesised. A file is <speaker>_<utterance>.wav.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import soundfile

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError, nearest
from evc2.fileio.atomic import write_text
from evc2.fileio.manifest import Utterance, describe_folder, require_folder, write_manifest
from evc2.fileio.tables import rows

HOW = (
    "The corpus is had from https://zerospeech.com ('TTS without T' of 2019 and 2020): register, accept its licence, "
    "fetch the archive of the language (english 2.5 GB, surprise 1.5 GB; the password is sent to you), unpack it, and "
    "give the folder with english/ or surprise/ as --db_root."
)
NO_DOWNLOAD = "--download true: we know of no public address with a checksum, and the licence is yours to accept. "
LAYOUT = "train/unit/*.wav, train/voice/*.wav and test/*.wav"
UNIT, VOICE, TEST = "train/unit", "train/voice", "test"
PARALLEL = ("train/parallel/source", "train/parallel/voice")
SYNTHESIS = "synthesis.txt"
LANGUAGES = ("english", "surprise")
ABX_TASKS = {"english": "byCtxt_acSpkr.abx", "surprise": "surprise_byCtxt_acSpkr.abx"}  # of ABXTasks/
SENTENCE_SECONDS = 1.0  # shorter test files are snippets
HEADER = 44  # bytes of a wav file without a sample


@dataclass(frozen=True)
class Recording:
    """A file of the corpus: its part (train/unit ...) and its path below the language's folder."""

    part: str
    name: str

    @property
    def stem(self) -> str:
        """Name without folder and suffix: speaker and utterance."""
        return PurePosixPath(self.name).stem

    @property
    def speaker(self) -> str:
        """What stands before the first underscore."""
        return self.stem.partition("_")[0]

    @property
    def utt(self) -> str:
        """Id of the utterance. Parallel recordings may repeat names of the other parts, so theirs say what they are."""
        return self.stem if self.part not in PARALLEL else f"{self.speaker}-parallel{self.stem[len(self.speaker) :]}"


def find_language(root: Path, language: str) -> Path:
    """Return the folder of a language: in `root`, in its 2019 or 2020/2019, or `root` itself.

    Raises:
        UserError: none of them, or `root` is that of another language.
    """

    def is_language(folder: Path) -> bool:
        return (folder / VOICE).is_dir() or (folder / UNIT).is_dir()

    for folder in (root / language, root / "2019" / language, root / "2020" / "2019" / language):
        if is_language(folder):
            logging.info("found %s", folder)
            return folder
    if is_language(root):
        if root.name != language and root.name in LANGUAGES:
            raise UserError(
                f"ZeroSpeech: {root} is the folder of {root.name}, asked for is {language}: give its folder, or "
                f"--split {root.name}"
            )
        logging.info("found %s itself, taken for %s", root, language)
        return root
    raise UserError(f"ZeroSpeech: {root}: expected {language}/ with {LAYOUT}, found: {describe_folder(root)}. {HOW}")


def recordings(folder: Path, part: str) -> list[Recording]:
    """Return the recordings of one part in the order of their names, less empty ones.

    Raises:
        UserError: no such folder, a file without a speaker in its name, or no recording.
    """
    if not (folder / part).is_dir():
        raise UserError(f"ZeroSpeech: {folder}: expected {LAYOUT}, found no {part}/. {HOW}")
    files = sorted(path for path in (folder / part).glob("*.wav") if not path.name.startswith("."))
    found = [Recording(part, f"{part}/{path.name}") for path in files if path.stat().st_size > HEADER]
    for row in found:
        if not row.stem[len(row.speaker) + 1 :] or not row.speaker:
            raise UserError(f"{folder / row.name}: expected <speaker>_<utterance>.wav")
    if len(found) < len(files):
        logging.warning("%s: %d empty files left out", folder / part, len(files) - len(found))
    if not found:
        raise UserError(f"ZeroSpeech: {folder / part}: expected .wav files, found: {describe_folder(folder / part)}")
    return found


def stem_of(name: str) -> str:
    """Return the stem of a file as lists name it: with or without folders, with or without .wav."""
    return PurePosixPath(name).name.removesuffix(".wav")


def read_synthesis(path: Path, test: Sequence[Recording], voices: Iterable[str]) -> list[tuple[Recording, str]]:
    """Return what is to be synthesised: (test file, voice), each pair once, in the order of the file.

    Raises:
        UserError: a malformed line, an unknown file or voice, or nothing at all.
    """
    known, voices = {row.stem: row for row in test}, set(voices)
    found: dict[tuple[Recording, str], None] = {}
    for number, name, voice in rows(path):
        stem = stem_of(name)
        if len(voice.split()) != 1:
            raise UserError(f"{path}:{number}: expected `test/<file>.wav <voice>`, found '{name} {voice}'")
        if stem not in known:
            raise UserError(f"{path}:{number}: there is no file '{stem}' in {TEST}/{nearest(stem, known)}")
        if voice not in voices:
            names = " ".join(sorted(voices))
            raise UserError(f"{path}:{number}: there is no voice '{voice}'{nearest(voice, voices)}; known: {names}")
        found[known[stem], voice] = None
    if not found:
        raise UserError(f"{path}: empty; expected lines `test/<file>.wav <voice>`")
    return list(found)


def every_sentence(folder: Path, test: Sequence[Recording], voices: Iterable[str]) -> list[tuple[Recording, str]]:
    """Return each test file of over a second with each voice, where there is no synthesis.txt; none is a UserError."""
    long = [row for row in test if soundfile.info(folder / row.name).duration > SENTENCE_SECONDS]
    if not long:
        raise UserError(f"{folder}: no {SYNTHESIS}, and no file of {TEST}/ is longer than {SENTENCE_SECONDS:g} s")
    logging.info("%s: no %s; %d files of over %g s go to each voice", folder, SYNTHESIS, len(long), SENTENCE_SECONDS)
    return [(row, voice) for row in long for voice in sorted(voices)]


def read_transcripts(path: Path, known: Iterable[str]) -> dict[str, str]:
    """Return stem -> text of lines `<file><TAB>text`; a malformed one is a UserError, one of no file is counted."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--transcripts {path}: expected a text file, found nothing readable as UTF-8") from None
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, tab, text = line.partition("\t")
        if line.strip() and not tab:
            raise UserError(f"{path}:{number}: expected `<file><TAB>text`, found '{line}'")
        if line.strip():
            texts[stem_of(name.strip())] = " ".join(text.split())
    unused = sorted(set(texts) - set(known))
    if unused:
        logging.warning("%s: %d lines name no recording, e.g. '%s'", path, len(unused), unused[0])
    return texts


def chosen_speakers(train: Sequence[Recording], names: str) -> list[Recording]:
    """Return the training recordings of some speakers ("S015 V001"), or of all; an unknown one is a UserError."""
    wanted, known = names.replace(",", " ").split(), {row.speaker for row in train}
    for name in wanted:
        if name not in known:
            raise UserError(f"--speakers: no training file is of '{name}'{nearest(name, known)} among {len(known)}")
    return [row for row in train if not wanted or row.speaker in wanted]


def write_lists(
    out: Path, train: Sequence[Recording], test: Sequence[Recording], pairs: Sequence[tuple[Recording, str]]
) -> None:
    """Write the lists of the published system, paths relative to the language's folder."""
    lists = {
        "rec_train_files": [row.name for row in train],
        "gan_train_files": [row.name for row in train if row.part == VOICE],
        "eval_files": [row.name for row in test],
        "synthesis": [f"{row.name} {voice}" for row, voice in pairs],
    }
    for name, lines in lists.items():
        write_text(out / f"{name}.txt", "".join(f"{line}\n" for line in lines))


def existing(option: str, given: str, guesses: Iterable[Path]) -> Path | None:
    """Return the file given for an option (a UserError if it is not there), else the first guess that is there."""
    if given and not Path(given).is_file():
        raise UserError(f"{option} {given}: no such file")
    return next((path for path in ([Path(given)] if given else guesses) if path.is_file()), None)


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    where = "folder with english/ or surprise/, with 2019/ or 2020/2019/ in which they are, or a language's own"
    parser.add_argument("--db_root", default="", help=where)
    parser.add_argument("--language", default="english", help="english, surprise, or another folder of that layout")
    parser.add_argument("--download", type=parse_bool, default=False, help="refused: the corpus has no public address")
    parser.add_argument("--speakers", default="", help='training speakers to take, e.g. "S015 V001"; empty for all')
    parser.add_argument("--parallel", type=parse_bool, default=False, help="train on train/parallel too")
    parser.add_argument("--transcripts", default="", help="file of lines `<file><TAB>text`")
    parser.add_argument("--abx_task", default="", help="ABX task: .abx or .item; empty for the corpus's own")
    parser.add_argument("--bitrate_list", default="", help="`<file>.txt <seconds>`, for which the bitrate is measured")
    parser.add_argument("--metadata", default="", help="YAML with author, affiliation ... of a submission")
    parser.add_argument("--out", required=True, help="folder for manifest.tsv, trials, voices and local/")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    if args.download:
        raise UserError(NO_DOWNLOAD + HOW)
    folder, out = find_language(require_folder(args.db_root, "ZeroSpeech", HOW), args.language), Path(args.out)
    train = [row for part in (UNIT, VOICE) for row in recordings(folder, part)]
    if args.parallel:
        train += [row for part in PARALLEL for row in recordings(folder, part)]
    train, test = chosen_speakers(train, args.speakers), recordings(folder, TEST)
    all_voices = {row.speaker for row in recordings(folder, VOICE)}
    voices = sorted(all_voices & {row.speaker for row in train})
    if not voices:
        raise UserError(f"--speakers: none of them is a voice to convert to; voices: {' '.join(sorted(all_voices))}")
    if (folder / SYNTHESIS).is_file():
        pairs = read_synthesis(folder / SYNTHESIS, test, all_voices)
    else:
        pairs = every_sentence(folder, test, all_voices)
    kept = [pair for pair in pairs if pair[1] in voices]
    if len(kept) < len(pairs):
        logging.warning("%d of %d sentences go to a voice that is left out", len(pairs) - len(kept), len(pairs))
    if not kept:
        raise UserError(f"{folder / SYNTHESIS}: no sentence is to be given one of the voices {' '.join(voices)}")
    stems = [row.stem for row in (*train, *test)]
    texts = read_transcripts(Path(args.transcripts), stems) if args.transcripts else {}
    write_manifest(
        out / "manifest.tsv",
        [
            Utterance(row.utt, row.speaker, "neutral", "", str(folder / row.name), texts.get(row.stem, ""), set=name)
            for name, members in (("train", train), ("test", test))
            for row in members
        ],
    )
    write_text(out / "trials", "".join(f"{row.utt} {voice}\n" for row, voice in kept))
    write_text(out / "voices", " ".join(voices) + "\n")
    write_lists(out / "local", train, test, kept)
    guesses = [folder.parent / "ABXTasks" / ABX_TASKS.get(args.language, "none"), folder / "abx.item"]
    task = existing("--abx_task", args.abx_task, guesses)
    if task is None:
        logging.info("no ABX task beside the corpus (%s); --abx_task names one", " or ".join(map(str, guesses)))
    listed = existing("--bitrate_list", args.bitrate_list, [folder / "bitrate_filelist.txt"])
    metadata = existing("--metadata", args.metadata, [])
    for name, path in (("abx_task", task), ("bitrate_list", listed), ("metadata", metadata)):
        if path is not None:
            write_text(out / "local" / name, f"{path.absolute()}\n")
    write_text(out / "local" / "language", ("surprise" if args.language == "surprise" else "english") + "\n")
    write_text(out / "local" / "parallel", f"{args.parallel}\n".lower())
    numbers = (len(train), len({row.speaker for row in train}), len(test), len(kept), " ".join(voices))
    logging.info("%d training files of %d speakers, %d test files, %d conversions to %s", *numbers)


if __name__ == "__main__":
    run(main)
