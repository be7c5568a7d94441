"""test.json: what a listening test asks, and the check of an answer against it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc2.errors import UserError
from evc2.listening.rotation import order_key

FORMAT, VERSION = "evc2-listening-test", 1
LISTENER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PRIVATE = "private"
"""Folder beside test.json with the key and the answers; it is never served."""
MOST_PLAYS, MOST_SECONDS = 10_000, 1_000_000


@dataclass(frozen=True)
class Answer:
    """One answer of one listener.

    Attributes:
        listener, item: ids.
        value: one of the values of the item's test.
        plays: how often recordings of the item were played.
        seconds: from showing the item to the answer.
        changes: how often an earlier answer was replaced.
    """

    listener: str
    item: str
    value: int
    plays: int = 0
    seconds: float = 0.0
    changes: int = 0


def read_json(path: Path) -> Any:
    """Content of a JSON file; UserError where it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None


def check_listener(name: object) -> str:
    """Return a listener id, or raise UserError: 1 to 64 letters, digits, and _ . - after the first."""
    if not isinstance(name, str) or not LISTENER.fullmatch(name):
        shown = repr(name)[:80]
        raise UserError(f"listener: expected 1 to 64 letters, digits, '_', '.' or '-', found {shown}")
    return name


class Definition:
    """A test as made by make_listening_test; its content is public.

    Args:
        content: of test.json.
        where: for messages.

    Raises:
        UserError: the content is of another kind or version.
    """

    def __init__(self, content: Any, where: str) -> None:
        found = (content.get("format"), content.get("version")) if isinstance(content, dict) else None
        if found != (FORMAT, VERSION):
            raise UserError(f"{where}: expected a listening test of format ({FORMAT}, {VERSION}), found {found}")
        self.content = content
        self.id: str = content["id"]
        self.tests: dict[str, dict] = {test["name"]: test for test in content["tests"]}
        self.items: dict[str, dict] = content["items"]
        self._values = {name: {value for value, _ in test["choices"]} for name, test in self.tests.items()}

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Definition:
        """Read FOLDER/test.json."""
        path = Path(folder) / "test.json"
        if not path.is_file():
            raise UserError(f"{path}: no such file; expected a folder made by make_listening_test")
        return cls(read_json(path), str(path))

    def share(self, number: int, practice: bool = True) -> list[str]:
        """Ids of the items of the listener with a number (0 for the first), in no particular order."""
        chosen: list[str] = []
        for test in self.tests.values():
            chosen += test["practice"] if practice else []
            chosen += test["shares"][number % len(test["shares"])]
        return chosen

    def order(self, listener: str, number: int) -> list[str]:
        """Ids in the order in which the page shows them: test by test, practice first, then the listener's order."""
        chosen: list[str] = []
        for test in self.tests.values():
            own = test["shares"][number % len(test["shares"])]
            chosen += test["practice"]
            chosen += sorted(own, key=lambda item: (order_key(f"{self.id} {listener} {item}"), item))
        return chosen

    def answer(self, found: Mapping[str, Any]) -> Answer:
        """Check the fields listener, item, value, plays, seconds and changes; UserError for the first wrong one."""
        listener, item, value = check_listener(found.get("listener")), found.get("item"), found.get("value")
        if not isinstance(item, str) or item not in self.items:
            raise UserError(f"item: this test has no item {repr(item)[:80]}")
        known = self._values[self.items[item]["test"]]
        if isinstance(value, bool) or not isinstance(value, int) or value not in known:
            raise UserError(f"value: expected one of {sorted(known)}, found {repr(value)[:80]}")
        numbers = {}
        for name, most in (("plays", MOST_PLAYS), ("changes", MOST_PLAYS), ("seconds", MOST_SECONDS)):
            number = found.get(name, 0)
            kinds = (int, float) if name == "seconds" else (int,)
            good = not isinstance(number, bool) and isinstance(number, kinds)
            if not (good and math.isfinite(number) and 0 <= number <= most):
                raise UserError(f"{name}: expected a number from 0 to {most}, found {repr(number)[:80]}")
            numbers[name] = number
        return Answer(listener, item, value, **numbers)
