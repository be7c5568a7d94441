"""Files that an epoch leaves: models, links to the best, averages, TensorBoard, and the summary of a phase."""

import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evc2.fileio.atomic import write_json
from evc2.train import checkpoint

if TYPE_CHECKING:
    from evc2.train.session import Session


def finish_epoch(session: "Session", trials: Any, writers: tuple[Any, ...] | None) -> None:
    """Report the epoch, save its model, move the links, write averages and remove what is no longer among the best."""
    options, reporter, epoch = session.options, session.reporter, session.epoch
    out = Path(options.output_dir)
    logging.info(reporter.log_message())
    if options.use_matplotlib:
        reporter.matplotlib_plot(out / "images")
    if writers:
        for writer, key in zip(writers, ("train", "valid"), strict=True):
            reporter.tensorboard_add_scalar(writer, key1=key)
        if options.media_interval and (epoch == 1 or epoch % options.media_interval == 0) and trials is not None:
            with session.averaged():
                trials.show(session.model, writers[1], epoch, out / "plots")
    if options.use_wandb:
        reporter.wandb_log()
    with session.averaged():
        checkpoint.save_model(session.model.state_dict(), out / f"{epoch}epoch.pth")
    checkpoint.link(out / "latest.pth", f"{epoch}epoch.pth")
    kept = {epoch}
    for phase, name, mode in options.best_model_criterion:
        if not reporter.has(phase, name):
            continue
        ranking = rank(reporter, phase, name, mode)
        kept |= set(ranking[: max(counts_of(options))])
        if ranking[0] == epoch:
            checkpoint.link(out / f"{phase}.{name}.best.pth", f"{epoch}epoch.pth")
            logging.info("best %s.%s so far: %.4f", phase, name, reporter.get_value(phase, name))
    if options.nbest_averaging_interval and epoch % options.nbest_averaging_interval == 0:
        write_averages(session)
    for path in out.glob("*epoch.pth"):
        number = path.name.removesuffix("epoch.pth")
        if number.isdigit() and int(number) not in kept:
            path.unlink()


def rank(reporter: Any, phase: str, name: str, mode: str) -> list[int]:
    """Epochs that have this value, the best first; of equal ones the earlier."""
    sign = 1 if mode == "min" else -1
    values = {e: phases[phase][name] for e, phases in reporter.stats.items() if name in phases.get(phase, {})}
    return sorted(values, key=lambda e: (sign * values[e], e))


def counts_of(options: Any) -> list[int]:
    """How many models --keep_nbest_models keeps and averages, a number or a list."""
    counts = options.keep_nbest_models
    return [counts] if isinstance(counts, int) else list(counts or [1])


def write_averages(session: "Session") -> None:
    """Write the mean of the n best models by every criterion, for every n asked for that there are enough models of."""
    out = Path(session.options.output_dir)
    for phase, name, mode in session.options.best_model_criterion:
        if not session.reporter.has(phase, name):
            continue
        ranking = rank(session.reporter, phase, name, mode)
        for n in counts_of(session.options):
            paths = [out / f"{e}epoch.pth" for e in ranking[:n] if (out / f"{e}epoch.pth").exists()]
            if n > 1 and len(paths) == n:
                checkpoint.save_model(
                    checkpoint.average(paths, session.model.not_averaged), out / f"{phase}.{name}.ave_{n}best.pth"
                )


def write_summary(session: "Session") -> None:
    """Leave what a results table must say about the training: steps, minutes, hardware, best validation figures."""
    reporter, options = session.reporter, session.options
    best = {}
    for phase, name, mode in options.best_model_criterion:
        if reporter.has(phase, name):
            epoch = rank(reporter, phase, name, mode)[0]
            best[f"{phase}.{name}"] = {"epoch": epoch, "value": float(reporter.get_value(phase, name, epoch))}
    summary = {
        "steps": session.step,
        "epochs": session.epoch - 1,
        "minutes": round(session.used / 60, 1),
        "device": torch.cuda.get_device_name() if options.ngpu > 0 else f"CPU, {torch.get_num_threads()} threads",
        "processes": session.world,
        "machine": platform.machine() + f", {os.cpu_count()} cores",
        "amp_dtype": options.amp_dtype,
        "best": best,
    }
    write_json(Path(options.output_dir) / "train_summary.json", summary)
