#!/usr/bin/env python3
"""Time of converting a mel spectrogram with the VAE-GAN against a loop over its windows, in one run.

The loop: the published layers by torch's modules, one window at a time, overlap-added with the true counts. Ours: all
windows in a batch. Both have the same weights and windows; the largest difference of their results is printed. (The
published code has `published_windows`, because it adds 128 frames of silence on both sides.) Prints one JSON line.
"""

import argparse
import json
import os
import time

import numpy as np
import torch
from vaegan_step import Published

from evc2.systems.vaegan import VAEGAN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--frames", type=int, default=400, help="5 s at 80 frames a second")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = VAEGAN(domains=["a", "b"], generator={"out": "tanh"}).to(args.device).eval()
    published = Published(model, args.device)
    feats = np.random.default_rng(0).random((args.frames, 128)).astype(np.float32)
    window, hop = model.window, model.hop

    @torch.inference_mode()
    def loop() -> np.ndarray:
        number = 1 + max(0, -(-(args.frames - window) // hop))
        length = window + (number - 1) * hop
        image = torch.from_numpy(np.pad(feats, ((0, length - args.frames), (0, 0))).T[None, None].copy())
        total, count = np.zeros((128, length), np.float32), np.zeros(length, np.float32)
        for start in range(0, number * hop, hop):
            piece = image[..., start : start + window].to(args.device)
            total[:, start : start + window] += published.G[1](published.encoder(piece))[0, 0].cpu().numpy()
            count[start : start + window] += 1
        return (total / count)[:, : args.frames].T.clip(0, 1)

    def ours() -> np.ndarray:
        return model.through(feats, 1)[0]

    runs, seconds, made = {"loop": loop, "ours": ours}, {"loop": [], "ours": []}, {}
    for k in range(args.repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            made[name] = run()
            if k:
                seconds[name].append(time.perf_counter() - start)
    median = {name: sorted(s)[len(s) // 2] for name, s in seconds.items()}
    windows = 1 + max(0, -(-(args.frames - window) // hop))
    print(json.dumps({
        "what": "VAE-GAN conversion without vocoder", "frames": args.frames, "windows": windows,
        "published_windows": 1 + -(-(args.frames + window) // hop), "device": args.device, "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "load": os.getloadavg()[0],
        "seconds": {k: round(v, 4) for k, v in median.items()},
        "times_faster": round(median["loop"] / median["ours"], 3),
        "largest_difference": float(f"{np.abs(made['loop'] - made['ours']).max():.2g}"),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
