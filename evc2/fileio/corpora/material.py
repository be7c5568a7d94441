"""What the readers of corpora share: files, texts in various encodings, and the choice among the utterances."""

import codecs
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from evc2.errors import UserError
from evc2.fileio.manifest import Utterance

AUDIO = (".wav", ".flac")
TRANSCRIPTS = "transcripts.tsv"
_SHOWN = 5  # names in a warning


@dataclass
class Material:
    """What a reader found, by the corpus's own name of an utterance.

    `row(name)` gives the utterance's row of the manifest without path and text. `malformed` names lines that are none.
    """

    row: Callable[[str], Utterance]
    recordings: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    malformed: list[str] = field(default_factory=list)


def files_below(root: Path) -> list[Path]:
    """Return all files below `root` without hidden ones (macOS leaves ``._*``), those nearest to it first."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: (len(path.parts), str(path)))


def is_audio(path: Path) -> bool:
    """Say whether the name is that of a recording."""
    return path.suffix.lower() in AUDIO


def decoded(path: Path, otherwise: Sequence[str] = ()) -> str:
    """Return a text file's content: UTF-16 (by its mark, or its zeros), else UTF-8, else the encodings `otherwise`.

    Raises:
        UserError: none of these, or the file cannot be found.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content:
        encodings = ["utf-16-le"]
    else:
        encodings = ["utf-8-sig", *otherwise]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{path}: expected text in UTF-8, found bytes that are none; save it as UTF-8")


def lines_of(path: Path, otherwise: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield `file:number` and the line, of those that are not blank; encodings as in :func:`decoded`."""
    # str.splitlines also splits at characters that stand inside sentences, such as U+2028.
    for number, line in enumerate(decoded(path, otherwise).split("\n"), 1):
        if line.strip():
            yield f"{path.name}:{number}", line.rstrip("\r")


def piped(line: str) -> tuple[str, str] | None:
    """Return name and text of `name|raw` or `name|raw|normalised` (the last that is not empty), None if it is none."""
    fields = [part.strip() for part in line.split("|")]
    if len(fields) not in (2, 3) or not fields[0]:
        return None
    return fields[0], (fields[2] if len(fields) == 3 else "") or fields[1]


def read_further(root: Path, name: str = "") -> dict[str, str]:
    """Return name -> text of a file of transcripts in addition to the corpus's own, which go behind these.

    Lines are `name<TAB>text` or `name|raw|normalised`; a name may be a path (`a/103-1240-0000.flac`), whose last part
    counts. Without a name it is root/transcripts.tsv, if that is there. A relative name is looked for here, then in
    `root`.

    Raises:
        UserError: no such file, or a line that is neither.
    """
    path = Path(name) if name else root / TRANSCRIPTS
    if name and not path.is_file():
        path = root / name
    if not path.is_file():
        if not name:
            return {}
        raise UserError(f"{name}: no such file of transcripts, neither here nor in {root}")
    texts = {}
    for where, line in lines_of(path):
        first, tab, text = line.partition("\t")
        pair = (first.strip(), text.strip()) if tab else piped(line)
        if pair is None or not pair[0]:
            raise UserError(f"{path.parent / where}: expected `name<TAB>text` or `name|raw|normalised`, found '{line}'")
        file = Path(pair[0])
        texts[file.stem if is_audio(file) else file.name] = pair[1]
    return texts


def paired(material: Material) -> tuple[list[Utterance], dict[str, list[str]]]:
    """Return the rows of utterances that have a recording and a text, in order, and what was left out: why -> names."""
    rows, left_out = {}, {"recordings without a text": [], "texts without a recording": []}
    for name, path in sorted(material.recordings.items()):
        text = " ".join(material.texts.get(name, "").split())
        if not text:
            left_out["recordings without a text"].append(name)
            continue
        row = material.row(name)
        rows[row.utt] = Utterance(**{**vars(row), "path": str(path), "text": text})
    left_out["texts without a recording"] = sorted(set(material.texts) - set(material.recordings))
    left_out["lines of another form"] = material.malformed
    return [rows[utt] for utt in sorted(rows)], {why: names for why, names in left_out.items() if names}


def seconds_of(path: str) -> float | None:
    """Return the length that a recording's header gives, None where it gives none; stage 2 will say what is wrong."""
    try:
        header = soundfile.info(path)
    except (OSError, RuntimeError):
        return None
    return header.frames / header.samplerate


@dataclass
class Selection:
    """A choice among the utterances of a corpus, and its report.

    Args:
        max_seconds: longer ones are left out, where the header tells; 0: none.
        max_per_speaker: so many of each speaker; 0: all. They are drawn by a hash of the name, which depends on neither
            the platform nor on what else is there, for corpora begin with the same sentences for all speakers.
    """

    max_seconds: float = 0.0
    max_per_speaker: int = 0
    seconds: float = 0.0

    def __call__(self, rows: Sequence[Utterance], left_out: dict[str, list[str]]) -> list[Utterance]:
        """Return the chosen rows in their order; the rest's names are added to `left_out`."""
        taken: dict[str, int] = {}
        chosen, long = [], []
        for row in sorted(rows, key=lambda row: hashlib.sha256(row.utt.encode()).digest()):
            if self.max_per_speaker and taken.get(row.speaker, 0) >= self.max_per_speaker:
                continue
            seconds = seconds_of(row.path) or 0.0
            if self.max_seconds and seconds > self.max_seconds:
                long.append(row.utt)
                continue
            taken[row.speaker] = taken.get(row.speaker, 0) + 1
            self.seconds += seconds
            chosen.append(row)
        if long:
            left_out[f"longer than {self.max_seconds:g} s"] = sorted(long)
        return sorted(chosen, key=lambda row: row.utt)

    def report(self, name: str, rows: Sequence[Utterance], left_out: Mapping[str, Sequence[str]]) -> None:
        """Log what was chosen, and what was left out and why, with some names."""
        speakers = len({row.speaker for row in rows})
        logging.info("%s: %d utterances of %d speakers, %.2f h", name, len(rows), speakers, self.seconds / 3600)
        for why, names in left_out.items():
            some = " ".join(names[:_SHOWN]) + " ..." * (len(names) > _SHOWN)
            logging.warning("%s: left out: %d %s: %s", name, len(names), why, some)
