"""Runs that take turns, and what their times say."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch


def alternate(runs: dict[str, Callable[[], Any]], repeats: int, warmup: int) -> dict[str, list[float]]:
    """Seconds of every run, in turns: another load on the machine meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(repeats + warmup):
        for name, run in runs.items():
            start = time.perf_counter()
            run()  # reads the loss, so waits for the device
            if k >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median(values: list[float]) -> float:
    """The middle one, the upper of two."""
    return sorted(values)[len(values) // 2]


def figures(seconds: dict[str, list[float]], base: str = "plain") -> dict[str, Any]:
    """Medians in milliseconds, and how many times faster than ``base`` each run is by medians and by least times."""
    middle, least = ({name: f(values) for name, values in seconds.items()} for f in (median, min))
    return {
        "ms": {name: round(1e3 * value, 2) for name, value in middle.items()},
        "times_faster": {k: round(middle[base] / v, 2) for k, v in middle.items() if k != base},
        "times_faster_by_least": {k: round(least[base] / v, 2) for k, v in least.items() if k != base},
    }


def machine(device: str) -> dict[str, Any]:
    """What the times depend on beside the programs."""
    load = round(os.getloadavg()[0], 2)
    return {"device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "load": load}
