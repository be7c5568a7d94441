#!/usr/bin/env python3
"""Train a conversion system (espnet2's options, plus turns, autocast, averages and checkpoints of evc2)."""

import fcntl
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from evc2.cli import run
from evc2.errors import UserError


def get_parser() -> Any:
    """The parser of EVCTask (this imports espnet2)."""
    from evc2.tasks.evc import EVCTask

    return EVCTask.get_parser()


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the exp folder; the lock is the kernel's, so a run that died leaves none.

    Args:
        patience: seconds to wait, and then to go on all the same: of a job that is started again, whose node may have
            taken the lock of a network file system with it. 0: a folder that is held is a UserError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    with open(folder / ".lock", "a") as f:
        while True:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not patience:
                    how = "wait for it, stop it, or give this one another --output_dir"
                    raise UserError(f"{folder} is in use by another run; {how}") from error
                if time.monotonic() < end:
                    time.sleep(1.0)
                    continue
                logging.warning("%s: still locked after %.0f s, probably by a node that failed", folder, patience)
            except OSError as error:  # a file system without locks
                logging.warning("%s cannot be locked (%s): see that no other run uses it", folder, error.strerror)
            break
        yield


@contextmanager
def told_to_end(children: bool) -> Iterator[None]:
    """SIGUSR1 ends the process with its status, as SIGTERM does; what trains has handlers of its own, which save first.

    Args:
        children: the training is done by processes of this one, a GPU each. These get the signal from here (and perhaps
            from the cluster, too, which does no harm); this one waits for them, and leaves with the signal's status.
    """
    told: list[int] = []

    def handle(number: int, frame: Any) -> None:
        told.append(number)
        if not children:
            raise SystemExit(128 + number)
        for process in multiprocessing.active_children():
            if process.pid is not None:
                os.kill(process.pid, number)

    from torch.multiprocessing import ProcessExitedException

    old = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    except ProcessExitedException as error:  # it has said why
        raise SystemExit(128 + told[0] if told else error.exit_code) from None
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def train(task: Any, cmd: Sequence[str] | None) -> None:
    """Parse the options of a task, lock the output folder (the first process only) and train."""
    from evc2.train.processes import started_again, writes_files

    args = task.get_parser().parse_args(cmd)
    if args.print_config or args.output_dir is None:
        task.main(args)
        return
    with told_to_end(children=args.ngpu > 1):
        again = started_again()
        args.resume = args.resume or again
        first = writes_files(args.dist_rank, args.dist_launcher)
        with locked(Path(args.output_dir), 120.0 if again else 0.0) if first else nullcontext():
            task.main(args)


def main(cmd: Sequence[str] | None = None) -> None:
    """Train a conversion system."""
    from evc2.tasks.evc import EVCTask

    train(EVCTask, cmd)


if __name__ == "__main__":
    run(main)
