#!/usr/bin/env python3
"""Time of converting a mel spectrogram with the VAE-GAN against a loop over its windows, in one run.

The loop: the published layers by torch's modules, one window at a time, overlap-added with the true counts. Ours: all
windows in a batch. Both have the same weights and windows; the largest difference of their results is printed. (The
published code has `published_windows`, because it adds 128 frames of silence on both sides.) Prints one JSON line.
"""

import argparse

import numpy as np
import torch
from side_by_side import alternate, report_times
from vaegan_step import Published

from evc2.systems.vaegan import VAEGAN


@torch.inference_mode()
def window_by_window(model: VAEGAN, published: Published, feats: np.ndarray, device: str) -> np.ndarray:
    """Features [T, n_mels] through the published layers, to the second domain: [T, n_mels]."""
    window, hop, bands, scale = model.window, model.hop, feats.shape[1], model.high - model.low
    number = 1 + max(0, -(-(len(feats) - window) // hop))
    length = window + (number - 1) * hop
    padded = np.pad((feats - model.low) / scale, ((0, length - len(feats)), (0, 0)))
    image = torch.from_numpy(np.ascontiguousarray(padded.T[None, None], dtype=np.float32))
    total, count = np.zeros((bands, length), np.float32), np.zeros(length, np.float32)
    for start in range(0, number * hop, hop):
        piece = image[..., start : start + window].to(device)
        total[:, start : start + window] += published.G[1](published.encoder(piece))[0, 0].cpu().numpy()
        count[start : start + window] += 1
    return model.low + scale * (total / count)[:, : len(feats)].T.clip(0, 1)


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

    def loop() -> np.ndarray:
        return window_by_window(model, published, feats, args.device)

    def ours() -> np.ndarray:
        return model.through(feats, 1)[0]

    off = float(np.abs(loop() - ours()).max())
    windows = 1 + max(0, -(-(args.frames - window) // hop))
    report_times(
        "vaegan_convert",
        f"{args.frames} frames, without vocoder",
        alternate({"loop": loop, "ours": ours}, args.repeats),
        device=args.device,
        windows=windows,
        published_windows=1 + -(-(args.frames + window) // hop),
        largest_difference=float(f"{off:.2g}"),
    )


if __name__ == "__main__":
    main()
