"""Gathers the rows of scores into summaries: per direction, system and metric, and paired against other systems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evc2.errors import UserError, nearest
from evc2.evaluate.directions import ALL, direction_name, in_order
from evc2.evaluate.intervals import (
    Interval,
    jackknife_interval,
    mean_interval,
    paired_difference,
    seed_for,
    verdict,
)
from evc2.evaluate.registry import Metric
from evc2.evaluate.score import Row

ANCHORS = ("zero_effort", "natural", "analysis_synthesis", "f0", "f0_power", "f0_power_mcep")
"""Systems of these names are yardsticks: the source itself, the target through the vocoder, and simple transforms."""

GROUPS = 50
"""Statistics of sets are summed in so many groups of trials: enough for an interval, and memory stays what it is."""


@dataclass(frozen=True)
class Comparison:
    """A system against another one: mean of (system - other) per trial, with its interval."""

    direction: str
    metric: str
    system: str
    other: str
    difference: Interval
    verdict: str

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        names = {"direction": self.direction, "metric": self.metric, "system": self.system, "other": self.other}
        return {**names, **self.difference.to_dict(), "verdict": self.verdict}


class Summary:
    """Collects one number per trial, system and metric (a few bytes each), nothing of the audio.

    Args:
        systems: names in the order of the table.
        metrics: in the order of its columns.
        seed: of the bootstrap.
        draws: resamples of the bootstrap.
    """

    def __init__(self, systems: Sequence[str], metrics: Sequence[Metric], seed: int = 0, draws: int = 2000) -> None:
        self.systems = list(systems)
        self.metrics = list(metrics)
        self.seed = seed
        self.draws = draws
        self.trials: dict[str, set[str]] = {}
        self.problems: list[tuple[str, str, str]] = []
        self.notes: dict[tuple[str, str], int] = {}
        self._values: dict[tuple[str, str, str], dict[str, float]] = {}
        self._sums: dict[tuple[str, str, str], dict[int, np.ndarray]] = {}
        self._counts: dict[tuple[str, str, str], int] = {}
        self._baselines: dict[tuple[str, str], dict[str, float]] = {}
        self._group: dict[str, int] = {}
        self._metric = {metric.name: metric for metric in metrics}
        self._intervals: dict[tuple[str, str, str], Interval] = {}

    def add(self, row: Row) -> None:
        """Take in the scores of one trial of one system."""
        direction = row.direction or direction_name(row.source_emotion, row.emotion)
        self.trials.setdefault(direction, set()).add(row.trial)
        if row.problem is not None:
            self.problems.append((row.system, row.trial, row.problem))
        for note in row.notes:
            self.notes[row.system, note] = self.notes.get((row.system, note), 0) + 1
        for name, value in row.values.items():
            if value is not None:
                for key in (direction, ALL):
                    self._values.setdefault((key, row.system, name), {})[row.trial] = value
        # A trial is in the same group for every system, so that their difference can leave out groups too.
        group = self._group.setdefault(row.trial, len(self._group) % GROUPS)
        for name, sums in row.sums.items():
            for key in (direction, ALL):
                cell = (key, row.system, name)
                groups = self._sums.setdefault(cell, {})
                groups[group] = groups[group] + sums if group in groups else sums
                self._counts[cell] = self._counts.get(cell, 0) + 1
        for name, value in row.baselines.items():  # of natural speech, so the same for every system
            for key in (direction, ALL):
                self._baselines.setdefault((key, name), {})[row.trial] = value
        self._intervals.clear()

    @property
    def directions(self) -> list[str]:
        """The directions in their order, then all of them together where there are several."""
        found = in_order(self.trials)
        return [*found, ALL] if len(found) > 1 else found

    def values(self, direction: str, system: str, metric: str) -> dict[str, float]:
        """Trial -> value."""
        return self._values.get((direction, system, metric), {})

    def n_trials(self, direction: str) -> int:
        """Trials of a direction, scored or not."""
        if direction == ALL:
            return sum(len(trials) for trials in self.trials.values())
        return len(self.trials.get(direction, ()))

    def interval(self, direction: str, system: str, metric: str) -> Interval:
        """Mean (or value of the set) of one cell of the table with its interval."""
        key = (direction, system, metric)
        if key not in self._intervals:
            self._intervals[key] = self._interval(*key)
        return self._intervals[key]

    def _interval(self, direction: str, system: str, metric: str) -> Interval:
        combine = self._metric[metric].combine
        if combine is not None:
            groups = self._sums.get((direction, system, metric), {})
            n = self._counts.get((direction, system, metric), 0)
            return jackknife_interval(lambda ks: _combined(combine, groups, ks), sorted(groups), n)
        values = self.values(direction, system, metric)
        seed = seed_for(self.seed, direction, system, metric)
        return mean_interval([values[trial] for trial in sorted(values)], draws=self.draws, seed=seed)

    def baseline(self, direction: str, metric: str) -> Interval | None:
        """Natural speech by this metric (see ``Metric.baseline``), None where it has no baseline."""
        values = self._baselines.get((direction, metric))
        if not values:
            return None
        seed = seed_for(self.seed, direction, "baseline", metric)
        return mean_interval([values[trial] for trial in sorted(values)], draws=self.draws, seed=seed)

    def total(self, direction: str, system: str, metric: str) -> np.ndarray | None:
        """Sum of the statistics of a metric of sets, [k]; None where no trial has any."""
        groups = self._sums.get((direction, system, metric))
        return None if not groups else sum(groups.values())

    def compare(self, direction: str, system: str, other: str, metric: Metric) -> Comparison:
        """One paired comparison over the trials (groups of trials, for a metric of sets) that both systems have."""
        if metric.combine is not None:
            difference = self._set_difference(direction, system, other, metric)
            return Comparison(direction, metric.name, system, other, difference, verdict(difference, metric.better))
        seed = seed_for(self.seed, direction, system, other, metric.name)
        values, others = (self.values(direction, name, metric.name) for name in (system, other))
        difference = paired_difference(values, others, draws=self.draws, seed=seed)
        return Comparison(direction, metric.name, system, other, difference, verdict(difference, metric.better))

    def _set_difference(self, direction: str, system: str, other: str, metric: Metric) -> Interval:
        cells = [(direction, name, metric.name) for name in (system, other)]
        mine, others = (self._sums.get(cell, {}) for cell in cells)
        n = min(self._counts.get(cell, 0) for cell in cells)

        def value(groups: Sequence[int]) -> float | None:
            a, b = (_combined(metric.combine, sums, groups) for sums in (mine, others))
            return None if a is None or b is None else a - b

        return jackknife_interval(value, sorted(mine.keys() & others.keys()), n)

    def compared(self, others: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs (system, other): every system that is no anchor; the anchors themselves where there is nothing else."""
        rows = [name for name in self.systems if name not in ANCHORS] or self.systems
        return [(name, other) for name in rows for other in others if name != other]


def _combined(combine: Callable, sums: dict[int, np.ndarray], groups: Sequence[int]) -> float | None:
    chosen = [sums[k] for k in groups]
    return combine(np.sum(chosen, axis=0)) if chosen else None


def choose_compared(systems: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """The systems to compare with: the named ones, which must exist; by default three of the anchors, where present."""
    if names is None:
        return [name for name in ("zero_effort", "f0", "f0_power_mcep") if name in systems]
    for name in names:
        if name not in systems:
            raise UserError(
                f"--compare: no system is called '{name}'{nearest(name, systems)}; systems are {', '.join(systems)}"
            )
    return list(dict.fromkeys(names))
