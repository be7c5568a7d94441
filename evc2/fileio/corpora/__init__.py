"""Corpora of speech with its text, in their official layouts, as rows of a manifest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.corpora import esd, librispeech, ljspeech, vctk
from evc2.fileio.corpora.material import Material, Selection, files_below, paired, read_further
from evc2.fileio.manifest import Utterance, describe_folder, require_folder

__all__ = ["CORPORA", "Corpus", "Selection", "read_corpus"]


@dataclass(frozen=True)
class Corpus:
    """`name` for messages; `read(root, files)` finds recordings and texts; `layout` says what it looks for."""

    name: str
    read: Callable[[Path, Sequence[Path]], Material]
    layout: str


CORPORA = {
    "ljspeech": Corpus("LJSpeech", ljspeech.read, ljspeech.LAYOUT),
    "librispeech": Corpus("LibriSpeech", librispeech.read, librispeech.LAYOUT),
    "vctk": Corpus("VCTK", vctk.read, vctk.LAYOUT),
    "esd": Corpus("ESD", esd.read, esd.LAYOUT),
}


def read_corpus(kind: str, db_root: str, further: str = "") -> tuple[list[Utterance], dict[str, list[str]]]:
    """Return the utterances of a corpus that have both a recording and a text, and what was left out: why -> names.

    Args:
        kind: a key of CORPORA.
        db_root: folder of the corpus, or one around it.
        further: a file of transcripts beside those of the corpus, see :func:`read_further`.

    Raises:
        UserError: no such folder or file, or nothing in it that has the corpus's layout.
    """
    corpus = CORPORA[kind]
    root = require_folder(db_root, corpus.name, f"Expected {corpus.layout}.")
    material = corpus.read(root, files_below(root))
    material.texts |= read_further(root, further)
    rows, left_out = paired(material)
    if not rows:
        reasons = "".join(f"; {len(names)} {why}, e.g. {names[0]}" for why, names in left_out.items())
        raise UserError(
            f"{corpus.name}: {root}: expected {corpus.layout}; found: {describe_folder(root)}{reasons}. "
            "Give the folder that holds these as --db_root."
        )
    return rows, left_out
