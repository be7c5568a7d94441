#!/usr/bin/env python3
"""Train a conversion system (espnet2's options, plus turns, autocast, averages and checkpoints of evc2)."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evc2.cli import run
from evc2.errors import UserError


def get_parser() -> Any:
    """The parser of EVCTask (this imports espnet2)."""
    from evc2.tasks.evc import EVCTask

    return EVCTask.get_parser()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the exp folder; the lock is the kernel's, so a run that died leaves none. UserError when it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{folder} is in use by another run; wait for it, stop it, or give this one another --output_dir"
            ) from error
        yield


def train(task: Any, cmd: Sequence[str] | None) -> None:
    """Parse the options of a task, lock the output folder (the first process only) and train."""
    args = task.get_parser().parse_args(cmd)
    if args.print_config or args.output_dir is None or (args.dist_rank or 0) > 0:
        task.main(args)
        return
    with locked(Path(args.output_dir)):
        task.main(args)


def main(cmd: Sequence[str] | None = None) -> None:
    """Train a conversion system."""
    from evc2.tasks.evc import EVCTask

    train(EVCTask, cmd)


if __name__ == "__main__":
    run(main)
