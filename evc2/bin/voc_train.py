#!/usr/bin/env python3
"""Train a vocoder (espnet2's options, plus turns, averages and checkpoints of evc2)."""

from collections.abc import Sequence
from typing import Any

from evc2.bin.evc_train import train
from evc2.cli import run


def get_parser() -> Any:
    """The parser of VocoderTask (this imports espnet2)."""
    from evc2.tasks.vocoder import VocoderTask

    return VocoderTask.get_parser()


def main(cmd: Sequence[str] | None = None) -> None:
    """Parse, lock the output folder and train."""
    from evc2.tasks.vocoder import VocoderTask

    train(VocoderTask, cmd)


if __name__ == "__main__":
    run(main)
