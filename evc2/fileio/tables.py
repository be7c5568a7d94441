"""Kaldi's two-column text tables: reading with clear errors, writing sorted and atomically."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.atomic import write_text

_ROW = re.compile(r"([^ \t]+)(?:[ \t]+(.*))?")


def rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, first word, rest) of each line that is not blank; the rest is "" where there is none.

    Raises:
        UserError: the file is missing, unreadable or not UTF-8.
    """
    path = Path(path)
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: expected a file, found a folder") from None
    with file:
        # Not as text: its lines also end at characters which may stand inside a transcript, such as a lone "\r".
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8").strip(" \t\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}:{number}: not UTF-8 (byte 0x{raw[error.start]:02x})") from None
            if line:
                key, value = _ROW.fullmatch(line).groups()
                yield number, key, value or ""


def read_table(path: str | os.PathLike[str], check_sorted: bool = False, allow_empty: bool = False) -> dict[str, str]:
    """Read a table `key value ...`, one entry a line, into a dict in the order of the file.

    Args:
        path: the file; blank lines are ignored, a value may hold spaces.
        check_sorted: whether keys must be in the order of their bytes (LC_ALL=C), as Kaldi's rules want.
        allow_empty: whether a file without entries is fine.

    Raises:
        UserError: duplicate key, missing value, wrong order, no entry, missing file or one that is not UTF-8.
    """
    table: dict[str, str] = {}
    last = before = ""
    for number, key, value in rows(path):
        if not value:
            raise UserError(f"{path}:{number}: '{key}' has no value; expected `key value`")
        if key in table:
            raise UserError(f"{path}:{number}: duplicate key '{key}'; each key may stand there once")
        if check_sorted and key < last:  # code points order as UTF-8 bytes do
            raise UserError(
                f"{path}:{number}: '{key}' comes after '{last}'; expected the order of LC_ALL=C sort "
                f"(utils/fix_data_dir.sh sorts a data directory)"
            )
        # Corpora are large: tables share their keys, and neighbouring rows the name of their speaker.
        key, value = sys.intern(key), before if value == before else value
        table[key] = value
        last, before = key, value
    if not table and not allow_empty:
        raise UserError(f"{path}: empty; expected lines of `key value`")
    return table


def write_table(path: str | os.PathLike[str], table: Mapping[str, object]) -> None:
    """Write `key value` lines in the order of the keys' bytes (LC_ALL=C), atomically.

    Raises:
        UserError: a key that is empty or holds white space, or a value that is empty or holds a line break.
    """
    lines = []
    for key in sorted(table):
        value = str(table[key]).strip(" \t\r")
        if not key or re.search(r"\s", key):
            raise UserError(f"{path}: the key '{key}' cannot be written: it is empty or holds white space")
        if not value or "\n" in value:
            raise UserError(f"{path}: the value of '{key}' cannot be written: it is empty or holds a line break")
        lines.append(f"{key} {value}\n")
    write_text(path, "".join(lines))
