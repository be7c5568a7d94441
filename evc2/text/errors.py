"""Errors of phones that were recognised."""

from collections.abc import Sequence


def edit_distance(reference: Sequence[str], found: Sequence[str]) -> int:
    """Least number of insertions, deletions and substitutions that make one sequence the other (Levenshtein)."""
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(reference, 1):
        before, row[0] = row[0], i
        for j, had in enumerate(found, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (wanted != had))
    return row[-1]


def error_rate(reference: Sequence[str], found: Sequence[str]) -> float:
    """Edit distance as a share of the reference's length; 1 or more where hardly anything was found."""
    return edit_distance(reference, found) / max(len(reference), 1)
