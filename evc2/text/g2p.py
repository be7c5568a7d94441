"""Text to phones: in IPA from espeak-ng, or in ARPAbet from a pronouncing dictionary with espeak-ng for other words."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

from evc2.errors import UserError, nearest
from evc2.text.lexicon import INVENTORY, read_lexicon, to_arpabet
from evc2.text.silences import PAUSE, SILENCE

KINDS = ("espeak", "arpabet")
_KEYS = ("kind", "language", "lexicon")  # of g2p.yaml
_ARPABET_VOICE = "en-us"  # the one whose phones lexicon.py has in ARPAbet

_NO_PAUSE = frozenset("-'’‘&@#%*/\\_`")  # punctuation within words, or said itself
# The dot of these is no full stop, although espeak ends a clause there.
_TITLES = frozenset("mr mrs ms dr prof st sr jr rev hon gen col maj capt lt sgt gov sen rep mt vs".split())
_TAIL = re.compile(r"(\w*)([^\w\s]\W*)\w?$")  # the last word, its punctuation, and one letter that espeak reads ahead


class G2P(Protocol):
    """What :func:`build_g2p` returns.

    inventory: the phones it can give, where that is known beforehand; else None.
    unknown: word -> how often it was met, of the words that are not in the lexicon.
    """

    inventory: list[str] | None
    unknown: dict[str, int]

    def __call__(self, text: str) -> list[str]:
        """The phones of a text, with `sp` between clauses and no silence at its ends; UserError if there are none."""


def build_g2p(
    kind: str = "espeak", language: str = "en-us", lexicon: str | os.PathLike[str] | None = None
) -> EspeakG2P | ArpabetG2P:
    """Build a grapheme-to-phoneme function from the keys of `g2p.yaml`.

    Args:
        kind: "espeak" (IPA with stress, ``ˈɪ``) or "arpabet" (``IH1``).
        language: voice of espeak-ng.
        lexicon: pronouncing dictionary (:func:`evc2.text.lexicon.read_lexicon`); only for "arpabet", whose other words,
            or without one all, are said by espeak-ng and brought to ARPAbet.

    Raises:
        UserError: an unknown kind or language, a lexicon that cannot be used, or no espeak-ng.
    """
    if kind == "espeak":
        if lexicon:
            raise UserError("--lexicon: espeak-ng has its own words; a lexicon needs --g2p arpabet")
        return EspeakG2P(language)
    if kind == "arpabet":
        if language.lower().split("-")[0] != "en":
            raise UserError(f"ARPAbet has the phones of English, found language '{language}'; choose --g2p espeak")
        return ArpabetG2P(lexicon)
    raise UserError(f"unknown kind of phones '{kind}'{nearest(kind, KINDS)}; expected one of {', '.join(KINDS)}")


def read_g2p(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """``g2p.yaml`` of a feature directory: the keys of :func:`build_g2p` by which its phones were made.

    Raises:
        UserError: no such file, or one that does not hold these keys.
    """
    path = Path(folder) / "g2p.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; evc2.bin.phonemize writes it beside the phones") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({error}); make the phones again with evc2.bin.phonemize") from None
    if not isinstance(found, dict) or "kind" not in found or not set(found) <= set(_KEYS):
        raise UserError(f"{path}: expected keys kind, language and lexicon, found {found!r}")
    return found


def with_silence(phones: list[str]) -> list[str]:
    """The phones of an utterance with `sil` at both ends: the recordings are cut 50 ms before and after the speech."""
    return [SILENCE, *phones, SILENCE]


class EspeakG2P:
    """Phones of a voice of espeak-ng in IPA. See :class:`G2P`."""

    def __init__(self, language: str = "en-us") -> None:
        from evc2.text.espeak import shared_espeak

        self.inventory: list[str] | None = None
        self.unknown: dict[str, int] = {}
        self._language, self._espeak = language, shared_espeak()
        self._espeak.set_voice(language)  # so that a wrong name is told now

    def __call__(self, text: str) -> list[str]:
        """See :class:`G2P`."""
        return _joined(text, self.clauses(text))

    def clauses(self, text: str) -> list[_Clause]:
        """The phones clause by clause."""
        found = self._espeak.clauses(" ".join(_normal(text).split()), self._language)
        return [_Clause(phones, _pauses(read)) for phones, read in found]


class ArpabetG2P:
    """Phones of English in ARPAbet. See :class:`G2P`."""

    def __init__(self, lexicon: str | os.PathLike[str] | None = None) -> None:
        self.inventory: list[str] | None = list(INVENTORY)
        self.unknown: dict[str, int] = {}
        self._lexicon = read_lexicon(lexicon) if lexicon else None
        self._espeak = EspeakG2P(_ARPABET_VOICE)
        self._dropped: set[str] = set()

    def __call__(self, text: str) -> list[str]:
        """See :class:`G2P`."""
        if self._lexicon is None:  # whole sentences, since espeak weakens small words among others
            clauses = self._espeak.clauses(text)
            return _joined(text, [_Clause(to_arpabet(phones, self._dropped), stop) for phones, stop in clauses])
        return _joined(text, [_Clause(self._word(word), stop) for word, stop in _words(text)])

    def _word(self, word: str) -> list[str]:
        folded = _ascii(word).lower()
        for candidate in (folded, folded.strip("'")):
            if candidate in self._lexicon:
                return list(self._lexicon[candidate])
        if re.fullmatch(r"[^-]+(-[^-]+)+", word):
            return [phone for piece in word.split("-") for phone in self._word(piece)]
        # Folded only where nothing is lost: espeak knows numbers, signs and letters of other scripts.
        said = folded if word.isalpha() and len(folded) == len(word) else word
        phones = [phone for clause in self._espeak.clauses(said) for phone in clause.phones]
        if phones:
            self.unknown[said] = self.unknown.get(said, 0) + 1
        return to_arpabet(phones, self._dropped)


class _Clause(NamedTuple):
    phones: list[str]
    stop: bool  # whether a pause follows


def _joined(text: str, clauses: list[_Clause]) -> list[str]:
    found: list[str] = []
    pause = False
    for phones, stop in clauses:
        if phones and pause and found:
            found.append(PAUSE)
        pause = stop or (pause and not phones)
        found += phones
    if not any(phone != PAUSE for phone in found):
        raise UserError(f"expected a text with words, found '{text}', in which there is nothing to say")
    return found


def _normal(text: str) -> str:
    """Typographic forms brought to their plain ones (NFKC), and one form of apostrophe."""
    return unicodedata.normalize("NFKC", text.replace("…", " ... ")).replace("’", "'")


def _ascii(word: str) -> str:
    return unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()


def _is_pause(letter: str) -> bool:
    return unicodedata.category(letter).startswith("P") and letter not in _NO_PAUSE


def _pauses(read: str) -> bool:
    """Whether a clause that ends with the text `read` ends by its punctuation, rather than its length or a title."""
    match = _TAIL.search(read)
    if not match or not any(map(_is_pause, match[2])):
        return False
    return not (match[2].strip() == "." and match[1].lower() in _TITLES)


def _words(text: str) -> list[tuple[str, bool]]:
    """(word, whether a pause follows) of a text: blanks part words, and so does punctuation between letters."""
    text = re.sub(r"([,;:!?])(?=[^\W\d])", r"\1 ", _normal(text))
    text = re.sub(r"[—–]|--+|\.{2,}", " , ", text)
    found = []
    for piece in text.split():
        fraction = re.search(r"\.\d", piece)  # ".5"
        inner = [place for place, letter in enumerate(piece) if not _is_pause(letter)]
        inner = sorted({*inner, fraction.start()}) if fraction else inner
        if not inner:
            found.append(("", True))
            continue
        if inner[0] > 0:
            found.append(("", any(mark in '([{«“"' for mark in piece[: inner[0]]) and bool(found)))
        word, marks = piece[inner[0] : inner[-1] + 1], piece[inner[-1] + 1 :]
        dotted = marks == "." and ("." in word or word.lower() in _TITLES)  # "U.S." goes on
        found.append((word + "." if dotted and "." in word else word, bool(marks) and not dotted))
    return found
