"""The registry of metrics, and how to add one.

A metric is a module of this package that

1. holds a pure function of arrays, typed, whose docstring states unit, source (paper and equation) and range;
2. registers a function of one ``Item`` (a trial's converted, reference and source wav, each analysed once, lazily):

    @register("level", unit="dB", better=None, needs=("wav",), digits=1,
              doc="mean level of the speech", source="...", range="-inf .. 0")
    def _level(item: Item) -> float | None:
        return level(item.converted.wav)

and is named in ``MODULES`` below. That is all: the command, the scores, the intervals and RESULTS.md take it from here.

- ``needs`` lists what the metric reads: "wav" (the converted one, always there), "reference", "source", "text". A trial
  that lacks one of them gets no value for this metric and the others go on.
- None or a NaN as a result means "not defined for this trial" (say, no voiced frames): the mean leaves the
  trial out.
- A metric that wants weights or an optional package gives ``available``: it returns None when all is there, otherwise
  one line that says what is missing and how to get it. That line is printed and the metric skipped. Import and load
  inside functions (``functools.cache`` keeps a model once a process), so that the command still starts fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evc2.errors import UserError, nearest

if TYPE_CHECKING:
    from evc2.evaluate.item import Item

MODULES = (
    "evc2.evaluate.mcd",
    "evc2.evaluate.gv",
    "evc2.evaluate.lf0",
    "evc2.evaluate.vuv",
    "evc2.evaluate.ddur",
    "evc2.evaluate.distance_to_source",
)
"""Modules that register metrics, in the order of the table's columns."""

NEEDS = ("wav", "reference", "source", "text")


@dataclass(frozen=True)
class Metric:
    """One number per trial.

    Attributes:
        name: key in the scores and on the command line.
        unit: as printed ("dB", "nats", "%", "s", or "" for a plain number).
        better: "lower", "higher", or None where neither is better.
        needs: inputs without which a trial gets no value (see ``NEEDS``).
        function: Item -> value, None where it is not defined.
        digits: decimals in the table.
        doc: one line for the table's list of definitions.
        source: paper and equation.
        range: the values it can take.
        available: None when usable, otherwise the line that says what is missing.
    """

    name: str
    unit: str
    better: str | None
    needs: tuple[str, ...]
    function: Callable[[Item], float | None]
    digits: int
    doc: str
    source: str
    range: str
    available: Callable[[], str | None] | None = None

    def missing(self) -> str | None:
        """Why the metric cannot be used here, or None."""
        return None if self.available is None else self.available()

    @property
    def title(self) -> str:
        """Name and unit, the head of a column."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


_METRICS: dict[str, Metric] = {}


def register(
    name: str,
    *,
    unit: str,
    better: str | None,
    needs: tuple[str, ...],
    digits: int,
    doc: str,
    source: str,
    range: str,
    available: Callable[[], str | None] | None = None,
) -> Callable[[Callable[[Item], float | None]], Callable[[Item], float | None]]:
    """Decorator that enters a function of one Item as a metric; the function itself is returned unchanged."""
    if better not in ("lower", "higher", None):
        raise ValueError(f"metric {name}: better must be lower, higher or None, not {better!r}")
    unknown = [need for need in needs if need not in NEEDS]
    if unknown:
        raise ValueError(f"metric {name}: unknown need {unknown[0]!r}, known are {', '.join(NEEDS)}")

    def enter(function: Callable[[Item], float | None]) -> Callable[[Item], float | None]:
        if name in _METRICS and _METRICS[name].function.__module__ != function.__module__:
            raise ValueError(f"metric {name} is registered twice")
        _METRICS[name] = Metric(name, unit, better, needs, function, digits, doc, source, range, available)
        return function

    return enter


def all_metrics() -> dict[str, Metric]:
    """Every registered metric by name, in the order of the table."""
    for module in MODULES:
        importlib.import_module(module)
    # Some module may have been imported before, by itself: the order is that of MODULES all the same.
    place = {module: i for i, module in enumerate(MODULES)}
    in_order = sorted(_METRICS.values(), key=lambda metric: place.get(metric.function.__module__, len(place)))
    return {metric.name: metric for metric in in_order}


def get_metric(names: Iterable[str] | None = None) -> list[Metric]:
    """The named metrics in the given order, all of them for None; UserError for an unknown or repeated name."""
    known = all_metrics()
    if names is None:
        return list(known.values())
    chosen: dict[str, Metric] = {}
    for name in names:
        if name not in known:
            raise UserError(f"unknown metric '{name}'{nearest(name, known)}; known are {', '.join(known)}")
        if name in chosen:
            raise UserError(f"metric '{name}' is named twice; name each once")
        chosen[name] = known[name]
    if not chosen:
        raise UserError(f"no metric is named; known are {', '.join(known)}")
    return list(chosen.values())
