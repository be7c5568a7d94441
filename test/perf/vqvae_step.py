#!/usr/bin/env python3
"""Time forward and backward passes of the VQ-VAE's networks, ours against their plain eager form, in one run.

VQ-VAE: encoder, quantisers and decoder at the published sizes on 2 x 80 x 128 values; plain: torch's own convolutions.
MelGAN generator: 160 channels of codes to 32,768 samples; plain: espnet2's module. Weights are equal, and so are the
losses. Passes alternate; the medians are compared. Prints a JSON line for each network.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable

import torch
from espnet2.gan_tts.melgan.melgan import MelGANGenerator as PlainGenerator
from torch import nn

from evc2.nets.layers import conv1d
from evc2.nets.melgan_generator import MelGANGenerator
from evc2.nets.vqvae import CodeEncoder, MelDecoder


class VQVAE(nn.Module):
    """Spectrograms to their reconstruction and the commitment loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.table = CodeEncoder(), MelDecoder(128), nn.Embedding(102, 32)

    def loss(self, mel: torch.Tensor) -> torch.Tensor:
        codes = self.encoder(mel)
        made = self.decoder(codes.code, self.table(torch.arange(len(mel), device=mel.device)))
        return (made - mel).abs().mean() + 0.25 * codes.commitment


def plain_vqvae() -> VQVAE:
    """The same network of torch's own layers."""
    net = VQVAE()
    for module in net.modules():
        if isinstance(module, conv1d.Conv1d | conv1d.ConvTranspose1d):
            module.__class__ = type(module).__bases__[0]
    return net


def passes(net: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], float]:
    def run() -> float:
        net.zero_grad(set_to_none=True)
        value = loss(x)
        value.backward()
        return value.item()

    return run


def compare(what: str, runs: dict[str, Callable[[], float]], repeats: int, **facts: object) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    values: dict[str, float] = {}
    for k in range(repeats + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            values[name] = run()
            if k >= 2:
                seconds[name].append(time.perf_counter() - start)
    median = {name: sorted(s)[len(s) // 2] for name, s in seconds.items()}
    least = {name: min(s) for name, s in seconds.items()}
    print(json.dumps({
        "what": what, **facts, "machine": platform.machine(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 2),
        "seconds": {k: round(v, 4) for k, v in median.items()},
        "times_faster": {k: round(median["plain"] / v, 3) for k, v in median.items()},
        "times_faster_by_least": {k: round(least["plain"] / v, 3) for k, v in least.items()},
        "relative_loss_difference": float(f"{abs(values['ours'] / values['plain'] - 1):.2g}"),
    }), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--batch", type=int, default=2, help="of the VQ-VAE")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()

    torch.manual_seed(0)
    ours, plain = VQVAE().to(args.device), plain_vqvae().to(args.device)
    mel = torch.randn(args.batch, 80, 128, device=args.device)
    ours.loss(mel)  # draws the codebooks
    plain.load_state_dict(ours.state_dict())
    for net in (ours, plain):
        net.train()
        for quantizer in net.encoder.quantizers.values():
            quantizer.holds = True
    runs = {"plain": passes(plain, plain.loss, mel), "ours": passes(ours, ours.loss, mel)}
    compare("VQ-VAE, forward and backward", runs, args.repeats, batch=args.batch, device=args.device)

    sizes = {"in_channels": 160, "channels": 1024, "upsample_scales": [8, 8, 4, 2, 2]}
    ours, plain = MelGANGenerator(**sizes).to(args.device), PlainGenerator(**sizes).to(args.device)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(1, 160, 32, device=args.device)
    runs = {
        name: passes(net, lambda v, net=net: net(v).square().mean(), x)
        for name, net in (("plain", plain), ("ours", ours))
    }
    compare("MelGAN generator, forward and backward", runs, args.repeats, samples=32768, device=args.device)


if __name__ == "__main__":
    main()
