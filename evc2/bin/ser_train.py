#!/usr/bin/env python3
"""Train the neural emotion judge (espnet2's options, plus turns, averages and checkpoints of evc2)."""

from collections.abc import Sequence
from typing import Any

from evc2.bin.evc_train import train
from evc2.cli import run


def get_parser() -> Any:
    """The parser of SERTask (this imports espnet2)."""
    from evc2.tasks.ser import SERTask

    return SERTask.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Parse, lock the output folder and train."""
    from evc2.tasks.ser import SERTask

    train(SERTask, cmd)


if __name__ == "__main__":
    run(main)
