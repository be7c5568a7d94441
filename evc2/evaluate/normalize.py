"""Text before it is compared: what two correct transcripts of one utterance may differ in is made alike.

English, in this order:

1. Unicode NFKC, lower case, accents dropped ("café" is "cafe"); typographic apostrophes become "'".
2. Dotted letters join ("p.m." is "pm"); "&" is "and", "%" is "percent", "£5" is "five pounds" ("$", "€" likewise).
3. Numbers below a thousand million become words: cardinals ("1,234" is "one thousand two hundred thirty four"),
   ordinals ("22nd" is "twenty second"), decimals ("3.5" is "three point five"). Four digits without a comma from 1100
   to 1999 are read as a year ("1455" is "fourteen fifty five"). Longer numbers, and those that begin with a useless 0,
   are read digit by digit. "and" after "hundred" or "thousand" is dropped before another number.
4. Abbreviations get their words ("mr", "mrs", "dr", "prof", "st" (saint), "jr", "sr", "vs", "etc", "ok").
5. All that is no letter becomes a blank, hyphens too; an apostrophe stays between two letters.

Spelling ("colour") and contractions ("don't") are left alone, so they count as errors where the two texts differ.
Other languages: NFKC, lower case, punctuation and symbols become blanks, digits stay. Languages written without blanks
(``UNSPACED``) lose them.
"""

from __future__ import annotations

import re
import unicodedata

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
"""Languages (Whisper's names) written without blanks between words: a word error rate has no meaning there."""

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINAL = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_SHORT = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "prof": "professor", "st": "saint", "jr": "junior",
    "sr": "senior", "vs": "versus", "etc": "et cetera", "ok": "okay",
}  # fmt: skip
_COINS = {"$": "dollar", "£": "pound", "€": "euro"}
_NUMBER_WORD = "|".join([*_ONES, *_TENS[2:], *_ORDINAL.values()])
_AND = re.compile(rf"\b(hundred|thousand|million) and (?=(?:{_NUMBER_WORD}|\w+th|\w+tieth)\b)")
_MONEY = re.compile(r"([$£€])\s?(\d[\d,]*(?:\.\d+)?)")
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?:(st|nd|rd|th)\b)?")
_DOTTED = re.compile(r"(?<!\w)(?:[^\W\d_]\.){2,}")
_LIMIT = 10**9


def normalize(text: str, language: str = "en") -> str:
    """The text in the form in which transcripts are compared; see the top of this module for what is done.

    Args:
        text: what is said, or what was recognised.
        language: as Whisper names it ("en").

    Returns:
        Words parted by single blanks (no blanks for ``UNSPACED``); empty where no word is left. It does not change
        when it is normalised again.
    """
    # Before NFKC, which makes a blank and a combining accent of a lone accent.
    text = re.sub("[’‘ʼ`´]", "'", text)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    if language == "en":
        text = _english(text)
    text = "".join(c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in text)
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
    words = text.split()
    if language == "en":
        words = [_SHORT.get(word, word) for word in words]
    joined = unicodedata.normalize("NFKC", ("" if language in UNSPACED else " ").join(words))
    return _AND.sub(r"\1 ", joined) if language == "en" else joined


def _english(text: str) -> str:
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
    text = unicodedata.normalize("NFKC", text)
    text = _DOTTED.sub(lambda found: found[0].replace(".", "") + " ", text)
    text = _MONEY.sub(_money, text)
    text = text.replace("&", " and ").replace("%", " percent ").replace("per cent", "percent")
    return _NUMBER.sub(_spoken, text)


def _money(found: re.Match) -> str:
    coin, amount = _COINS[found[1]], found[2]
    return f"{amount} {coin if amount == '1' else coin + 's'} "


def _spoken(found: re.Match) -> str:
    digits, fraction, ending = found[1], found[2], found[3]
    plain = digits.replace(",", "")
    if fraction is not None:
        return f" {_cardinal(plain)} point {_each(fraction[1:])} "
    if ending is not None:
        return f" {_ordinal(_cardinal(plain))} "
    if len(digits) == 4 and 1100 <= int(digits) <= 1999:
        return f" {_year(int(digits))} "
    return f" {_cardinal(plain)} "


def _each(digits: str) -> str:
    return " ".join(_ONES[int(digit)] for digit in digits)


def _year(year: int) -> str:
    first, last = divmod(year, 100)
    if last == 0:
        return f"{_ONES[first]} hundred"
    return f"{_ONES[first]} {'oh ' if last < 10 else ''}{_cardinal(str(last))}"


def _cardinal(digits: str) -> str:
    number = int(digits)
    if number >= _LIMIT or (len(digits) > 1 and digits[0] == "0"):
        return _each(digits)
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens] + (f" {_ONES[rest]}" if rest else "")
    unit, name = next((u, n) for u, n in ((10**6, "million"), (1000, "thousand"), (100, "hundred")) if number >= u)
    count, rest = divmod(number, unit)
    return f"{_cardinal(str(count))} {name}" + (f" {_cardinal(str(rest))}" if rest else "")


def _ordinal(cardinal: str) -> str:
    *before, last = cardinal.split()
    if last not in _ORDINAL:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    else:
        last = _ORDINAL[last]
    return " ".join([*before, last])
