"""The evaluation of some systems on some trials, from files to files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from evc2.errors import UserError, nearest
from evc2.evaluate import info
from evc2.evaluate.jobs import make_jobs, parse_systems
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.report import choose_trials, write_report
from evc2.evaluate.score import Clip, Job, score
from evc2.evaluate.scores import as_json, read_rows, write_rows
from evc2.evaluate.settings import Settings, use
from evc2.evaluate.summary import Summary, choose_compared
from evc2.evaluate.table import blocks, results_markdown
from evc2.fileio.atomic import atomic_path, write_json, write_text
from evc2.fileio.datadir import DataDir, Trial, read_trials

COMPARE_BY = "mcd,mcd_gv,emo_acc_neural,emo_acc_svm"
"""Metrics of the paired comparisons in RESULTS.md, as far as they are computed."""


@dataclass(frozen=True)
class Options:
    """What to evaluate; see the command's --help."""

    trials: str
    data_dir: str
    systems: Sequence[str]
    out: str
    compare: Sequence[str] | None = None
    metrics: Sequence[str] | None = None
    skip_metrics: Sequence[str] = ()
    compare_by: str = COMPARE_BY
    f0_method: str = "dio"
    nj: int = 1
    facts: str | None = None
    data_name: str | None = None
    seed: int = 0
    draws: int = 2000
    command: str = ""
    settings: Settings = Settings()
    report: bool = True
    report_trials: Sequence[str] | int = 12


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
    use(options.settings)
    metrics, skipped = _usable(get_metric(options.metrics, options.skip_metrics))
    compare_by = _comparison_metrics(options, metrics)
    facts = info.read_facts(options.facts) if options.facts else {}
    trials = read_trials(options.trials)
    clips: dict[str, dict[str, Clip]] = {}
    data = DataDir(options.data_dir)
    jobs = _keep_clips(make_jobs(trials, data, systems), _trials_to_show(options, trials, data), clips)
    summary = Summary(list(systems), metrics, options.seed, options.draws)
    out = Path(options.out)
    started = time.monotonic()
    with atomic_path(out / "scores.tsv") as path, path.open("w", encoding="utf-8", newline="\n") as file:
        rows = score(_progress(jobs, len(trials)), metrics, options.nj, options.f0_method)
        write_rows(rows, file, summary)
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
    scores = as_json(summary, header, others, facts, skipped)
    write_json(out / "scores.json", scores)
    write_text(out / "RESULTS.md", results_markdown(summary, header, others, compare_by, skipped))
    if options.report:
        rows = read_rows(out / "scores.tsv")
        write_report(out / "report.html", scores, rows, clips, list(clips), options.f0_method)
    print(blocks(summary, others, compare_by))
    _report(summary, len(trials), time.monotonic() - started, out)
    return len(summary.problems)


def _usable(metrics: Sequence[Metric]) -> tuple[list[Metric], dict[str, str]]:
    """Split off the metrics that lack something here, with one warning each."""
    skipped = {metric.name: why for metric in metrics if (why := metric.missing()) is not None}
    for why in dict.fromkeys(skipped.values()):
        names = [name for name, reason in skipped.items() if reason == why]
        logging.warning("%s left out: %s", ", ".join(names), why)
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


def _trials_to_show(options: Options, trials: Sequence[Trial], data: DataDir) -> list[str]:
    """The trials that get players in the report."""
    if not options.report:
        return []
    if isinstance(options.report_trials, int):
        of = data.table("utt2emo") if data.has("utt2emo") else {}
        placed = [SimpleNamespace(**vars(trial), source_emotion=of.get(trial.source)) for trial in trials]
        return choose_trials(placed, options.report_trials, options.seed)
    known = {trial.id for trial in trials}
    for name in options.report_trials:
        if name not in known:
            raise UserError(f"--report_trials: no trial is called '{name}'{nearest(name, known)}")
    return list(options.report_trials)


def _keep_clips(jobs: Iterable[Job], chosen: Iterable[str], clips: dict[str, dict[str, Clip]]) -> Iterator[Job]:
    """Pass on the jobs and note where the wavs of the chosen trials are."""
    wanted = set(chosen)
    for job in jobs:
        if job.trial in wanted:
            found = {"source": job.source, "target": job.reference, **job.converted}
            clips[job.trial] = {name: clip for name, clip in found.items() if clip is not None}
        yield job


def _progress(jobs: Iterable, total: int) -> Iterator:
    """Pass on the jobs and log now and then how many are under way."""
    last = time.monotonic()
    for i, job in enumerate(jobs):
        if time.monotonic() - last > 30:
            last = time.monotonic()
            logging.info("trial %d of %d", i, total)
        yield job


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
