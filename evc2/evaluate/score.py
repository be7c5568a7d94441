"""Scores trials one after the other, in several processes, with memory that does not grow with their number."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import soxr

from evc2.errors import UserError
from evc2.evaluate.analysis import Analysis, evaluation_contract
from evc2.evaluate.item import Item
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.settings import Settings, settings, use
from evc2.fileio.audio import audio_problem, read_audio

KEPT = 8
"""Analyses that a process keeps: neighbouring trials often share a source or a reference."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Clip(NamedTuple):
    """Where a wav is: an entry of wav.scp, and the seconds to cut from it (None, None for all)."""

    entry: str
    start: float | None = None
    stop: float | None = None


@dataclass(frozen=True)
class Job:
    """One trial with the wavs of every system.

    Attributes:
        trial, speaker, emotion: id of the trial, and what it aims at.
        source_emotion: emotion of the source, None where unknown.
        converted: system -> its wav, None where the system has none for this trial.
        reference, source: the wavs to compare with, None where there is none.
        text: what is said, where known.
        problem: what is already known to be wrong with the trial's reference.
        source_speaker: who says the source, None where unknown.
    """

    trial: str
    speaker: str
    emotion: str
    source_emotion: str | None
    converted: dict[str, Clip | None]
    reference: Clip | None = None
    source: Clip | None = None
    text: str | None = None
    problem: str | None = None
    source_speaker: str | None = None


@dataclass(frozen=True)
class Row:
    """Scores of one trial of one system.

    Attributes:
        values: metric -> value, None where it is not defined or an input is missing.
        problem: why the trial is not, or not wholly, scored; None when all is well.
        notes: what a reader should know about the converted wav, though it was scored.
        sums: metric of a set of trials -> this trial's additive statistics [k].
        baselines: metric -> value of natural speech for this trial (see ``Metric.baseline``).
    """

    system: str
    trial: str
    speaker: str
    source_emotion: str | None
    emotion: str
    values: dict[str, float | None]
    problem: str | None = None
    notes: tuple[str, ...] = field(default=())
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)


class Wavs:
    """Reads and analyses wavs; the last few analyses are kept, so that one file is analysed once for many metrics.

    Args:
        f0_method: dio or harvest.
    """

    def __init__(self, f0_method: str = "dio") -> None:
        self.contract = evaluation_contract(f0_method)
        self._kept: OrderedDict[Clip, tuple[Analysis, tuple[str, ...]]] = OrderedDict()

    def get(self, clip: Clip) -> tuple[Analysis, tuple[str, ...]]:
        """The analysis of a wav, and notes on it; UserError, naming the file, where it cannot be analysed."""
        if clip in self._kept:
            self._kept.move_to_end(clip)
            return self._kept[clip]
        found = self._read(clip)
        self._kept[clip] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def _read(self, clip: Clip) -> tuple[Analysis, tuple[str, ...]]:
        try:
            wav, rate = read_audio(clip.entry, start=clip.start, stop=clip.stop)
        except OSError as error:
            raise UserError(f"{clip.entry}: {error.strerror or error}") from None
        notes = []
        problem = audio_problem(wav, rate)
        # A clipped output is bad, but a listener would hear it and so it is scored; the others leave nothing to score.
        if problem is not None and problem.startswith("clipped"):
            notes.append("clipped")
        elif problem is not None:
            raise UserError(f"{clip.entry}: {problem}")
        if rate < self.contract.rate:
            notes.append(f"sampled at {rate} Hz, below the {self.contract.rate} Hz of the analysis")
        if rate != self.contract.rate:
            wav = soxr.resample(wav, rate, self.contract.rate)

        def read(rate: int) -> np.ndarray:
            return read_audio(clip.entry, rate, clip.start, clip.stop)[0]

        return Analysis(wav, self.contract, read), tuple(notes)


