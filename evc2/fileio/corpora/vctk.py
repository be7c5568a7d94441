"""VCTK (Yamagishi, Veaux, MacDonald), versions 0.80 and 0.92: recordings, txt/<speaker>/*.txt, speaker-info.txt.

0.80 has wav48/p225/p225_001.wav, 0.92 wav48_silence_trimmed/p225/p225_001_mic1.flac and _mic2. Of two microphones the
first is taken; two speakers lack the second.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.corpora.material import Material, decoded, is_audio, lines_of
from evc2.fileio.manifest import Utterance

LAYOUT = "wav48/p225/p225_001.wav or wav48_silence_trimmed/p225/p225_001_mic1.flac, and txt/p225/p225_001.txt"
INFO = "speaker-info.txt"
_NAME = re.compile(r"((?:p|s)\d+)_(\d+)(?:_mic([12]))?")


def read_genders(files: Sequence[Path]) -> dict[str, str]:
    """Return speaker -> "f" or "m" by speaker-info.txt: ID AGE GENDER ..., whose ids are 225 in 0.80, p225 in 0.92."""
    genders = {}
    for path in [path for path in files if path.name == INFO][:1]:
        for _, line in lines_of(path):
            fields = line.split()
            if len(fields) > 2 and fields[2].lower() in ("f", "m"):
                genders[f"p{fields[0]}" if fields[0].isdigit() else fields[0]] = fields[2].lower()
    return genders


def read(root: Path, files: Sequence[Path]) -> Material:
    """Find recordings and texts among `files`, those below `root`."""
    genders = read_genders(files)

    def row(name: str) -> Utterance:
        speaker = name.split("_")[0]
        return Utterance(name, speaker, "other", genders.get(speaker, ""), "", "")

    found = Material(row)
    second = {}
    for path in files:
        match = _NAME.fullmatch(path.stem)
        if not match:
            continue
        name = f"{match[1]}_{match[2]}"
        if path.suffix.lower() == ".txt" and not match[3]:
            try:
                found.texts.setdefault(name, decoded(path))
            except UserError:
                found.malformed.append(path.name)  # one file of 44,000: counted, as other gaps are
        elif is_audio(path):
            (second if match[3] == "2" else found.recordings).setdefault(name, path)
    found.recordings = second | found.recordings
    return found
