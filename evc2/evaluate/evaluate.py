"""The evaluation of some systems on some trials, from files to files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from evc2.errors import UserError, nearest
from evc2.evaluate import info
from evc2.evaluate.jobs import make_jobs, parse_systems
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.score import Row, score
from evc2.evaluate.summary import ALL, Summary, choose_compared
from evc2.evaluate.table import blocks, results_markdown
from evc2.fileio.atomic import atomic_path, write_json, write_text
from evc2.fileio.datadir import DataDir, read_trials

MISSING = "n/a"
"""Stands in scores.tsv for a value that does not exist."""


@dataclass(frozen=True)
class Options:
    """What to evaluate; see the command's --help."""

    trials: str
    data_dir: str
    systems: Sequence[str]
    out: str
    compare: Sequence[str] | None = None
    metrics: Sequence[str] | None = None
    compare_by: str = "mcd,mcd_gv"
    f0_method: str = "dio"
    nj: int = 1
    facts: str | None = None
    data_name: str | None = None
    seed: int = 0
    draws: int = 2000
    command: str = ""


def evaluate(options: Options) -> int:
    """Score, write O/scores.tsv, O/scores.json and O/RESULTS.md, print the tables.

    Returns:
        The number of rows (system x trial) that could not be scored, or not wholly.

    Raises:
        UserError: wrong options or unusable lists; nothing is written then.
    """
    if options.nj < 1 or options.draws < 100 or options.seed < 0:
        raise UserError(
            f"expected --nj of 1 or more, --bootstrap of 100 or more, --seed of 0 or more; "
            f"found {options.nj}, {options.draws}, {options.seed}"
        )
    systems = parse_systems(options.systems)
    others = choose_compared(list(systems), options.compare)
    metrics, skipped = _usable(get_metric(options.metrics))
    compare_by = _comparison_metrics(options, metrics)
    facts = info.read_facts(options.facts) if options.facts else {}
    trials = read_trials(options.trials)
    jobs = make_jobs(trials, DataDir(options.data_dir), systems)
    summary = Summary(list(systems), metrics, options.seed, options.draws)
    out = Path(options.out)
    started = time.monotonic()
    with atomic_path(out / "scores.tsv") as path, path.open("w", encoding="utf-8", newline="\n") as file:
        rows = score(_progress(jobs, len(trials)), metrics, options.nj, options.f0_method)
        _write_rows(rows, file, summary)
    header = {
        "data": f"{options.data_name or options.data_dir}, {len(trials)} trials of {options.trials}, "
        f"{sum(trial.reference is not None for trial in trials)} of them with a reference",
        "commit": info.commit(),
        "scored on": info.hardware(),
        "date": info.now(),
        "command": f"`{options.command}`" if options.command else "called from Python",
    }
    if facts:
        header["training"] = ", ".join(f"{name} {text}" for name, text in facts.items())
    if options.f0_method != "dio":
        header["F0"] = options.f0_method
    write_json(out / "scores.json", _as_json(summary, header, others, facts, skipped))
    write_text(out / "RESULTS.md", results_markdown(summary, header, others, compare_by, skipped))
    print(blocks(summary, others, compare_by))
    _report(summary, len(trials), time.monotonic() - started, out)
    return len(summary.problems)


def _usable(metrics: Sequence[Metric]) -> tuple[list[Metric], dict[str, str]]:
    """Split off the metrics that lack something here, with one warning each."""
    skipped = {metric.name: why for metric in metrics if (why := metric.missing()) is not None}
    for name, why in skipped.items():
        logging.warning("metric %s is left out: %s", name, why)
    usable = [metric for metric in metrics if metric.name not in skipped]
    if not usable:
        raise UserError(f"none of the metrics can be used here: {'; '.join(skipped.values())}")
    return usable, skipped


def _comparison_metrics(options: Options, metrics: Sequence[Metric]) -> list[Metric]:
    known = {metric.name: metric for metric in metrics}
    asked = [name.strip() for name in options.compare_by.split(",") if name.strip()]
    if options.compare is None and options.compare_by == Options.compare_by:
        asked = [name for name in asked if name in known]  # nobody asked: those of the default that are computed
    for name in asked:
        if name not in known:
            raise UserError(
                f"--compare_by: '{name}' is not computed{nearest(name, known)}; "
                f"choose among {', '.join(known)}, or add it to --metrics"
            )
    return [known[name] for name in asked]


def _progress(jobs: Iterable, total: int) -> Iterator:
    """Pass on the jobs and log now and then how many are under way."""
    last = time.monotonic()
    for i, job in enumerate(jobs):
        if time.monotonic() - last > 30:
            last = time.monotonic()
            logging.info("trial %d of %d", i, total)
        yield job


def _write_rows(rows: Iterable[Row], file: TextIO, summary: Summary) -> None:
    names = [metric.name for metric in summary.metrics]
    file.write("\t".join(["trial", "system", "speaker", "source_emotion", "emotion", *names, "problem"]) + "\n")
    for row in rows:
        summary.add(row)
        values = [MISSING if row.values[name] is None else f"{row.values[name]:.6g}" for name in names]
        place = [row.trial, row.system, row.speaker, row.source_emotion or MISSING, row.emotion]
        file.write("\t".join([*place, *values, (row.problem or "").replace("\t", " ")]) + "\n")


def _as_json(
    summary: Summary, header: dict[str, str], others: Sequence[str], facts: dict[str, str], skipped: dict[str, str]
) -> dict:
    metrics = {
        m.name: {"unit": m.unit, "better": m.better, "definition": m.doc, "source": m.source, "range": m.range}
        for m in summary.metrics
    }
    cells, comparisons = [], []
    for direction in summary.directions:
        for system in summary.systems:
            for metric in summary.metrics:
                values = summary.interval(direction, system, metric.name).to_dict()
                cells.append({"direction": direction, "system": system, "metric": metric.name, **values})
        for system, other in summary.compared(others):
            for metric in summary.metrics:
                comparisons.append(summary.compare(direction, system, other, metric).to_dict())
    return {
        "about": header,
        "training": facts,
        "systems": summary.systems,
        "trials": {direction: summary.n_trials(direction) for direction in [*summary.trials, ALL]},
        "metrics": metrics,
        "skipped_metrics": skipped,
        "summaries": cells,
        "comparisons": comparisons,
        "problems": [{"system": s, "trial": t, "problem": p} for s, t, p in summary.problems],
        "notes": [{"system": s, "note": n, "wavs": count} for (s, n), count in summary.notes.items()],
    }


def _report(summary: Summary, n_trials: int, seconds: float, out: Path) -> None:
    for (system, note), count in summary.notes.items():
        logging.warning("%s: %d wavs %s", system, count, note)
    for system, trial, problem in summary.problems[:10]:
        logging.warning("not scored, or not wholly: %s, %s: %s", system, trial, problem)
    if len(summary.problems) > 10:
        logging.warning("and %d more, see %s", len(summary.problems) - 10, out / "scores.tsv")
    rows = n_trials * len(summary.systems)
    logging.info(
        "%d wavs of %d systems in %.1f s (%.1f a second); results in %s",
        rows, len(summary.systems), seconds, rows / max(seconds, 1e-9), out,
    )  # fmt: skip
