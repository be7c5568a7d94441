"""The exception that stands for a mistake of the user, not of the program, and checks that raise it."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any


class UserError(Exception):
    """Something the user can mend: a missing file, a wrong option, data of another kind.

    The message is all the user sees (no traceback), so it says what was expected, what was found and what to do.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the known name most like `name`, or an empty string if none is alike."""
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]}?)" if match else ""


def check_keys(function: Any, conf: Mapping[str, Any], where: str) -> None:
    """Raise UserError when conf holds a key that the function (or class) does not take, with the nearest valid one."""
    known = [p for p in inspect.signature(function).parameters if p != "self"]
    for key in conf:
        if key not in known:
            raise UserError(f"{where}: there is no key {key!r}{nearest(key, known)}; valid keys: {', '.join(known)}")
