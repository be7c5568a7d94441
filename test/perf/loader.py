#!/usr/bin/env python3
"""Batches of unpaired crops a second from a feature dir, by the loader that training uses, beside a plain one.

Plain: whole utterances are read, normalised, cut and stacked, one after the other. Prints a JSON line for each
number of workers.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from material import CONF, EMOTIONS, make_features
from side_by_side import alternate, median, report

from evc2.feats.contract import FeatureContract
from evc2.feats.normalize import Normalizer
from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir
from evc2.train.collate_fn import CropPairDataset, Cropper, build_collate, crop_start
from evc2.train.iterators import EVCIterFactory, pair_plan

FRAMES = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, help="feature dir (dump/.../<split>_train); generated without it")
    parser.add_argument("--stats", help="of --data_dir")
    parser.add_argument("--domains", nargs=2, default=["neutral", "angry"])
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--num_workers", type=int, nargs="+", default=[0, 1])
    args = parser.parse_args()
    if args.data_dir:
        measure(args, args.data_dir, Stats.load(args.stats), args.domains)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "train"
        stats = make_features(folder, 100, FeatureContract.load(CONF / "feats_world.yaml"))
        measure(args, folder, stats, list(EMOTIONS))


def measure(args: argparse.Namespace, folder: Path, stats: Stats, names: list[str]) -> None:
    """Batches a second: each form makes the same ones."""
    data = DataDir(folder)
    spk, emo = data.table("utt2spk"), data.table("utt2emo")
    reader, normalize = ScpReader(folder / "feats.scp"), Normalizer(stats, "speaker_emotion")
    domains = {name: [u for u in data.utts if emo[u] == name] for name in names}
    plan = pair_plan(domains, args.batches, args.batch_size, 0, True, 0, 1)

    def plain() -> int:
        def crop(utt: str, key: str) -> np.ndarray:
            feats = normalize(np.array(reader[utt]), spk[utt], emo[utt])
            feats = np.pad(feats, ((0, max(0, FRAMES - len(feats))), (0, 0)), mode="reflect")
            start = crop_start(len(feats), FRAMES, f"{key} {utt}")
            return feats[start : start + FRAMES]

        for batch in plan(1):
            for column in (0, 1):
                torch.from_numpy(np.stack([crop(request[column], request[2]) for request in batch]))
        return args.batches

    runs: dict[str, Callable[[], int]] = {"plain": plain}
    dataset = CropPairDataset(Cropper(reader, spk, emo, normalize, FRAMES))
    for workers in args.num_workers:
        factory = EVCIterFactory(dataset, plan, build_collate("crop_pair"), num_workers=workers)
        runs[f"{workers} workers"] = lambda factory=factory: sum(1 for _ in factory.build_iter(1))
    rates = {name: args.batches / median(values) for name, values in alternate(runs, args.repeats).items()}
    for name in list(rates)[1:]:
        case = f"{args.batch_size} pairs of {FRAMES} frames from {len(data.utts)} utterances, {name}"
        report("loader", case, rates["plain"], rates[name], "batches/s", more_is_better=True)


if __name__ == "__main__":
    main()
