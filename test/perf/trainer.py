#!/usr/bin/env python3
"""What the trainer adds to the bare training step: the same model and the same batches, in one run.

evc_train and voc_train build everything as ever, for generated material; then, instead of training, three loops over
the batches of an epoch take turns. Bare: forward passes of all turns, backward passes, clipping and optimizers, batches
ready in memory. Trainer: train_one_epoch on the same batches, which adds statistics, schedules and averaged weights.
Whole: with the loader, TensorBoard and the log, too. Then one checkpoint is timed; its share is that of its interval.
Prints a JSON line for each: plain and ours are ms a step (of processor time on a CPU, which other work on the machine
disturbs less), ``added_percent`` what ours takes more (median of the rounds' ratios), and with its share of the
checkpoints. With a GPU also the share of time in which that computes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from espnet2.torch_utils.device_funcs import to_device
from espnet2.train.reporter import Reporter
from material import CONF, make_features, make_recordings
from side_by_side import alternate, median, report, rounded
from torch.utils.tensorboard import SummaryWriter
from turns import Turns

from evc2.feats.contract import FeatureContract
from evc2.tasks.evc import EVCTask
from evc2.tasks.vocoder import VocoderTask
from evc2.train.session import Session
from evc2.train.trainer import EVCTrainer

VOC = CONF.parents[1] / "voc1/conf"
CASES = {
    "cyclegan_debug": CONF / "debug/train_cyclegan.yaml",
    "cyclegan_small": CONF / "tuning/train_cyclegan_small.yaml",
    "cyclegan": CONF / "train_cyclegan.yaml",
    "hifigan_debug": VOC / "debug/train_hifigan.yaml",
    "hifigan": VOC / "train_hifigan.yaml",
}
LESS = {"hifigan": ["--batch_size", "2"]}  # a step of the preset's 16 takes half a minute of a CPU


class Loops:
    """The three loops over one epoch's batches, on a session."""

    def __init__(self, session: Session, factory: Any, folder: Path):
        self.session, self.factory = session, factory
        conf = session.options.turn_options
        clip = {turn: one.get("grad_clip", 0) for turn, one in conf.items()}
        self.turns = Turns(session.model, session.optimizers, session.options.amp_dtype, False, session.device, clip)
        self.turns.steps = max((one.get("start_step", 0) for one in conf.values()), default=0)
        session.step = self.turns.steps  # all turns are made
        self.batches = [(names, to_device(batch, session.device)) for names, batch in factory.build_iter(1)]
        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def shorten(self, seconds: float) -> None:
        """Keep so many batches that a loop over them lasts about so long."""
        for _ in range(2):  # the first one allocates
            took = alternate({"bare": lambda: self.turns.step(self.batches[0][1])}, 1, warmup=0)["bare"][0]
        count, plan = min(max(round(seconds / took), 2), len(self.batches)), self.factory.plan
        self.batches, self.factory.plan = self.batches[:count], lambda epoch: plan(epoch)[:count]

    def bare(self) -> None:
        self.session.model.train()
        for _, batch in self.batches:
            self.turns.step(batch)

    def train(self, batches: Iterator[Any], writer: Any = None) -> None:
        self.session.iteration, reporter = 0, Reporter()
        reporter.set_epoch(1)
        with reporter.observe("train") as sub:
            EVCTrainer.train_one_epoch(self.session.model, self.session, batches, sub, writer)

    def trainer(self) -> None:
        self.train(iter(self.batches))

    def whole(self) -> None:
        self.train(self.factory.build_iter(1), self.writer)


def gpu_busy(run: Callable[[], None]) -> float:
    """Share of the time of a run in which the GPU computes."""
    from torch.profiler import ProfilerActivity, profile

    seconds = alternate({"run": run}, 1)["run"][0]  # without the profiler, which slows the host
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        run()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in found.key_averages()) / 1e6 / seconds


