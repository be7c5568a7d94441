"""The registry of metrics, and how to add one.

A metric is a module of this package that

1. holds a pure function of arrays, typed, whose docstring states unit, source (paper and equation) and range;
2. registers a function of one ``Item`` (a trial's converted, reference and source wav, each analysed once, lazily):

    @register("level", unit="dB", better=None, needs=("wav",), digits=1,
              doc="mean level of the speech", source="...", range="-inf .. 0")
    def _level(item: Item) -> float | None:
        return level(item.converted.wav)

and is named in ``MODULES`` below. That is all: the command, the scores, the intervals and RESULTS.md take it from here.

- ``needs`` lists what the metric reads: "wav" (the converted one, always there), "reference", "source", "text",
  "other_speaker" (the trial goes to another speaker than the source's, see ``Item.target_voice``). A trial that lacks
  one of them gets no value for this metric and the others go on.
- Some quantities belong to a set of trials and not to one (a Frechet distance, a confusion matrix). Their function
  is registered with ``register_set``: it returns additive statistics of one trial, and ``combine`` makes the value of
  a set from their sum.
- ``baseline`` measures natural speech (the item's source and reference, or what ``baseline_needs`` names) where the
  ideal value is not obvious; its mean is printed beside the metric. ``note`` gives a line that a reader must know:
  whose model it is, how good a judge is.
- None or a NaN as a result means "not defined for this trial" (say, no voiced frames): the mean leaves the
  trial out.
- A metric that wants weights or an optional package gives ``available``: it returns None when all is there, otherwise
  one line that says what is missing and how to get it. That line is printed and the metric skipped. Import and load
  inside functions (``functools.cache`` keeps a model once a process), so that the command still starts fast.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evc2.errors import UserError, nearest

if TYPE_CHECKING:
    from evc2.evaluate.item import Item

MODULES = {
    "evc2.evaluate.mcd": "spectrum",
    "evc2.evaluate.gv": "spectrum",
    "evc2.evaluate.frechet": "spectrum",
    "evc2.evaluate.distance_to_source": "spectrum",
    "evc2.evaluate.lf0": "prosody",
    "evc2.evaluate.vuv": "prosody",
    "evc2.evaluate.energy": "prosody",
    "evc2.evaluate.ddur": "prosody",
    "evc2.evaluate.rate": "prosody",
    "evc2.evaluate.judge": "emotion",
    "evc2.evaluate.emotion2vec": "emotion",
    "evc2.evaluate.asr": "content",
    "evc2.evaluate.speaker": "speaker",
    "evc2.evaluate.speaker_change": "speaker",
    "evc2.evaluate.dnsmos": "naturalness",
    "evc2.evaluate.utmos": "naturalness",
    "evc2.evaluate.mel_l1": "signal",
    "evc2.evaluate.mr_stft": "signal",
    "evc2.evaluate.pesq": "signal",
}
"""Modules that register metrics, in the order of the tables' columns, and what their metrics are about."""

ON_REQUEST = ("signal",)
"""Groups whose metrics are computed only where they are named: distances of two signals that are in time with each
other, such as a recording and its copy by a vocoder. A conversion is not in time with its reference: where their
lengths agree it is by chance, and the value would mean nothing."""

NEEDS = ("wav", "reference", "source", "text", "other_speaker")


