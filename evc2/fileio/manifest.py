"""The manifest: one tab-separated line an utterance, with a header. What a corpus's own script hands to make_data.

Columns (the first six must be there, in any order):
  utt speaker emotion gender path text    text and gender may be empty
  intensity sentence repetition           what parallel recordings share; empty where the corpus has none
  start stop                              seconds inside `path`, for all utterances or for none
  set                                     train, dev, test; empty for an utterance that is not used
  words                                   alignment: `start stop word start stop word ...` in seconds
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from evc2.errors import UserError, nearest
from evc2.fileio.atomic import write_text
from evc2.fileio.trials import EMOTIONS

NEED = ("utt", "speaker", "emotion", "gender", "path", "text")
SETS = ("train", "dev", "test")
GENDERS = {"": "", "f": "f", "female": "f", "m": "m", "male": "m"}
_SHOWN = 20  # problems listed one by one before the rest is only counted


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest; all values are the words of the file, "" where there is none.

    `emotion` is in EMOTIONS (after the emotion map), `label` is what the manifest said; `gender` is "f", "m" or "".
    """

    utt: str
    speaker: str
    emotion: str
    gender: str
    path: str
    text: str
    intensity: str = ""
    sentence: str = ""
    repetition: str = ""
    start: str = ""
    stop: str = ""
    set: str = ""
    words: str = ""
    label: str = ""

    @property
    def words_key(self) -> str:
        """What tells whether two utterances say the same: the sentence's name, else the text without case and marks."""
        if self.sentence:
            return self.sentence
        return " ".join(re.sub(r"[^\w\s']", " ", self.text.casefold()).split())


COLUMNS = tuple(field.name for field in fields(Utterance) if field.name != "label")


def parse_emotion_map(text: str) -> dict[str, str]:
    """Read "excited:happy,calm:neutral" as {"excited": "happy", ...}; a right side outside EMOTIONS is a UserError."""
    mapping: dict[str, str] = {}
    for pair in filter(None, re.split(r"[,\s]+", text)):
        old, colon, new = pair.partition(":")
        if not (old and colon and new) or old in mapping:
            raise UserError(f"emotion map: expected pairs like excited:happy, each left side once, found '{pair}'")
        if new not in EMOTIONS:
            known = " ".join(EMOTIONS)
            raise UserError(f"emotion map: unknown emotion '{new}'{nearest(new, EMOTIONS)}; known: {known}")
        mapping[old] = new
    return mapping


def write_manifest(path: str | os.PathLike[str], utterances: Iterable[Utterance]) -> None:
    """Write utterances in the order of their ids, atomically; white space inside texts becomes single blanks.

    Raises:
        UserError: a path with a tab or a line break in it, which the format cannot hold.
    """
    lines = ["\t".join(COLUMNS)]
    for row in sorted(utterances, key=lambda row: row.utt):
        if re.search(r"[\t\r\n]", row.path):
            raise UserError(f"{row.path!r}: a file name with a tab or a line break; rename the file")
        values = [row.path if name == "path" else " ".join(getattr(row, name).split()) for name in COLUMNS]
        lines.append("\t".join(values))
    write_text(path, "\n".join(lines) + "\n")


def read_manifest(path: str | os.PathLike[str], emotion_map: Mapping[str, str] | None = None) -> list[Utterance]:
    """Read and check a manifest; return its utterances in the order of their ids.

    Args:
        path: the TSV file, UTF-8. Relative audio paths are relative to the current folder; they are made absolute.
        emotion_map: label -> emotion, applied before the check against EMOTIONS.

    Raises:
        UserError: missing or unknown columns; or a list of what is wrong with the lines: duplicate ids, unknown
            emotions, ids that do not start with their speaker's, missing files, bad times, two genders of a speaker.
    """
    path, emotion_map = Path(path), dict(emotion_map or {})
    rows = _rows(path)
    problems: list[str] = []
    found: dict[str, Utterance] = {}
    labels = {row.emotion for _, row in rows}
    for old in sorted(set(emotion_map) - labels - set(EMOTIONS)):
        known = " ".join(sorted(labels))
        problems.append(f"emotion map: no utterance is '{old}'{nearest(old, labels)}; found: {known}")
    genders: dict[str, str] = {}
    for number, row in rows:
        row = replace(row, label=row.emotion, emotion=emotion_map.get(row.emotion, row.emotion))
        wrong = _problems(row)
        if row.utt in found:
            wrong.append(f"duplicate id '{row.utt}'")
        if row.gender in GENDERS:
            row = replace(row, gender=GENDERS[row.gender])
            if genders.setdefault(row.speaker, row.gender) != row.gender:
                wrong.append(f"speaker '{row.speaker}' has another gender than in an earlier line")
        if not row.path.endswith("|"):
            row = replace(row, path=os.path.abspath(row.path))
        problems += [f"line {number}: {problem}" for problem in wrong]
        found[row.utt] = row
    timed = sum(bool(row.start) for row in found.values())
    if 0 < timed < len(found):
        problems.append(f"{timed} of {len(found)} utterances have start and stop; expected all or none")
    if problems:
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UserError(f"{path}: {len(problems)} problems:\n  {shown}{more}")
    return [found[utt] for utt in sorted(found)]


