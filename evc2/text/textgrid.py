"""Praat's TextGrid files: intervals with labels, as forced aligners write them.

Praat reads only what stands free between blanks: numbers, "quoted texts" (a quote inside is doubled) and <flags>; all
else is comment. So the long and the short format are one sequence of values (Praat manual, "TextGrid file formats").
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from evc2.errors import UserError

_VALUE = re.compile(r'"(?:[^"]|"")*"(?=\s|$)|(?<!\S)(?:<\w+>|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?=\s|$)')


class Interval(NamedTuple):
    """A stretch of time in seconds and what is said in it."""

    start: float
    stop: float
    label: str


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected a TextGrid in UTF-8 or UTF-16, found another encoding") from None


def read_textgrid(path: str | os.PathLike[str]) -> dict[str, list[Interval]]:
    """Tier -> its intervals in order, with labels stripped. Tiers of points are left out.

    Raises:
        UserError: not a TextGrid, cut short, or intervals that are not in order.
    """
    path = Path(path)
    words = _VALUE.findall(_decoded(path))
    if len(words) < 5 or "TextGrid" not in words[1]:
        raise UserError(f"{path}: expected a TextGrid, found a file of another kind")
    try:
        return _tiers(path, iter(words[5:]), 0 if words[4] != "<exists>" else None)
    except StopIteration:
        raise UserError(f"{path}: truncated: it ends within a tier") from None
    except ValueError as error:
        raise UserError(f"{path}: not a TextGrid that can be read: {error}") from None


def _tiers(path: Path, words, count: int | None) -> dict[str, list[Interval]]:
    tiers: dict[str, list[Interval]] = {}
    for _ in range(int(next(words)) if count is None else count):
        kind, name = _text(next(words)), _text(next(words))
        _, _, size = float(next(words)), float(next(words)), int(next(words))
        if kind == "TextTier":
            for _ in range(2 * size):
                next(words)
            continue
        if kind != "IntervalTier":
            raise ValueError(f"a tier of kind '{kind}'")
        found = [Interval(float(next(words)), float(next(words)), _text(next(words)).strip()) for _ in range(size)]
        last = found[0].start if found else 0.0
        for interval in found:
            if interval.start < last - 1e-6 or interval.stop < interval.start:
                raise UserError(
                    f"{path}: tier '{name}': the interval at {interval.start} s is not after the one before"
                )
            last = interval.stop
        tiers[name] = found
    return tiers


def _text(word: str) -> str:
    if not word.startswith('"'):
        raise ValueError(f"expected a text in quotes, found {word}")
    return word[1:-1].replace('""', '"')