def score_trial(job: Job, metrics: Sequence[Metric], wavs: Wavs) -> list[Row]:
    """Score every system on one trial; what fails becomes the problem of a row and never an exception."""
    problems = [job.problem] if job.problem else []
    others: dict[str, Analysis | None] = {}
    for what, clip in (("reference", job.reference), ("source", job.source)):
        try:
            others[what] = None if clip is None else wavs.get(clip)[0]
        except UserError as error:
            others[what] = None
            problems.append(f"{what}: {error}")
    return [_score(job, system, clip, others, problems, metrics, wavs) for system, clip in job.converted.items()]


def _score(
    job: Job,
    system: str,
    clip: Clip | None,
    others: dict[str, Analysis | None],
    problems: list[str],
    metrics: Sequence[Metric],
    wavs: Wavs,
) -> Row:
    row = Row(
        system, job.trial, job.speaker, job.source_emotion, job.emotion,
        {metric.name: None for metric in metrics if metric.combine is None},
    )  # fmt: skip
    problems, notes = list(problems), ()
    try:
        if clip is None:
            raise UserError("no wav for this trial")
        converted, notes = wavs.get(clip)
    except UserError as error:
        problems.insert(0, str(error))
    else:
        item = Item(
            job.trial, job.speaker, job.emotion, converted, **others,
            text=job.text, source_emotion=job.source_emotion, source_speaker=job.source_speaker,
        )  # fmt: skip
        for metric in metrics:
            if not all(item.has(need) for need in metric.needs):
                continue
            # One odd file must not cost the scores of all the others; what it was stays visible in its row.
            try:
                _measure(metric, item, row)
            except (UserError, ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError) as error:
                problems.append(f"{metric.name} failed: {error or type(error).__name__}")
    problem = "; ".join(" ".join(text.split()) for text in problems) or None
    return replace(row, problem=problem, notes=notes)


def _measure(metric: Metric, item: Item, row: Row) -> None:
    value = metric.function(item)
    if metric.combine is not None:
        if value is not None and np.isfinite(value).all():
            row.sums[metric.name] = np.asarray(value, dtype=np.float64)
        return
    row.values[metric.name] = float(value) if value is not None and np.isfinite(value) else None
    if metric.baseline is not None and item.source is not None and item.reference is not None:
        baseline = metric.baseline(item)
        if baseline is not None and np.isfinite(baseline):
            row.baselines[metric.name] = float(baseline)


_worker: tuple[list[Metric], Wavs] | None = None


def _start_worker(names: list[str], f0_method: str, options: Settings) -> None:
    global _worker
    use(options)
    _worker = get_metric(names), Wavs(f0_method)


def _work(job: Job) -> list[Row]:
    assert _worker is not None
    return score_trial(job, *_worker)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started meanwhile use one thread each; more would only take the cores from each other."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def score(jobs: Iterable[Job], metrics: Sequence[Metric], nj: int = 1, f0_method: str = "dio") -> Iterator[Row]:
    """Yield the rows of all jobs in their order; with nj > 1 a few jobs are under way at any time.

    Args:
        jobs: the trials; taken as they are needed.
        metrics: registered metrics (with nj > 1 they are looked up by name in each process).
        nj: processes.
        f0_method: dio or harvest.

    Raises:
        UserError: nj below 1, or a process died (killed, or out of memory).
    """
    if nj < 1:
        raise UserError(f"nj: expected at least 1, found {nj}")
    if nj == 1:
        wavs = Wavs(f0_method)
        for job in jobs:
            yield from score_trial(job, metrics, wavs)
        return
    with _one_thread_each():
        # "spawn": a fork would copy the threads' locks of whoever calls this.
        pool = ProcessPoolExecutor(
            nj, get_context("spawn"), initializer=_start_worker,
            initargs=([m.name for m in metrics], f0_method, settings()),
        )  # fmt: skip
        waiting: deque = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(_work, job))
                if len(waiting) > 4 * nj:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError("a scoring process died (killed, or out of memory?); try a smaller --nj") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
