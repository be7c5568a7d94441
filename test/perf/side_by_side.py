"""Forms of one piece of work that take turns, and the lines that say what came of them.

A figure is a JSON line: ``what`` was measured (the script's name), in which ``case``, in which ``unit``; ``plain``, the
straightforward form, and ``ours``; ``ratio``, how many times better ours is; the ``machine``; and further facts.
torch is imported where it is needed, so that a script that measures memory without it stays small.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Step = Callable[..., Sequence[float]]
"""A training step: takes a batch, returns its losses as numbers, so that the device has ended."""


def report(
    what: str,
    case: str,
    plain: float | None = None,
    ours: float | None = None,
    unit: str = "ms",
    more_is_better: bool = False,
    device: str = "cpu",
    **facts: Any,
) -> dict[str, Any]:
    """Print the JSON line of a figure, and return what it says.

    Args:
        plain, ours: both in ``unit``; None: there is no such form, and so no ratio.
        more_is_better: of the unit (batches a second); otherwise less is.
        facts: what else is worth knowing.
    """
    ratio = None
    if plain and ours:
        ratio = rounded(ours / plain if more_is_better else plain / ours, 3)
    line = {"what": what, "case": case, "unit": unit, "plain": rounded(plain), "ours": rounded(ours), "ratio": ratio}
    line |= {"machine": machine(device), **facts}
    print(json.dumps(line), flush=True)
    return line


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Significant digits only."""
    return None if value is None else float(f"{value:.{digits}g}")


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the times depend on beside the programs; ``cores`` are those that the kernel says are no siblings."""
    torch = sys.modules.get("torch")
    usable = os.sched_getaffinity(0)
    threads = torch.get_num_threads() if torch else int(os.environ.get("OMP_NUM_THREADS") or len(usable))
    name = torch.cuda.get_device_name() if torch and device.startswith("cuda") else processor()
    cores = {siblings(cpu) for cpu in usable}
    load = round(os.getloadavg()[0], 2)
    return {"device": name, "cpus": len(usable), "cores": len(cores), "threads": threads, "load": load}


@cache
def processor() -> str:
    """Its name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)


def siblings(cpu: int) -> str:
    """The hyper-threads of the core that a CPU belongs to, as the kernel lists them (``0-1``)."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return path.read_text().strip() if path.exists() else str(cpu)


def alternate(runs: Mapping[str, Callable[[], Any]], repeats: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of every run, in turns: another load on the machine meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(repeats + warmup):
        for name, run in runs.items():
            wait_for_device()
            start = time.perf_counter()
            run()
            wait_for_device()
            if k >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def wait_for_device() -> None:
    """Let the GPU, where one is in use, end what it was given."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def median(values: Sequence[float]) -> float:
    """The middle one, the upper of two."""
    return sorted(values)[len(values) // 2]


def report_times(what: str, case: str, seconds: Mapping[str, Sequence[float]], **facts: Any) -> None:
    """A line for every form but the first, which is the plain one: medians, in ms. A fact that is a mapping by form
    gives each line its own.
    """
    (base, plain), *others = seconds.items()
    for name, ours in others:
        own = {k: v[name] if isinstance(v, Mapping) and name in v else v for k, v in facts.items()}
        label = case if name == "ours" else f"{case}, {name}"
        by_least = rounded(min(plain) / min(ours), 3)
        report(what, label, 1e3 * median(plain), 1e3 * median(ours), "ms", form=base, ratio_by_least=by_least, **own)


def add_step_arguments(parser: argparse.ArgumentParser, steps: int, warmup: int = 2) -> None:
    """Options of a script that compares training steps."""
    import torch

    parser.add_argument("--steps", "--repeats", type=int, default=steps, help="timed steps of each form")
    parser.add_argument("--warmup", type=int, default=warmup, help="steps before these")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no_memory", action="store_true", help="leave out the peak memory of each form")
    parser.add_argument("--peak_of", help=argparse.SUPPRESS)


def compare_steps(
    what: str,
    case: str,
    forms: Mapping[str, Callable[[], Step]],
    draw: Callable[[], tuple[Any, ...]],
    args: argparse.Namespace,
    same_losses: bool = True,
    **facts: Any,
) -> dict[str, Step]:
    """Report time and peak memory of a training step in several forms; return these (none in a process for memory).

    Memory is that of two first steps in a process of its own for each form: this script again, with --peak_of.

    Args:
        forms: by name what builds each; the plain one comes first. All start from the same weights.
        draw: makes a batch; all forms get the same ones, and start each step from the same seed.
        args: of :func:`add_step_arguments`.
        same_losses: whether the forms draw alike, so that their losses can be compared.
    """
    import torch

    if args.peak_of:
        wanted, _, form = args.peak_of.rpartition(": ")
        if wanted == case:
            print(peak_memory(forms[form](), draw, args.device))
        return {}
    steps = {name: build() for name, build in forms.items()}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(args.warmup + args.steps):
        torch.manual_seed(100 + k)
        batch = draw()
        for name, step in steps.items():
            torch.manual_seed(k)
            wait_for_device()
            start = time.perf_counter()
            losses[name] += step(*batch)
            if k >= args.warmup:
                seconds[name].append(time.perf_counter() - start)
    plain = next(iter(steps))
    if same_losses:
        facts["largest_relative_loss_difference"] = {
            name: rounded(max(abs(a - b) / abs(b) for a, b in zip(found, losses[plain], strict=True)), 2)
            for name, found in losses.items()
        }
    facts |= {"device": args.device, "steps": args.steps}
    report_times(what, case, seconds, **facts)
    if not args.no_memory:
        report_memory(what, case, [name for name in steps if not name.endswith("compile")], args.device)
    return steps


def peak_memory(step: Step, draw: Callable[[], tuple[Any, ...]], device: str, steps: int = 2) -> float:
    """MiB that steps took at most: on a CPU beyond what the process held before, on a GPU all that was allocated."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = largest_rss()
    for _ in range(steps):
        step(*draw())
    return torch.cuda.max_memory_allocated() / 2**20 if device.startswith("cuda") else largest_rss() - before


def largest_rss() -> float:
    """MiB (the kernel's VmHWM; getrusage's figure would count the parent process, too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def report_memory(what: str, case: str, names: Sequence[str], device: str) -> None:
    """A line for every form but the first."""
    peaks = {}
    for name in names:
        command = [sys.executable, *sys.argv, "--peak_of", f"{case}: {name}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        peaks[name] = float(done.stdout.split()[-1])
    plain = peaks.pop(names[0])
    for name, ours in peaks.items():
        label = case if name == "ours" else f"{case}, {name}"
        report(what, label, plain, max(ours, 1.0), "MiB", device=device, form=names[0])