def measure(loops: Loops, case: str, rounds: int) -> None:
    """Let the loops take turns and report them."""
    session, count = loops.session, len(loops.batches)
    forms = {"bare": loops.bare, "trainer": loops.trainer, "whole": loops.whole}
    used: dict[str, list[float]] = {name: [] for name in forms}

    def noted(name: str) -> None:
        start = time.process_time()
        forms[name]()
        used[name].append(time.process_time() - start)

    seconds = alternate({name: lambda name=name: noted(name) for name in forms}, rounds, warmup=1)
    taken = {name: values[1:] for name, values in used.items()} if session.device == "cpu" else seconds
    saving = median(alternate({"save": session.save}, 3)["save"])
    interval = 60 * session.options.checkpoint_interval
    facts: dict[str, Any] = {"device": session.device, "batches": count, "dtype": session.options.amp_dtype}
    ms = {name: 1e3 * median(values) / count for name, values in taken.items()}
    wall = {name: rounded(1e3 * median(values) / count) for name, values in seconds.items()}
    for name in ("trainer", "whole"):
        ratios = [ours / plain for ours, plain in zip(taken[name], taken["bare"], strict=True)]
        own = {"added_percent": rounded(100 * (median(ratios) - 1), 3)}
        if name == "whole" and interval:
            own["added_percent_with_checkpoints"] = rounded(100 * (median(ratios) * (1 + saving / interval) - 1), 3)
        if session.device == "cuda":
            own["gpu_busy"] = rounded(gpu_busy(forms[name]), 3)
        own["wall_ms"] = [wall["bare"], wall[name]]
        report("trainer", f"{case}, {name}", ms["bare"], ms[name], **own, **facts)
    report("trainer", f"{case}, checkpoint", None, 1e3 * saving, every_seconds=interval, **facts)


def commands(name: str, folder: Path, more: list[str]) -> tuple[type[EVCTask | VocoderTask], list[str]]:
    """The task of a case, on material below a folder, and its command line."""
    config = CASES[name]
    words = {"config": config, "output_dir": folder / "exp", "num_iters_per_epoch": 100, "use_matplotlib": "false"}
    words |= {
        "train_dir": folder / "train",
        "valid_dir": folder / "train",
        "feats_contract": folder / "train/feats.yaml",
    }
    task: type[EVCTask | VocoderTask] = VocoderTask
    if name.startswith("hifigan"):
        make_recordings(folder / "train", [3.0] * 20, FeatureContract.load(CONF / "feats_hifigan.yaml"))
    else:
        task, words["stats"] = EVCTask, folder / "stats.npz"
        make_features(folder / "train", 50, FeatureContract.load(CONF / "feats_world.yaml")).save(words["stats"])
    return task, [str(word) for key, value in words.items() for word in (f"--{key}", value)] + LESS.get(name, []) + more


def measuring(name: str, args: argparse.Namespace) -> type[EVCTrainer]:
    """A trainer that measures where it should train."""

    class Measuring(EVCTrainer):
        """See above."""

        @classmethod
        def run(cls, model: Any, optimizers: Any, schedulers: Any, train_iter_factory: Any, **given: Any) -> None:
            options = given["trainer_options"]
            session = Session(model, optimizers, schedulers, options, given["distributed_option"])
            loops = Loops(session, train_iter_factory, Path(options.output_dir))
            loops.shorten(args.seconds)
            measure(loops, name, args.rounds)

    return Measuring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of a loop in a round: 2 to 100 batches (5)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of the loops (5)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("more", nargs="*", help="further options of evc_train or voc_train, after --")
    args = parser.parse_args()
    for name in args.cases:
        with tempfile.TemporaryDirectory() as folder:
            ngpu = str(int(args.device == "cuda"))
            task, words = commands(name, Path(folder), [*args.more, "--ngpu", ngpu])
            task.trainer = measuring(name, args)
            task.main(cmd=words)


if __name__ == "__main__":
    main()
