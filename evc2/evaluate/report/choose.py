"""Which trials a page shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from evc2.errors import UserError


class _Placed(Protocol):
    """A Trial, Job or Row: what it aims at; `id` or `trial` names it, `source_emotion`, `direction` may be missing."""

    speaker: str
    emotion: str


def choose_trials(trials: Iterable[_Placed], n: int, seed: int = 0) -> list[str]:
    """Draw trials evenly over directions and, within each, over speakers; the same ones for the same seed.

    Args:
        trials: objects with ``id`` or ``trial``, ``speaker``, ``emotion`` and perhaps ``source_emotion`` or
            ``direction``.
        n: how many; all of them where there are no more.
        seed: of the draw.

    Returns:
        ids in the order of ``trials``.

    Raises:
        UserError: a negative n.
    """
    if n < 0:
        raise UserError(f"number of trials to show: expected 0 or more, found {n}")
    places: dict[str, tuple[object, str]] = {}
    for trial in trials:
        name = getattr(trial, "trial", None) or trial.id
        emotions = getattr(trial, "source_emotion", None) or "", trial.emotion
        places[name] = (getattr(trial, "direction", None) or emotions, trial.speaker)
    # Sorted before the draw: the choice does not depend on the order of a list.
    names = sorted(places)
    left = [names[k] for k in np.random.default_rng(seed).permutation(len(names))]
    counts: dict[object, int] = {}
    chosen = set()
    while left and len(chosen) < n:
        best = min(left, key=lambda name: _rank(places[name], counts))
        left.remove(best)
        chosen.add(best)
        direction, speaker = places[best]
        for key in (direction, speaker, (direction, speaker)):
            counts[key] = counts.get(key, 0) + 1
    return [name for name in places if name in chosen]


def _rank(place: tuple[object, str], counts: dict[object, int]) -> tuple[int, int, int]:
    direction, speaker = place
    return counts.get(direction, 0), counts.get((direction, speaker), 0), counts.get(speaker, 0)
