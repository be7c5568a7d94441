"""LibriSpeech (Panayotov et al., ICASSP 2015): <subset>/<speaker>/<chapter>/*.flac with *.trans.txt, SPEAKERS.TXT.

Files are told by their names `<speaker>-<chapter>-<number>`, so folders may be left out. Texts are in capitals there;
they become small letters, for capitals are spelled out by some readers of text.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from evc2.fileio.corpora.material import Material, is_audio, lines_of
from evc2.fileio.manifest import Utterance

LAYOUT = "<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac with <speaker>-<chapter>.trans.txt"
SPEAKERS = "SPEAKERS.TXT"
_NAME = re.compile(r"(\d+)-\d+-\d+")


def read_genders(files: Sequence[Path]) -> dict[str, str]:
    """Return speaker -> "f" or "m" by the first SPEAKERS.TXT, lines `14 | F | ...`; comments start with ;."""
    genders = {}
    for path in [path for path in files if path.name.upper() == SPEAKERS and path.is_file()][:1]:
        for _, line in lines_of(path):
            fields = [part.strip() for part in line.split("|")]
            if not line.startswith(";") and len(fields) > 1 and fields[1].lower() in ("f", "m"):
                genders[fields[0]] = fields[1].lower()
    return genders


def read(root: Path, files: Sequence[Path]) -> Material:
    """Find recordings and texts among `files`, those below `root`; SPEAKERS.TXT may also lie beside `root`."""
    genders = read_genders([*files, root.parent / SPEAKERS])

    def row(name: str) -> Utterance:
        speaker = name.split("-")[0]
        return Utterance(name, speaker, "other", genders.get(speaker, ""), "", "")

    found = Material(row)
    for path in files:
        if is_audio(path) and _NAME.fullmatch(path.stem):
            found.recordings.setdefault(path.stem, path)
        elif path.name.endswith(".trans.txt"):
            for where, line in lines_of(path):
                name, _, text = line.strip().partition(" ")
                if not (_NAME.fullmatch(name) and text):
                    found.malformed.append(where)
                else:
                    found.texts[name] = text.lower() if text.isupper() else text
    return found
