"""The content of scores.json, looked up by direction, system and metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from evc2.evaluate.directions import title
from evc2.evaluate.intervals import ENOUGH
from evc2.evaluate.summary import ALL, ANCHORS

MINUS = "\N{MINUS SIGN}"


class Figures:
    """Read-only view of scores.json.

    Args:
        scores: its content; keys that an older file lacks count as empty.
    """

    def __init__(self, scores: Mapping[str, Any]) -> None:
        self.scores = scores
        self.systems: list[str] = list(scores.get("systems", ()))
        self.metrics: dict[str, dict[str, Any]] = dict(scores.get("metrics", {}))
        self._cells = {(c["direction"], c["system"], c["metric"]): c for c in scores.get("summaries", ())}
        found = list(dict.fromkeys(c["direction"] for c in scores.get("summaries", ())))
        self.directions: list[str] = found or [name for name in scores.get("trials", {}) if name != ALL]
        self._digits = {name: self._guess_digits(name) for name in self.metrics}

    def cell(self, direction: str, system: str, metric: str) -> dict[str, Any]:
        """Mean and interval; an empty dict where there is none."""
        return self._cells.get((direction, system, metric), {})

    def comparisons(self, direction: str) -> list[dict[str, Any]]:
        """The paired differences of a direction."""
        return [c for c in self.scores.get("comparisons", ()) if c["direction"] == direction]

    def n_trials(self, direction: str) -> int:
        """Trials of a direction, scored or not."""
        return int(self.scores.get("trials", {}).get(direction, 0))

    def digits(self, metric: str) -> int:
        """Decimals to print."""
        return self._digits.get(metric, 2)

    def _guess_digits(self, metric: str) -> int:
        if "digits" in self.metrics[metric]:
            return int(self.metrics[metric]["digits"])
        means = [abs(c["mean"]) for (_, _, name), c in self._cells.items() if name == metric and c["mean"] is not None]
        top = max(means, default=0.0)
        return 2 if top == 0 else min(4, max(0, 2 - math.floor(math.log10(top))))

    def text(self, metric: str, value: float | None, sign: bool = False) -> str:
        """A value as printed; a dash where there is none."""
        if value is None or not math.isfinite(value):
            return "\N{EN DASH}"
        value = round(value, self.digits(metric)) + 0.0  # no "-0.00"
        text = f"{value:+.{self.digits(metric)}f}" if sign else f"{value:.{self.digits(metric)}f}"
        return text.replace("-", MINUS)

    def title(self, metric: str) -> str:
        """Name and unit."""
        unit = self.metrics.get(metric, {}).get("unit")
        return f"{metric} ({unit})" if unit else metric


def direction_title(direction: str) -> str:
    """A direction as people read it."""
    return title(direction).replace("->", "\N{RIGHTWARDS ARROW}")


def is_anchor(system: str) -> bool:
    """Whether a system is a yardstick and no candidate."""
    return system in ANCHORS


def few(n: int) -> str:
    """An asterisk where there are too few trials to conclude anything."""
    return "" if n >= ENOUGH else "*"
