"""Lists of trials (the conversions that stages 6 and 7 make and measure), and the fixed vocabulary of emotions."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from evc2.errors import UserError, nearest
from evc2.fileio.atomic import write_text
from evc2.fileio.tables import rows

EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "excited",
    "frustrated",
    "bored",
    "other",
)


@dataclass(frozen=True)
class Trial:
    """One conversion to make: `source` utterance (or text) as `speaker` in `emotion`, compared with `reference`."""

    id: str
    source: str
    speaker: str
    emotion: str
    reference: str | None = None


def read_trials(path: str | os.PathLike[str]) -> list[Trial]:
    """Read lines `<trial_id> <source> <speaker> <emotion> [<reference>]`; a file without lines gives an empty list.

    Raises:
        UserError: wrong number of fields, a duplicate id or an emotion that is not in EMOTIONS, naming file and line.
    """
    trials: dict[str, Trial] = {}
    for number, name, rest in rows(path):
        fields = rest.split()
        if len(fields) not in (3, 4):
            raise UserError(
                f"{path}:{number}: expected `trial_id source speaker emotion [reference]`, found '{name} {rest}'"
            )
        if name in trials:
            raise UserError(f"{path}:{number}: duplicate trial id '{name}'")
        if fields[2] not in EMOTIONS:
            raise UserError(f"{path}:{number}: unknown emotion '{fields[2]}'{nearest(fields[2], EMOTIONS)}")
        trials[name] = Trial(name, *fields)
    return list(trials.values())


def trial_lines(trials: Iterable[Trial]) -> str:
    """Return the text of a trials file, in the order of the trials' ids."""
    ordered = sorted(trials, key=lambda trial: trial.id)
    return "".join(" ".join(filter(None, (t.id, t.source, t.speaker, t.emotion, t.reference))) + "\n" for t in ordered)


def write_trials(path: str | os.PathLike[str], trials: Iterable[Trial]) -> None:
    """Write trials in the order of their ids, atomically."""
    write_text(path, trial_lines(trials))
