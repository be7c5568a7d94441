"""The evaluation of some systems on some trials, from files to files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from evc2.errors import UserError, nearest
from evc2.evaluate import info
from evc2.evaluate.jobs import make_jobs, parse_systems
from evc2.evaluate.partial import Partial, what_decides
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.report import choose_trials, write_report
from evc2.evaluate.scope import Scope
from evc2.evaluate.score import Clip, Job, score
from evc2.evaluate.scores import as_json, read_rows, write_rows
from evc2.evaluate.settings import Settings, use
from evc2.evaluate.summary import Summary, choose_compared
from evc2.evaluate.table import blocks, results_markdown
from evc2.fileio.atomic import atomic_path, write_json, write_text
from evc2.fileio.datadir import DataDir, read_trials

COMPARE_BY = "mcd,mcd_gv,emo_acc_neural,emo_acc_svm,spk_sim_target,spk_changed"
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
    enrol_dir: str | None = None
    seed: int = 0
    draws: int = 2000
    command: str = ""
    settings: Settings = Settings()
    report: bool = True
    report_trials: Sequence[str] | int = 12


def evaluate(options: Options) -> int:
    """Score, write O/scores.tsv, O/scores.json and O/RESULTS.md, print the tables.

    What an interrupted evaluation into the same folder has scored is taken over (see :mod:`evc2.evaluate.partial`).

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
    choose_compared(list(systems), options.compare)  # a wrong name is told before anything is read
    use(options.settings)
    metrics = get_metric(options.metrics, options.skip_metrics)
    facts = info.read_facts(options.facts) if options.facts else {}
    trials = read_trials(options.trials)
    clips: dict[str, dict[str, Clip]] = {}
    data = DataDir(options.data_dir)
    scope = Scope(trials, data)
    systems, gone = scope.without_rows(systems) if trials else (systems, [])
    others = choose_compared(list(systems), options.compare and [name for name in options.compare if name not in gone])
    enrol = None if options.enrol_dir is None else DataDir(options.enrol_dir)
    jobs = _keep_clips(make_jobs(trials, data, systems, enrol), _trials_to_show(options, scope), clips)
    metrics, skipped = scope.usable(metrics, options.metrics or ())
    compare_by = _comparison_metrics(options, metrics, skipped)
    if any("other_speaker" in metric.needs for metric in metrics):
        scope.warn_of_unknown_speakers(enrol)
    summary = Summary(list(systems), metrics, options.seed, options.draws)
    out = Path(options.out)
    partial = Partial(
        out / ".partial", what_decides([metric.name for metric in metrics], options.settings, options.f0_method)
    )
    if len(partial):
        logging.info("%s: %d scores of an interrupted evaluation", out / ".partial", len(partial))
    started = time.monotonic()
    with atomic_path(out / "scores.tsv") as path, path.open("w", encoding="utf-8", newline="\n") as file:
        rows = score(_progress(jobs, len(trials)), metrics, options.nj, options.f0_method, partial)
        write_rows(rows, file, summary)
    header = {
        "data": f"{options.data_name or options.data_dir}, {len(trials)} trials of {options.trials}, "
        f"{scope.references} of them with a reference",
        **scope.header(gone),
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
    partial.remove()
    print(blocks(summary, others, compare_by))
    _report(summary, len(trials), time.monotonic() - started, out, partial.reused)
    return len(summary.problems)


def _comparison_metrics(options: Options, metrics: Sequence[Metric], skipped: Mapping[str, str]) -> list[Metric]:
    known = {metric.name: metric for metric in metrics}
    asked = [name.strip() for name in options.compare_by.split(",") if name.strip()]
    if options.compare_by == Options.compare_by:
        asked = [name for name in asked if name in known]  # nobody asked: those of the default that are computed
    for name in asked:
        if name not in known:
            why = f" ({skipped[name]})" if name in skipped else nearest(name, known)
            raise UserError(
                f"--compare_by: '{name}' is not computed{why}; choose among {', '.join(known)}, or add it to --metrics"
            )
    return [known[name] for name in asked]


def _trials_to_show(options: Options, scope: Scope) -> list[str]:
    """The trials that get players in the report."""
    if not options.report:
        return []
    if isinstance(options.report_trials, int):
        placed = [SimpleNamespace(**vars(trial), direction=scope.directions[trial.id]) for trial in scope.trials]
        return choose_trials(placed, options.report_trials, options.seed)
    known = {trial.id for trial in scope.trials}
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


def _report(summary: Summary, n_trials: int, seconds: float, out: Path, reused: int) -> None:
    for (system, note), count in summary.notes.items():
        logging.warning("%s: %d wavs %s", system, count, note)
    for system, trial, problem in summary.problems[:10]:
        logging.warning("not scored, or not wholly: %s, %s: %s", system, trial, problem)
    if len(summary.problems) > 10:
        logging.warning("and %d more, see %s", len(summary.problems) - 10, out / "scores.tsv")
    rows = n_trials * len(summary.systems)
    logging.info(
        "%d wavs of %d systems in %.1f s (%.1f a second)%s; results in %s",
        rows, len(summary.systems), seconds, rows / max(seconds, 1e-9),
        f", {reused} of them scored before an interruption" if reused else "", out,
    )  # fmt: skip
