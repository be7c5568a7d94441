"""Directions: the groups of trials that get a table each, by what a conversion changes.

A trial that changes the speaker belongs to "s1 to s2", and where there are too many such pairs to "to s2"; any other
one to a pair of emotions such as "neutral -> angry".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from evc2.fileio.datadir import EMOTIONS, Trial

ALL = "all"

MOST = 12
"""With more pairs of speakers than this, trials are put together by target speaker."""

_ARROW = " -> "


def direction_name(source_emotion: str | None, emotion: str) -> str:
    """Such as "neutral -> angry"; the source is "text" where a trial has no source emotion."""
    return f"{source_emotion or 'text'}{_ARROW}{emotion}"


def changes_speaker(source_speaker: str | None, speaker: str) -> bool:
    """Whether a conversion goes to another speaker; where it is not known who speaks the source it does not."""
    return source_speaker is not None and source_speaker != speaker


def directions_of(
    trials: Sequence[Trial], emotions: Mapping[str, str], speakers: Mapping[str, str], most: int = MOST
) -> dict[str, str]:
    """Trial id -> its direction.

    Args:
        trials: all trials of an evaluation: the number of pairs of speakers decides how they are put together.
        emotions, speakers: utterance -> its emotion, its speaker, as far as known.
        most: pairs of speakers that get a direction each.
    """
    pairs = {(speakers.get(t.source), t.speaker) for t in trials if changes_speaker(speakers.get(t.source), t.speaker)}

    def name(trial: Trial) -> str:
        pair = speakers.get(trial.source), trial.speaker
        if pair not in pairs:
            return direction_name(emotions.get(trial.source), trial.emotion)
        return f"{pair[0]} to {pair[1]}" if len(pairs) <= most else f"to {pair[1]}"

    return {trial.id: name(trial) for trial in trials}


def in_order(directions: Iterable[str]) -> list[str]:
    """Pairs of emotions in the order of the emotions' list, then speakers by name (numbers in names by size)."""
    place = {name: i for i, name in enumerate(EMOTIONS)}

    def key(direction: str) -> tuple:
        source, arrow, target = direction.partition(_ARROW)
        if arrow:
            return 0, place.get(source, len(place)), place.get(target, len(place)), direction
        words = re.split(r"(\d+)", direction)  # text and numbers take turns, so only like is compared with like
        return 1, [int(word) if k % 2 else word for k, word in enumerate(words)], direction

    return sorted(directions, key=key)


def title(direction: str) -> str:
    """A direction as a heading: what its names are is said where they are no emotions."""
    if direction == ALL:
        return "all directions"
    if _ARROW in direction:
        return direction
    return f"to speaker {direction[3:]}" if direction.startswith("to ") else f"speaker {direction}"
