"""How far listeners agree: Krippendorff's alpha."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from evc2.errors import UserError

LEVELS = ("nominal", "ordinal", "interval")


def krippendorff_alpha(units: Iterable[Sequence[float]], level: str = "ordinal") -> float | None:
    """Agreement of raters beyond chance.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): 1 - observed / expected disagreement of pairs of
    ratings of one unit, by the coincidence matrix; any number of raters, missing ratings allowed.

    Args:
        units: the ratings of each unit, any number of them; units with one rating say nothing and are left out.
        level: "nominal" (equal or not), "ordinal" (squared number of ratings between two values) or "interval"
            (squared difference).

    Returns:
        1 for full agreement, 0 for none beyond chance, below 0 for systematic disagreement; None where all pairs of
        ratings have one value, or there is no pair.

    Raises:
        UserError: an unknown level.
    """
    if level not in LEVELS:
        raise UserError(f"unknown level of measurement '{level}': expected {', '.join(LEVELS)}")
    pairable = [np.asarray(unit, dtype=np.float64) for unit in units if len(unit) > 1]
    if not pairable:
        return None
    values = np.unique(np.concatenate(pairable))
    coincidences = np.zeros((len(values), len(values)))
    for unit in pairable:
        counts = np.bincount(np.searchsorted(values, unit), minlength=len(values)).astype(np.float64)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidences.sum(axis=0)
    distance = _distance(values, totals, level)
    expected = float((np.outer(totals, totals) * distance).sum()) / (totals.sum() - 1)
    return 1.0 - float((coincidences * distance).sum()) / expected if expected > 0 else None


def _distance(values: np.ndarray, totals: np.ndarray, level: str) -> np.ndarray:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return np.square(values[:, None] - values[None, :])
    # Ratings from one value up to the other, each end counted by half.
    middle = np.cumsum(totals) - totals / 2
    return np.square(middle[:, None] - middle[None, :])
