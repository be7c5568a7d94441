"""LJSpeech (Ito 2017) and corpora of one's own in its layout: metadata.csv and wavs/.

A line of metadata.csv is `id|raw text|normalised text`, without quotes or header. Other corpora of that layout have
other ids; then the folder's name is the speaker and stands before them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from evc2.fileio.corpora.material import Material, is_audio, lines_of, piped
from evc2.fileio.folders import as_id, as_speaker
from evc2.fileio.manifest import Utterance

LAYOUT = "metadata.csv with lines `id|raw text|normalised text`, and wavs/<id>.wav (or flac)"
METADATA = "metadata.csv"
_LJ = re.compile(r"LJ\d+-\d+")


def read(root: Path, files: Sequence[Path]) -> Material:
    """Find recordings and texts among `files`, those below `root`."""
    tables = [path for path in files if path.name == METADATA][:1]
    speaker = as_speaker((tables[0].parent if tables else root).name) or "speaker"

    def row(name: str) -> Utterance:
        if _LJ.fullmatch(name):
            return Utterance(name, "LJ", "other", "f", "", "")
        return Utterance(f"{speaker}-{as_id(name)}", speaker, "other", "", "", "")

    found = Material(row)
    for path in files:
        if is_audio(path):
            found.recordings.setdefault(path.stem, path)
    for where, line in (item for path in tables for item in lines_of(path)):
        pair = piped(line)
        if pair is None:
            found.malformed.append(where)
        else:
            found.texts[pair[0]] = pair[1]
    return found
