"""ESD (Zhou et al., Speech Communication 2022): <speaker>/<Emotion>/[<set>/]<speaker>_<number>.wav and their texts.

The texts of a speaker are in <speaker>/<speaker>.txt. Ten speakers of Mandarin (0001 to 0010) and ten of English say
350 sentences in five emotions, numbered emotion by emotion; of each 350 the first 20 are the official evaluation set
(dev here), the next 30 the test set.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from evc2.fileio.corpora.material import Material, is_audio, lines_of
from evc2.fileio.manifest import Utterance

LAYOUT = "0011/0011.txt with lines `0011_000001<TAB>text<TAB>Neutral`, and 0011/Neutral/[train/]0011_000001.wav"
EMOTIONS = {"neutral": "neutral", "angry": "angry", "happy": "happy", "sad": "sad", "surprise": "surprised"}
SENTENCES, EVALUATION, TEST = 350, 20, 50  # numbers up to these, of each emotion
_NAME = re.compile(r"(\d{4})_(\d{6})")
_LINE = re.compile(r"\s*(\d{4}_\d{6})\s+(\S.*)")


def set_of(number: int) -> str:
    """Return the official set of a recording by its number within its speaker, from 1 on."""
    k = (number - 1) % SENTENCES + 1
    return "dev" if k <= EVALUATION else "test" if k <= TEST else "train"


def _emotion(path: Path, number: int) -> str:
    # The folder says it in all archives; the number does too, unless somebody put all files of a speaker together.
    named = [EMOTIONS[part.lower()] for part in path.parent.parts[-2:] if part.lower() in EMOTIONS]
    return named[-1] if named else list(EMOTIONS.values())[(number - 1) // SENTENCES % len(EMOTIONS)]


def _text(rest: str) -> str:
    """Return the text of what follows the id: text and emotion, by tabs, or in some files by blanks.

    The emotion's word is Chinese in files of Mandarin, so with blanks it is simply the last word.
    """
    text, tab, _ = rest.partition("\t")
    return text.strip() if tab else " ".join(rest.split()[:-1])


def read(root: Path, files: Sequence[Path]) -> Material:
    """Find recordings and texts among `files`, those below `root`."""

    def row(name: str) -> Utterance:
        speaker, digits = name.split("_")
        number = int(digits)
        language = "zh" if int(speaker) <= 10 else "en"  # sentences are numbered alike in both
        sentence = f"{language}-{(number - 1) % SENTENCES + 1:03d}"
        emotion = _emotion(found.recordings[name], number)
        return Utterance(name, speaker, emotion, "", "", "", sentence=sentence, set=set_of(number))

    found = Material(row)
    for path in files:
        if is_audio(path) and _NAME.fullmatch(path.stem):
            found.recordings.setdefault(path.stem, path)
        elif re.fullmatch(r"\d{4}\.txt", path.name):
            for where, line in lines_of(path, ("gb18030",)):
                match = _LINE.match(line)
                text = _text(match[2]) if match else ""
                if text:
                    found.texts[match[1]] = text
                else:
                    found.malformed.append(where)
    return found
