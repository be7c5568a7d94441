"""Reading the answers: from the server's SQLite file and from files that listeners downloaded."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evc2.errors import UserError
from evc2.listening.definition import Answer, Definition, check_listener, read_json
from evc2.listening.store import read_store, store_path

ANSWERS_FORMAT = "evc2-listening-answers"
COLUMNS = ("test", "listener", "number", "item", "value", "plays", "seconds", "changes")
MOST_NUMBER = 2**32


@dataclass
class Answers:
    """Answers of all listeners.

    Attributes:
        numbers: listener -> number, which says which items were theirs.
        by_listener: listener -> item -> answer.
        repeated: answers that a later file replaced.
        files: what was read.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    by_listener: dict[str, dict[str, Answer]] = field(default_factory=dict)
    repeated: int = 0
    files: list[str] = field(default_factory=list)

    def add(self, listener: str, number: int, answers: Sequence[Answer], where: str) -> None:
        """Add one listener's answers; UserError where the listener is known under another number."""
        known = self.numbers.setdefault(listener, number)
        if known != number:
            raise UserError(
                f"{where}: listener {listener} has number {number}, but {known} before: two people took one id, or one "
                "took part twice; give them different ids, or leave out one file"
            )
        own = self.by_listener.setdefault(listener, {})
        for answer in answers:
            self.repeated += answer.item in own
            own[answer.item] = answer


def read_answers(folder: str | os.PathLike[str], test: Definition, files: Sequence[str | os.PathLike[str]]) -> Answers:
    """All answers to a test: the server's, if there are any, then those of the files in their order.

    Args:
        folder: of the test.
        files: .json and .csv as the page offers them, or .sqlite of another server.

    Raises:
        UserError: a file that is missing, malformed or of another test, or no answers at all.
    """
    found = Answers()
    own = store_path(folder)
    for path in [*([own] if own.is_file() else []), *map(Path, files)]:
        if not path.is_file():
            raise UserError(f"--answers: {path}: no such file")
        readers = {".json": _read_json, ".csv": _read_csv, ".sqlite": _read_sqlite}
        if path.suffix.lower() not in readers:
            raise UserError(f"--answers: {path}: expected .json, .csv or .sqlite")
        readers[path.suffix.lower()](path, test, found)
        found.files.append(str(path))
    if not any(found.by_listener.values()):
        raise UserError(f"{own} has no answers, and --answers gives none: there is nothing to score")
    return found


def _read_sqlite(path: Path, test: Definition, found: Answers) -> None:
    numbers, answers = read_store(path, test.id)
    own: dict[str, list[Answer]] = {listener: [] for listener in numbers}
    for answer in answers:
        own[answer.listener].append(test.answer(vars(answer)))
    for listener, number in numbers.items():
        found.add(listener, number, own[listener], str(path))


def _read_json(path: Path, test: Definition, found: Answers) -> None:
    content = read_json(path)
    rows = content.get("answers") if isinstance(content, dict) else None
    if not isinstance(rows, list) or content.get("format") != ANSWERS_FORMAT:
        raise UserError(f"{path}: expected answers as the page's download gives them ({ANSWERS_FORMAT})")
    head = {name: content.get(name) for name in ("test", "listener", "number")}
    _add(path, test, found, [(f"{path}: answer {i + 1}", head | _row(row)) for i, row in enumerate(rows)], head)


def _row(row: object) -> Mapping[str, Any]:
    return row if isinstance(row, dict) else {}


def _read_csv(path: Path, test: Definition, found: Answers) -> None:
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        rows = [(f"{path}:{reader.line_num}", row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV: {error}") from None
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise UserError(f"{path}: expected the columns {','.join(COLUMNS)}")
    parsed: list[tuple[str, dict[str, Any]]] = []
    for where, row in rows:
        try:
            numbers = {name: int(row[name]) for name in ("number", "value", "plays", "changes")}
            parsed.append((where, dict(row) | numbers | {"seconds": float(row["seconds"])}))
        except (TypeError, ValueError):
            raise UserError(f"{where}: expected numbers in number, value, plays, seconds and changes") from None
    # A file may hold several listeners: an organiser may have put the files together.
    for listener in dict.fromkeys(row["listener"] for _, row in parsed):
        own = [(where, row) for where, row in parsed if row["listener"] == listener]
        _add(path, test, found, own, own[0][1])


def _add(
    path: Path,
    test: Definition,
    found: Answers,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    head: Mapping[str, Any],
) -> None:
    if head.get("test") != test.id:
        raise UserError(f"{path}: answers of test {str(head.get('test'))[:40]}, expected {test.id}")
    number = head.get("number")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < MOST_NUMBER:
        raise UserError(f"{path}: number: expected a whole number, found {repr(number)[:40]}")
    share = set(test.share(number))
    answers = []
    for where, row in rows:
        try:
            answer = test.answer(row)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        if answer.item not in share:
            raise UserError(f"{where}: item {answer.item} is not among the items of listener number {number}")
        answers.append(answer)
    found.add(check_listener(head.get("listener")), number, answers, str(path))