@dataclass(frozen=True)
class Metric:
    """One number per trial, or (with ``combine``) one per set of trials.

    Attributes:
        name: key in the scores and on the command line.
        unit: as printed ("dB", "nats", "%", "s", or "" for a plain number).
        better: "lower", "higher", or None where neither is better.
        needs: inputs without which a trial gets no value (see ``NEEDS``).
        function: Item -> value, None where it is not defined; with ``combine`` -> additive statistics [k], float64.
        digits: decimals in the table.
        doc: one line for the table's list of definitions.
        source: paper and equation.
        range: the values it can take.
        available: None when usable, otherwise the line that says what is missing.
        combine: sum of the statistics of a set of trials -> its value, None where it is not defined.
        baseline: Item -> the value that natural speech has where one would compare it, from what baseline_needs names.
        baseline_doc: what the baseline is.
        note: a line for the reader, made when it is asked for.
        baseline_needs: inputs without which a trial gets no baseline.
    """

    name: str
    unit: str
    better: str | None
    needs: tuple[str, ...]
    function: Callable[[Item], Any]
    digits: int
    doc: str
    source: str
    range: str
    available: Callable[[], str | None] | None = None
    combine: Callable[[np.ndarray], float | None] | None = None
    baseline: Callable[[Item], float | None] | None = None
    baseline_doc: str = ""
    note: Callable[[], str | None] | None = None
    baseline_needs: tuple[str, ...] = ("source", "reference")

    def missing(self) -> str | None:
        """Why the metric cannot be used here, or None."""
        return None if self.available is None else self.available()

    @property
    def group(self) -> str:
        """What the metric is about; "other" for one that is registered from elsewhere."""
        return MODULES.get(self.function.__module__, "other")

    @property
    def title(self) -> str:
        """Name and unit, the head of a column."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


_METRICS: dict[str, Metric] = {}


def register(
    name: str, *, unit: str, better: str | None, needs: tuple[str, ...], digits: int, doc: str, source: str, range: str,
    available: Callable[[], str | None] | None = None,
    baseline: Callable[[Item], float | None] | None = None,
    baseline_doc: str = "",
    note: Callable[[], str | None] | None = None,
    baseline_needs: tuple[str, ...] = ("source", "reference"),
) -> Callable[[Callable[[Item], float | None]], Callable[[Item], float | None]]:  # fmt: skip
    """Decorator that enters a function of one Item as a metric; the function itself is returned unchanged."""
    _check(name, better, (*needs, *baseline_needs))

    def enter(function: Callable[[Item], float | None]) -> Callable[[Item], float | None]:
        _enter(
            Metric(
                name,
                unit,
                better,
                needs,
                function,
                digits,
                doc,
                source,
                range,
                available,
                baseline=baseline,
                baseline_doc=baseline_doc,
                note=note,
                baseline_needs=baseline_needs,
            )  # fmt: skip
        )
        return function

    return enter


def register_set(
    name: str, *, unit: str, better: str | None, needs: tuple[str, ...], digits: int, doc: str, source: str, range: str,
    combine: Callable[[np.ndarray], float | None],
    available: Callable[[], str | None] | None = None,
    note: Callable[[], str | None] | None = None,
) -> Callable[[Callable[[Item], np.ndarray | None]], Callable[[Item], np.ndarray | None]]:  # fmt: skip
    """Decorator for a metric of a set of trials: the function gives additive statistics [k] of one Item."""
    _check(name, better, needs)

    def enter(function: Callable[[Item], np.ndarray | None]) -> Callable[[Item], np.ndarray | None]:
        _enter(Metric(name, unit, better, needs, function, digits, doc, source, range, available, combine, note=note))
        return function

    return enter


def _check(name: str, better: str | None, needs: tuple[str, ...]) -> None:
    if better not in ("lower", "higher", None):
        raise ValueError(f"metric {name}: better must be lower, higher or None, not {better!r}")
    unknown = [need for need in needs if need not in NEEDS]
    if unknown:
        raise ValueError(f"metric {name}: unknown need {unknown[0]!r}, known are {', '.join(NEEDS)}")


def _enter(metric: Metric) -> None:
    known = _METRICS.get(metric.name)
    if known is not None and known.function.__module__ != metric.function.__module__:
        raise ValueError(f"metric {metric.name} is registered twice")
    _METRICS[metric.name] = metric


def all_metrics() -> dict[str, Metric]:
    """Every registered metric by name, in the order of the table."""
    for module in MODULES:
        importlib.import_module(module)
    # Some module may have been imported before, by itself: the order is that of MODULES all the same.
    place = {module: i for i, module in enumerate(MODULES)}
    in_order = sorted(_METRICS.values(), key=lambda metric: place.get(metric.function.__module__, len(place)))
    return {metric.name: metric for metric in in_order}


def get_metric(names: Iterable[str] | None = None, without: Iterable[str] = ()) -> list[Metric]:
    """The named metrics in the given order; for None all of them but those of the groups ``ON_REQUEST``.

    Args:
        names: metrics.
        without: metrics to leave out, or patterns such as ``dnsmos*``.

    Raises:
        UserError: an unknown or repeated name, a pattern that fits none, or nothing left.
    """
    known = all_metrics()
    for pattern in without:
        left_out = fnmatch.filter(known, pattern)
        if not left_out:
            raise UserError(f"no metric fits '{pattern}'{nearest(pattern, known)}; known are {', '.join(known)}")
        known = {name: metric for name, metric in known.items() if name not in left_out}
    if names is None:
        return [metric for metric in known.values() if metric.group not in ON_REQUEST]
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
