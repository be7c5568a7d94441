"""Options of the trainer beyond espnet2's."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from espnet2.train.trainer import TrainerOptions
from espnet2.utils.types import int_or_none, str2bool


@dataclasses.dataclass
class EVCTrainerOptions(TrainerOptions):
    """What run() needs; ``turn_options`` maps a turn to ``grad_clip`` and ``start_step``."""

    amp_dtype: str
    compile: bool
    ema_decay: float
    ema_turn: str
    checkpoint_interval: float
    max_minutes: float
    max_steps: int | None
    media_interval: int
    turn_options: dict[str, dict[str, Any]]


def float_minutes(text: str) -> float:
    """A number of minutes; 0 turns the limit off."""
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more minutes, got {text}")
    return value


ARGUMENTS: tuple[tuple[str, Callable[[str], Any], Any, str], ...] = (
    (
        "amp_dtype",
        str,
        "none",
        "Autocast type (auto: bfloat16 where the device has units for it)",
    ),
    ("compile", str2bool, False, "Compile the networks with torch.compile"),
    ("ema_decay", float, 0.0, "Moving average of the weights, used to validate and convert (0: off; e.g. 0.999)"),
    ("ema_turn", str, "", "The turn whose parameters are averaged (empty: all turns)"),
    ("checkpoint_interval", float_minutes, 10.0, "Minutes between checkpoints within an epoch (0: only per epoch)"),
    ("max_minutes", float_minutes, 0.0, "Stop after the epoch in which this much training time was used (0: no limit)"),
    ("max_steps", int_or_none, None, "Stop after the epoch in which this many steps were made"),
    ("media_interval", int, 5, "Epochs between pictures and sounds in TensorBoard (0: none)"),
)


def resolve_amp(dtype: str, ngpu: int) -> str:
    """Choose the autocast type for ``auto``: bfloat16 makes a CPU without units for it three times slower."""
    if dtype != "auto":
        return dtype
    if ngpu > 0:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "none"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "none"


def add_trainer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options above to espnet2's."""
    group = parser.add_argument_group("Trainer related (evc2)")
    for name, kind, default, text in ARGUMENTS:
        extra = {"choices": ["auto", "none", "bfloat16", "float16"]} if name == "amp_dtype" else {}
        group.add_argument(f"--{name}", type=kind, default=default, help=text, **extra)