def _rows(path: Path) -> list[tuple[int, Utterance]]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start})") from None
    header = lines[0].rstrip("\r").split("\t")
    for name in header:
        if name not in COLUMNS:
            raise UserError(f"{path}: unknown column '{name}'{nearest(name, COLUMNS)}; known: {' '.join(COLUMNS)}")
    missing = [name for name in NEED if name not in header]
    if missing or len(set(header)) < len(header):
        raise UserError(f"{path}: expected the columns {' '.join(NEED)}, each once; found: {' '.join(header)}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        values = line.rstrip("\r").split("\t")
        if not line.strip():
            continue
        if len(values) != len(header):
            raise UserError(f"{path}:{number}: expected {len(header)} columns as in the header, found {len(values)}")
        rows.append((number, Utterance(**dict(zip(header, (value.strip() for value in values), strict=True)))))
    if not rows:
        raise UserError(f"{path}: no utterances below the header")
    return rows


def _problems(row: Utterance) -> list[str]:
    wrong = []
    for name in ("utt", "speaker"):
        # Ids become file names, so a slash or a leading dot would put files where nobody looks for them.
        value = getattr(row, name)
        if not value or re.search(r"[\s/\\]", value) or value.startswith((".", "-")):
            wrong.append(f"{name} '{value}': expected an id without blanks and slashes, not starting with . or -")
    if not row.utt.startswith(row.speaker):
        wrong.append(f"id '{row.utt}' does not start with its speaker's id '{row.speaker}'")
    if row.emotion not in EMOTIONS:
        wrong.append(f"unknown emotion '{row.emotion}'{nearest(row.emotion, EMOTIONS)}; known: {' '.join(EMOTIONS)}")
    if row.gender not in GENDERS:
        wrong.append(f"gender '{row.gender}': expected f, m or nothing")
    if row.set not in ("", *SETS):
        wrong.append(f"set '{row.set}'{nearest(row.set, SETS)}: expected train, dev, test or nothing")
    if not row.path.endswith("|") and not os.path.isfile(row.path):
        wrong.append(f"{row.path or 'no path'}: no such file")
    if (row.start or row.stop) and not _is_span(row.start, row.stop):
        wrong.append(f"start '{row.start}' and stop '{row.stop}': expected seconds with 0 <= start < stop")
    words = row.words.split()
    if len(words) % 3 or not all(map(_is_span, words[::3], words[1::3])):
        wrong.append("words: expected `start stop word` again and again, in seconds with 0 <= start < stop")
    return wrong


def _is_span(start: str, stop: str) -> bool:
    try:
        return 0 <= float(start) < float(stop) < math.inf
    except ValueError:
        return False


def describe_folder(path: str | os.PathLike[str], most: int = 6) -> str:
    """Say what is in a folder, for messages about a wrong layout: "Actor_01/ notes.txt ... (25 entries)"."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in Path(path).iterdir())
    if not names:
        return "an empty folder"
    return " ".join(names[:most]) + (f" ... ({len(names)} entries)" if len(names) > most else "")


def require_folder(path: str, corpus: str, how: str, download: Callable[[Path], None] | None = None) -> Path:
    """Return the corpus folder as an absolute path; `how` tells the user how to get the corpus.

    Args:
        path, corpus, how: --db_root, the corpus's name, and a sentence.
        download: fetches the corpus to a folder first; None where it was not asked for.

    Raises:
        UserError: no name given, no such folder, or nothing in it; what `download` raises.
    """
    if download is not None:
        if not path:
            raise UserError("--download true needs --db_root, the folder to fetch to")
        download(Path(path))
    if not path:
        raise UserError(f"{corpus}: --db_root is not given. {how}")
    folder = Path(os.path.abspath(path))
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise UserError(f"{corpus}: expected a folder at --db_root {path}, found {found}. {how}")
    if not any(folder.iterdir()):
        raise UserError(f"{corpus}: --db_root {path} is an empty folder. {how}")
    return folder
