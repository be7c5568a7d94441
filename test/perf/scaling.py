#!/usr/bin/env python3
"""Training by two processes (DDP over gloo) against one: samples a second, with one thread each.

evc_train runs as a user starts it, on generated features, once with one process and its batch, once with two and a
batch for each as large as that, once with two that share that batch. Rates are those of the second epoch, which its own
report of loading and step times gives, so neither the start nor the validation counts. ``efficiency`` is the ratio of
the rates divided by the processes; 1 is what independent processes on cores of their own would reach. Two processes on
one core's two hyper-threads, or on a busy machine, cannot: ``machine`` says what the CPUs are. Prints a JSON line each.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from material import CONF, make_features
from side_by_side import median, report, rounded

from evc2.feats.contract import FeatureContract
from evc2.train import checkpoint

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def rate(words: list[str], out: Path, world: int, batch: int) -> float:
    """Samples a second of a run of two epochs by so many processes with a global batch."""
    command = [sys.executable, "-W", "ignore", "-m", "evc2.bin.evc_train", *words]
    command += ["--output_dir", str(out), "--batch_size", str(batch)]
    if world > 1:
        command += ["--dist_world_size", str(world), "--dist_backend", "gloo", "--multiprocessing_distributed", "false"]
        command += ["--dist_master_addr", "127.0.0.1", "--dist_master_port", str(free_port())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    out.mkdir()
    running, logs = [], [out / f"log.{rank}" for rank in range(world)]
    for rank, log in enumerate(logs):
        more = ["--dist_rank", str(rank)] if world > 1 else []
        with log.open("wb") as f:
            running.append(subprocess.Popen([*command, *more], env=environment, stdout=f, stderr=f))
    try:
        for process, log in zip(running, logs, strict=True):
            if process.wait():
                sys.exit(f"evc_train failed with status {process.returncode}:\n{log.read_text()[-3000:]}")
    finally:
        for process in running:  # those that wait for one that failed
            if process.poll() is None:
                process.kill()
    stats = checkpoint.load(out / "checkpoint.pth")["reporter"]["stats"][2]["train"]
    return batch / (stats["step_time"] + stats["load_time"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configs", nargs="+", default=["debug/train_cyclegan.yaml", "tuning/train_cyclegan_small.yaml"]
    )
    parser.add_argument("--batches", type=int, default=30, help="of an epoch (30)")
    parser.add_argument("--rounds", type=int, default=2, help="times that all runs take turns (2)")
    parser.add_argument("more", nargs="*", help="further options of evc_train, after --")
    args = parser.parse_args()
    for path in args.configs:
        batch = yaml.safe_load((CONF / path).read_text(encoding="utf-8"))["batch_size"]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            contract = FeatureContract.load(CONF / "feats_world.yaml")
            make_features(folder / "train", 50, contract).save(folder / "stats.npz")
            options = {"config": CONF / path, "train_dir": folder / "train", "valid_dir": folder / "train"}
            options |= {"feats_contract": folder / "train/feats.yaml", "stats": folder / "stats.npz", "max_epoch": 2}
            options |= {"num_iters_per_epoch": args.batches, "use_tensorboard": "false", "use_matplotlib": "false"}
            words = [str(word) for key, value in options.items() for word in (f"--{key}", value)] + args.more
            forms = {"one": (1, batch), "a batch each": (2, 2 * batch), "the same global batch": (2, batch)}
            rates: dict[str, list[float]] = {form: [] for form in forms}
            for k in range(args.rounds):
                for form, (world, size) in forms.items():
                    rates[form].append(rate(words, folder / f"{form.replace(' ', '_')}{k}", world, size))
        one, *others = (median(values) for values in rates.values())
        for form, two in zip(list(forms)[1:], others, strict=True):
            case, facts = f"{path}, 2 processes against 1, {form}", {"efficiency": rounded(two / one / 2, 3)}
            report(
                "scaling", case, one, two, "samples/s", more_is_better=True, batch=batch, rounds=args.rounds, **facts
            )


if __name__ == "__main__":
    main()
