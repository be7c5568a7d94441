"""The exception that stands for a mistake of the user, not of the program."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: a missing file, a wrong option, data of another kind.

    The message is all the user sees (no traceback), so it says what was expected, what was found and what to do.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the known name most like `name`, or an empty string if none is alike."""
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]}?)" if match else ""
