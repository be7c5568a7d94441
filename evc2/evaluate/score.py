"""Scores trials one after the other, in several processes, with memory that does not grow with their number."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soxr

from evc2.errors import UserError
from evc2.evaluate.analysis import Analysis, evaluation_contract
from evc2.evaluate.item import Item
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.settings import Settings, settings, use
from evc2.fileio.audio import audio_problem, read_audio

if TYPE_CHECKING:
    from evc2.evaluate.partial import Partial, Writer

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
        direction: of the table that the trial belongs to, None for its emotions.
        target_voice, origin_voice: other recordings of the target speaker and of the source's, where they differ.
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
    direction: str | None = None
    target_voice: tuple[Clip, ...] = ()
    origin_voice: tuple[Clip, ...] = ()


@dataclass(frozen=True)
class Row:
    """Scores of one trial of one system.

    Attributes:
        values: metric -> value, None where it is not defined or an input is missing.
        problem: why the trial is not, or not wholly, scored; None when all is well.
        notes: what a reader should know about the converted wav, though it was scored.
        sums: metric of a set of trials -> this trial's additive statistics [k].
        baselines: metric -> value of natural speech for this trial (see ``Metric.baseline``).
        source_speaker, direction: of the job.
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
    source_speaker: str | None = None
    direction: str | None = None


def row_of(job: Job, system: str, values: Mapping[str, float | None], **found) -> Row:
    """The row of one system on one trial; ``found`` are further attributes."""
    place = {"source_speaker": job.source_speaker, "direction": job.direction}
    return Row(system, job.trial, job.speaker, job.source_emotion, job.emotion, dict(values), **place, **found)


class Wavs:
    """Reads and analyses wavs; the last few analyses are kept, so that one file is analysed once for many metrics.

    Args:
        f0_method: dio or harvest.
    """

    def __init__(self, f0_method: str = "dio") -> None:
        self.contract = evaluation_contract(f0_method)
        self._kept: OrderedDict[Clip, tuple[Analysis, tuple[str, ...]]] = OrderedDict()
        self._made: dict[tuple[Clip, str], np.ndarray | None] = {}

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

    def each(self, clips: Sequence[Clip], name: str, make: Callable[[Analysis], np.ndarray]) -> list[np.ndarray]:
        """What a function gives for each of some wavs, kept by wav and name while the wavs are not.

        A wav that cannot be analysed is left out, with a warning: it must not cost the scores of a whole speaker.
        """
        for clip in clips:
            if (clip, name) in self._made:
                continue
            made = None
            try:
                # Not by get(): these wavs would drive out the reference and the source of the next trial.
                made = make((self._kept.get(clip) or self._read(clip))[0])
            except (UserError, ValueError) as error:
                logging.warning("left out of the recordings of its speaker: %s: %s", clip.entry, error)
            self._made[clip, name] = made
        found = (self._made[clip, name] for clip in clips)
        return [made for made in found if made is not None]

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


def score_trial(job: Job, metrics: Sequence[Metric], wavs: Wavs, writer: Writer | None = None) -> list[Row]:
    """Score every system on one trial; what fails becomes the problem of a row and never an exception.

    Args:
        job: the trial.
        metrics: what to compute.
        wavs: reads and analyses.
        writer: keeps each row as soon as it is there, in case the evaluation is interrupted.
    """
    keys = {} if writer is None else writer.keys(job)
    problems = [job.problem] if job.problem else []
    others: dict[str, Analysis | None] = {}
    for what, clip in (("reference", job.reference), ("source", job.source)):
        try:
            others[what] = None if clip is None else wavs.get(clip)[0]
        except UserError as error:
            others[what] = None
            problems.append(f"{what}: {error}")
    rows = []
    for system, clip in job.converted.items():
        rows.append(_score(job, system, clip, others, problems, metrics, wavs))
        if writer is not None:
            writer.write(keys[system], rows[-1])
    return rows


def _score(
    job: Job,
    system: str,
    clip: Clip | None,
    others: dict[str, Analysis | None],
    problems: list[str],
    metrics: Sequence[Metric],
    wavs: Wavs,
) -> Row:
    row = row_of(job, system, {metric.name: None for metric in metrics if metric.combine is None})
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
            target_voice=functools.partial(wavs.each, job.target_voice),
            origin_voice=functools.partial(wavs.each, job.origin_voice),
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
    if metric.baseline is not None and all(item.has(need) for need in metric.baseline_needs):
        baseline = metric.baseline(item)
        if baseline is not None and np.isfinite(baseline):
            row.baselines[metric.name] = float(baseline)


_worker: tuple[list[Metric], Wavs, Writer | None] | None = None


def _start_worker(names: list[str], f0_method: str, options: Settings, writer: Writer | None) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use(options)
    _worker = get_metric(names), Wavs(f0_method), writer


def _end_with_parent() -> None:
    """A parent that was killed cannot end its processes: they would wait for work for ever, models in memory."""
    parent_process().join()
    os._exit(1)


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


def score(
    jobs: Iterable[Job],
    metrics: Sequence[Metric],
    nj: int = 1,
    f0_method: str = "dio",
    partial: Partial | None = None,
) -> Iterator[Row]:
    """Yield the rows of all jobs in their order; with nj > 1 a few jobs are under way at any time.

    Args:
        jobs: the trials; taken as they are needed.
        metrics: registered metrics (with nj > 1 they are looked up by name in each process).
        nj: processes.
        f0_method: dio or harvest.
        partial: what an interrupted evaluation has scored is taken from here, and what this one scores is left here.

    Raises:
        UserError: nj below 1, or a process died (killed, or out of memory).
    """
    if nj < 1:
        raise UserError(f"nj: expected at least 1, found {nj}")
    writer = None if partial is None else partial.writer
    todo = ((job, {} if partial is None else partial.rows(job)) for job in jobs)
    if nj == 1:
        wavs = Wavs(f0_method)
        for job, known in todo:
            left = _left(job, known)
            yield from _joined(job, known, score_trial(left, metrics, wavs, writer) if left.converted else ())
        return
    with _one_thread_each():
        # "spawn": a fork would copy the threads' locks of whoever calls this.
        pool = ProcessPoolExecutor(
            nj, get_context("spawn"), initializer=_start_worker,
            initargs=([m.name for m in metrics], f0_method, settings(), writer),
        )  # fmt: skip
        waiting: deque = deque()
        try:
            for job, known in todo:
                left = _left(job, known)
                waiting.append((job, known, pool.submit(_work, left) if left.converted else None))
                if len(waiting) > 4 * nj:
                    yield from _joined(*waiting.popleft())
            while waiting:
                yield from _joined(*waiting.popleft())
        except BrokenProcessPool:
            raise UserError("a scoring process died (killed, or out of memory?); try a smaller --nj") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _left(job: Job, known: Mapping[str, Row]) -> Job:
    """The job with the systems that are still to be scored."""
    return replace(job, converted={name: clip for name, clip in job.converted.items() if name not in known})


def _joined(job: Job, known: Mapping[str, Row], scored: Iterable[Row] | Future | None) -> list[Row]:
    """Known and new rows of a job in the order of its systems."""
    rows = scored.result() if isinstance(scored, Future) else scored
    found = {**known, **{row.system: row for row in rows or ()}}
    return [found[name] for name in job.converted]
