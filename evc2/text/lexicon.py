"""Pronouncing dictionaries in ARPAbet, and espeak's English IPA in ARPAbet."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from evc2.errors import UserError
from evc2.text.silences import SILENCES

VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
INVENTORY = [*sorted([*CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in "012")]), *SILENCES]
"""The 39 phones of the CMU pronouncing dictionary, vowels with their stress (0 none, 1 main, 2 other), and silences."""

# Symbols of the IPA without marks of length. Those that American English has come first, then neighbours for the
# phones of the foreign words that espeak knows. A phone that is not here is taken apart: "ɑːɹ" is AA R, "aɪɚ" AY ER.
_ARPABET = {
    **{"ɑ": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɔ": "AO", "aʊ": "AW", "aɪ": "AY", "ɛ": "EH", "ɜ": "ER"},
    **{"ɚ": "ER", "ɝ": "ER", "eɪ": "EY", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY"},
    **{"ʊ": "UH", "ᵿ": "UH", "u": "UW", "n̩": "AH N", "m̩": "AH M", "l̩": "AH L"},
    **{"b": "B", "tʃ": "CH", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "dʒ": "JH", "k": "K"},
    **{"l": "L", "ɫ": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T"},
    **{"ɾ": "T", "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "ʍ": "W", "j": "Y", "z": "Z", "ʒ": "ZH"},
    **{"a": "AA", "ɒ": "AA", "ɨ": "IH", "ɘ": "AH", "ɵ": "AH", "ɤ": "AH", "e": "EY", "o": "OW", "y": "UW", "ʉ": "UW"},
    **{"ɯ": "UW", "ø": "ER", "œ": "ER", "ɶ": "ER", "ʏ": "UH", "β": "V", "ʋ": "V", "ɸ": "F", "x": "K", "χ": "HH"},
    **{
        "ç": "HH",
        "ħ": "HH",
        "ɦ": "HH",
        "ɣ": "G",
        "ʁ": "R",
        "ʀ": "R",
        "ɽ": "R",
        "ɻ": "R",
        "ɬ": "L",
        "ɭ": "L",
        "ʎ": "L Y",
    },
    **{
        "ʎ": "L Y",
        "ɲ": "N Y",
        "ɳ": "N",
        "ɱ": "M",
        "c": "K",
        "q": "K",
        "ɟ": "G",
        "ʈ": "T",
        "ɖ": "D",
        "ɕ": "SH",
        "ʂ": "SH",
    },
    **{"ʑ": "ZH", "ʐ": "ZH", "ɥ": "W", "ɰ": "W"},
}
_SYMBOL = re.compile("|".join(sorted(_ARPABET, key=len, reverse=True)))
_STRESS = {"ˈ": "1", "ˌ": "2"}
_MARKS = re.compile(r"[ːˑ̃ʰʲˠʷ̪̯͡ˈˌ\d-]+")  # length and other marks that English does not tell apart


def to_arpabet(phones: Sequence[str], dropped: set[str]) -> list[str]:
    """Phones of espeak's voice en-us (IPA with stress) in ARPAbet.

    The symbols that have no counterpart are left out; each new one is added to `dropped` and told in a warning.
    """
    found = []
    for phone in phones:
        stress = _STRESS.get(phone[:1], "0")
        place, bare = 0, _MARKS.sub("", phone)
        while place < len(bare):
            match = _SYMBOL.match(bare, place)
            place = match.end() if match else place + 1
            if not match:
                _drop(bare[place - 1], dropped)
                continue
            for symbol in _ARPABET[match.group()].split():
                if symbol in VOWELS:
                    symbol, stress = symbol + stress, "0"  # it is the first vowel that bears the stress
                found.append(symbol)
    return found


def _drop(symbol: str, dropped: set[str]) -> None:
    if symbol not in dropped:
        dropped.add(symbol)
        logging.warning(
            "espeak's phone '%s' (U+%04X) has no counterpart in ARPAbet and is left out", symbol, ord(symbol)
        )


def read_lexicon(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a pronouncing dictionary in the form of CMUdict, LibriSpeech or the Montreal aligner: word -> phones.

    Lines are `WORD  P H O N E S`; numbers between word and phones are the aligner's probabilities. Of several
    pronunciations (`WORD(2)`, or the word again) the first counts. `;;;` begins a line of comment, ` #` a late one.

    Raises:
        UserError: no such file, no word in it, a line without phones, or a phone that is not of ARPAbet.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"--lexicon: {path}: cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # CMUdict up to 0.7b
    known, lexicon = set(INVENTORY), {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(" #")[0].split()
        if not words or line.startswith(";;;"):
            continue
        phones = [phone.lower() if phone.lower() in SILENCES else phone.upper() for phone in words[1:]]
        while phones and re.fullmatch(r"\d*\.?\d+(E-?\d+)?", phones[0]):
            phones.pop(0)
        wrong = [phone for phone in phones if phone not in known]
        if wrong or not phones:
            found = f"'{wrong[0]}'" if wrong else "no phone"
            raise UserError(
                f"--lexicon: {path}:{number}: '{words[0]}': expected phones of ARPAbet, vowels with their stress "
                f"(K AE1 T), found {found}"
            )
        lexicon.setdefault(re.sub(r"(?<=.)\(\d+\)$", "", words[0]).lower(), phones)
    if not lexicon:
        raise UserError(f"--lexicon: {path}: expected lines of `WORD  P H O N E S`, found none")
    return lexicon
