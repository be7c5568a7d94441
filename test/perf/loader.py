#!/usr/bin/env python3
"""Batches of unpaired crops a second from a feature dir, by the loader that training uses. Prints one JSON line."""

import argparse
import json
import os
import time
from pathlib import Path

from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir
from evc2.train.collate_fn import CropPairDataset, Cropper, Normalizer, build_collate
from evc2.train.iterators import EVCIterFactory, pair_plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="feature dir (dump/.../<split>_train)")
    parser.add_argument("--stats", required=True)
    parser.add_argument("--domains", nargs=2, default=["neutral", "angry"])
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--num_workers", type=int, nargs="+", default=[0, 1])
    args = parser.parse_args()
    data = DataDir(args.data_dir)
    spk, emo = data.table("utt2spk"), data.table("utt2emo")
    normalize = Normalizer(Stats.load(args.stats), "speaker_emotion")
    crop = Cropper(ScpReader(Path(args.data_dir) / "feats.scp"), spk, emo, normalize, 128)
    domains = {name: [u for u in data.utts if emo[u] == name] for name in args.domains}
    plan = pair_plan(domains, args.batches, args.batch_size, 0, True, 0, 1)
    speed = {}
    for workers in args.num_workers:
        factory = EVCIterFactory(CropPairDataset(crop), plan, build_collate("crop_pair"), num_workers=workers)
        for _ in factory.build_iter(1):  # the first pass maps the arks
            pass
        clock = time.perf_counter()
        count = sum(1 for _ in factory.build_iter(2))
        speed[f"workers_{workers}"] = round(count / (time.perf_counter() - clock), 1)
    print(
        json.dumps(
            {
                "what": "loader",
                "batch": f"{args.batch_size} pairs of 128 frames",
                "utterances": len(data.utts),
                "batches_per_second": speed,
                "load": os.getloadavg()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
