"""One training run: the model with everything that a checkpoint holds, and the signals that may end it."""

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.train.reporter import Reporter, SubReporter

from evc2.errors import UserError
from evc2.train import checkpoint
from evc2.train.abs_model import AbsTurnModel
from evc2.train.ema import EMA
from evc2.train.monitor import reporter_state
from evc2.train.options import EVCTrainerOptions
from evc2.train.processes import Agreement

INTERVAL = 1
"""Why to save: the interval has passed. Larger numbers are exit statuses: 128 + that of a signal."""


class Stopped(Exception):
    """A signal came in the middle of a validation."""


class Session:
    """State of a run, as trainer.py steps it."""

    def __init__(
        self, model: AbsTurnModel, optimizers: Sequence, schedulers: Sequence, options: EVCTrainerOptions, dist: Any
    ):
        self.model, self.optimizers, self.schedulers = model, list(optimizers), list(schedulers)
        self.options, self.dist = options, dist
        self.device = "cuda" if options.ngpu > 0 else "cpu"
        self.path = Path(options.output_dir) / "checkpoint.pth"
        self.reporter = Reporter()
        self.scaler = torch.amp.GradScaler(self.device) if options.amp_dtype == "float16" else None
        owned = model.turn_parameters(options.ema_turn) if options.ema_turn else model.parameters()
        self.ema = EMA(model, owned, options.ema_decay) if options.ema_decay else None
        self.epoch, self.iteration, self.step, self.seconds = 1, 0, 0, 0.0
        self.partial: dict[str, Any] | None = None
        self.rng: dict[str, Any] | None = None
        self.agreement = Agreement() if dist.distributed else None
        self.started = self.saved = time.monotonic()
        self.signal: int | None = None

    @property
    def rank(self) -> int:
        """The number of this process, 0 if it is alone."""
        return self.dist.dist_rank if self.dist.distributed else 0

    @property
    def world(self) -> int:
        """How many processes train."""
        return self.dist.dist_world_size if self.dist.distributed else 1

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager:
        """The numeric context of forward passes."""
        if self.options.amp_dtype == "none":
            return nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.options.amp_dtype))

    def averaged(self) -> AbstractContextManager:
        """Within the block the model has its averaged weights, where averages are kept."""
        return self.ema.applied() if self.ema else nullcontext()

    @property
    def used(self) -> float:
        """Seconds of training, of earlier runs of this phase included."""
        return self.seconds + time.monotonic() - self.started

    def mark(self, sub: SubReporter) -> dict[str, Any]:
        """What of the epoch under way a checkpoint needs beside the model: its figures so far, the random numbers."""
        return {"partial": reporter_state(sub), "rng": checkpoint.get_rng_state()}

    def save(self, mark: dict[str, Any] | None = None) -> None:
        """Write the checkpoint (the main process does, all call it); ``mark`` is None between epochs."""
        self.saved = time.monotonic()
        mark = mark or {"partial": None, "rng": checkpoint.get_rng_state()}
        rng = self.agreement.gather(mark["rng"]) if self.agreement else [mark["rng"]]
        if not self.main:
            return
        state = {
            "format": 2,
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "schedulers": [s.state_dict() if s else None for s in self.schedulers],
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "ema": self.ema.state_dict() if self.ema else None,
            "rng": rng,  # of every process
            "reporter": self.reporter.state_dict(),
            "partial": mark["partial"],
            **{name: getattr(self, name) for name in ("epoch", "iteration", "step")},
            "seconds": self.used,
        }
        checkpoint.save(state, self.path)

    def begin(self) -> None:
        """Take up the last whole checkpoint, if there is one; without ``resume`` remove those that are there.

        Raises:
            UserError: the processes found different ones.
        """
        found = checkpoint.find(self.path) if self.options.resume else None
        if found:
            self.take_up(checkpoint.read(found, self.device))
        elif self.main and not self.options.resume:  # a job that the cluster starts again would take them for its own
            for path in self.path.parent.glob("checkpoint*.pth"):
                path.unlink()
        if self.agreement:
            steps = [str(one["step"]) for one in self.agreement.gather({"step": self.step})]
            if len(set(steps)) > 1:
                raise UserError(
                    f"{self.path}: the processes found it after {', '.join(steps)} steps, so the nodes do not see the "
                    f"same file; wait a little, or look at the file system"
                )
        if self.main and found not in (None, self.path):
            checkpoint.remove_damaged(self.path)

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`save` wrote."""
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        for scheduler, kept in zip(self.schedulers, state["schedulers"], strict=True):
            if scheduler:
                scheduler.load_state_dict(kept)
        for own, kept in ((self.scaler, state["scaler"]), (self.ema, state["ema"])):
            if own and kept:
                own.load_state_dict(kept)
        self.reporter.load_state_dict(state["reporter"])
        rng = state["rng"] if isinstance(state["rng"], list) else [state["rng"]]  # format 1 had that of one process
        if len(rng) != self.world:
            logging.warning("saved by %d processes, continued by %d: random numbers will differ", len(rng), self.world)
        # Between epochs the state is of no use: an epoch starts from its own seed, in whichever run it is.
        self.partial, self.rng = state["partial"], rng[self.rank % len(rng)] if state["iteration"] else None
        for name in ("epoch", "iteration", "step", "seconds"):
            setattr(self, name, state[name])
        logging.info("continuing at epoch %d, after %d batches, step %d", self.epoch, self.iteration, self.step)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGUSR1 (what schedulers send before they take a node away) ask for a checkpoint and the end."""

        def note(number: int, frame: Any) -> None:
            self.signal = number

        old = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def due(self) -> int:
        """Why to write a checkpoint now, the same in all processes: 0 (not now), INTERVAL, or 128 + a signal."""
        interval = self.options.checkpoint_interval * 60
        why = 128 + self.signal if self.signal else 0
        if not why and self.main and interval and time.monotonic() - self.saved > interval:
            why = INTERVAL
        return self.agreement.say(why) if self.agreement else why

    def pause(self, why: int, mark: dict[str, Any] | None) -> None:
        """Save, and end the process when a signal asked for it."""
        self.save(mark)
        if why > INTERVAL:
            logging.info("signal %d: saved %s at step %d, ending", why - 128, self.path, self.step)
            if self.agreement:  # launchers kill all processes when the first leaves
                self.agreement.wait()
            raise SystemExit(why)

    def make_alike(self) -> None:
        """Before a validation: the first process's buffers and one sequence of random numbers for all. Which model is
        the best, when to stop and the next learning rate follow from its figures, so these must not differ.
        """
        if self.agreement:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, 0)
            set_all_random_seed(self.options.seed + self.epoch)

    def share(self, figures: dict[str, Any]) -> None:
        """After a validation: the first process's figures for all; other machines' may differ in the last digits."""
        if self.agreement:
            own = {name: float(value) for name, value in figures.items() if isinstance(value, float)}
            figures.update(self.agreement.gather(own)[0])

    def check(self) -> None:
        """Between the parts of a validation, which nothing is saved of: Stopped when a signal came."""
        if (why := self.due()) > INTERVAL:
            raise Stopped(why)

    def finished(self) -> bool:
        """Whether a limit of steps or time is reached, by the first process's clock."""
        o, used = self.options, self.used
        if o.max_minutes and self.agreement:
            used = self.agreement.gather({"used": used})[0]["used"]
        return bool((o.max_steps and self.step >= o.max_steps) or (o.max_minutes and used >= 60 * o.max_minutes))
