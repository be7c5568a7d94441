"""The mean score of an ABX task: over contexts, then over pairs of speakers, then over pairs of phones."""

from __future__ import annotations

import numpy as np

from evc2.errors import UserError

_TOGETHER = 64


class Averager:
    """Collects the mean scores of cells: one a pair of phones, pair of speakers and context.

    Args:
        phones, speakers: how many there are.

    What is kept is a sum and a number for each pair of phones and speakers, whatever the number of contexts.
    """

    def __init__(self, phones: int, speakers: int) -> None:
        self._phones, self._speakers = max(phones, 1), max(speakers, 1)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.cells = 0

    def add(self, phone: np.ndarray, other: np.ndarray, own: np.ndarray, across: np.ndarray, score: np.ndarray) -> None:
        """Add cells [n]: phone of A and X, phone of B, speaker of A and B, speaker of X, mean score (-1 to 1)."""
        if len(score) == 0:
            return
        self.cells += len(score)
        key = ((phone * self._phones + other) * self._speakers + own) * self._speakers + across
        self._parts.append(_sums(key.astype(np.int64), score, np.ones(len(score), dtype=np.int64)))
        if len(self._parts) >= _TOGETHER:
            self._join()

    def _join(self) -> None:
        if len(self._parts) > 1:
            self._parts = [_sums(*(np.concatenate(column) for column in zip(*self._parts, strict=True)))]

    def result(self) -> dict[str, float | int]:
        """`error` in % and the numbers of `phone_pairs`, `speaker_pairs` and `cells`; UserError without any cell."""
        self._join()
        if not self._parts:
            raise UserError(
                "the task has no triplet: it needs two phones in one context by one speaker, and one of them by "
                "another speaker (or twice by the same one, with --speaker within)"
            )
        key, total, number = self._parts[0]
        phones, total, number = _sums(key // self._speakers**2, total / number, np.ones(len(key), dtype=np.int64))
        mean = float(np.mean(total / number))
        return {
            "error": 100 * (1 - (mean + 1) / 2),
            "phone_pairs": len(phones),
            "speaker_pairs": len(np.unique(key % self._speakers**2)),
            "cells": self.cells,
        }


def _sums(key: np.ndarray, values: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct keys, with the sums of values and numbers of each."""
    keys, places = np.unique(key, return_inverse=True)
    places = places.reshape(-1)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, places, number)
    return keys, np.bincount(places, weights=values, minlength=len(keys)), counts
