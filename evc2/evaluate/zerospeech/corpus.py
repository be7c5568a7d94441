"""The rows of embeddings that the items of an ABX task consist of, in one table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.zerospeech.embeddings import Symbols, matrix, require_some

_BEYOND = 0.1
"""Seconds that an item may begin after its embedding ends: times and rows are rounded by different programs."""


@dataclass(frozen=True)
class Corpus:
    """Item i has the symbols ``ids[bounds[i]:bounds[i + 1]]`` (int32), and ``rows`` [symbols, D] are their vectors.

    An item of a file without an embedding has no symbols; ``missing`` names such files.
    """

    ids: np.ndarray
    bounds: np.ndarray
    rows: np.ndarray
    missing: list[str]

    @property
    def present(self) -> np.ndarray:
        """Which items have rows: bool [items]."""
        return np.diff(self.bounds) > 0


def row_range(onset: float, offset: float, frame: float, rows: int) -> tuple[int, int]:
    """First and last + 1 of the rows whose centres (i + 0.5) * frame lie in [onset, offset]; at least the nearest one.

    Args:
        onset, offset: of the item, in seconds; NaN for all rows.
        frame: seconds of a row.
        rows: how many there are.
    """
    if np.isnan(onset):
        return 0, rows
    first = int(np.ceil(onset / frame - 0.5 - 1e-9))
    last = int(np.floor(offset / frame - 0.5 + 1e-9))
    if first > last:
        first = last = int(0.5 * (onset + offset) / frame)
    first, last = min(max(first, 0), rows - 1), min(max(last, 0), rows - 1)
    return first, last + 1


def load(
    names: Sequence[str],
    onsets: np.ndarray,
    offsets: np.ndarray,
    embeddings: Mapping[str, np.ndarray],
    frame: float | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Corpus:
    """Read the rows of items; each file is read once, and only the rows of items are kept.

    Args:
        names: utterances [items].
        onsets, offsets: seconds [items]; NaN for whole utterances.
        embeddings: utterance -> rows [N, D].
        frame: seconds of a row; without it the utterance's seconds, of ``seconds``, divided by its rows.
        seconds: utterance -> its length.

    Raises:
        UserError: no embedding of any item, the length of a row is not known, an item that begins after the end of its
            embedding, or rows of differing numbers of values.
    """
    order = sorted(range(len(names)), key=lambda i: names[i])
    symbols, missing, current, whole = Symbols(), [], None, None
    parts: list[np.ndarray] = [np.zeros(0, dtype=np.int32)] * len(names)
    length = 0.0
    for i in order:
        name = names[i]
        if name != current:
            current, whole = name, None
            if name not in embeddings:
                missing.append(name)
                continue
            whole = matrix(embeddings, name)
            timed = not np.isnan(onsets[i])
            length = _row_seconds(name, len(whole), frame, seconds) if timed else 1.0
        if whole is None:
            continue
        if onsets[i] > len(whole) * length + _BEYOND:
            raise UserError(
                f"{name}: an item begins at {onsets[i]:.3f} s, but {len(whole)} rows of {length:.4f} s end at "
                f"{len(whole) * length:.3f} s; check --frame_seconds, or whether these are embeddings of this task"
            )
        first, stop = row_range(onsets[i], offsets[i], length, len(whole))
        parts[i] = symbols.add(whole[first:stop], name)
    require_some(len(set(names)) - len(missing), missing, embeddings, "the task")
    if missing:
        logging.warning("%d files of the task have no embedding: %s", len(missing), " ".join(missing[:5]))
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return Corpus(np.concatenate(parts), bounds, symbols.rows(), missing)


def _row_seconds(name: str, rows: int, frame: float | None, seconds: Mapping[str, float] | None) -> float:
    if frame is not None:
        return frame
    if seconds is None or name not in seconds:
        where = "" if seconds is None else f" ('{name}' is not in the data directory or among the wavs)"
        raise UserError(
            f"the task has times, but nobody said how long a row is{where}: give --frame_seconds, or --data_dir or "
            "--wavs, which tell how long the recordings are"
        )
    return seconds[name] / rows
