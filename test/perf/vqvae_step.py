#!/usr/bin/env python3
"""Time forward and backward passes of the VQ-VAE's networks, ours against their plain eager form, in one run.

VQ-VAE: encoder, quantisers and decoder at the published sizes on 2 x 80 x 128 values; plain: torch's own convolutions.
MelGAN generator: 160 channels of codes to 32,768 samples; plain: espnet2's module. Weights are equal, and so are the
losses. Passes alternate; the medians are compared. Prints a JSON line for the time and one for the peak memory of each
network.
"""

import argparse
from collections.abc import Callable

import torch
from espnet2.gan_tts.melgan.melgan import MelGANGenerator as PlainGenerator
from side_by_side import Step, add_step_arguments, compare_steps
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


def with_torch_layers(net: nn.Module) -> nn.Module:
    """Put torch's own convolutions in the places of ours."""
    for module in net.modules():
        if isinstance(module, conv1d.Conv1d | conv1d.ConvTranspose1d):
            module.__class__ = type(module).__bases__[0]
    return net


def passes(net: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor]) -> Step:
    """Forward and backward pass."""

    def run(x: torch.Tensor) -> tuple[float]:
        net.zero_grad(set_to_none=True)
        value = loss(x)
        value.backward()
        return (value.item(),)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, help="of the VQ-VAE")
    add_step_arguments(parser, steps=9)
    args = parser.parse_args()
    torch.manual_seed(0)
    start = VQVAE().to(args.device)
    start.loss(torch.randn(args.batch, 80, 128, device=args.device))  # draws the codebooks

    def vqvae(make: Callable[[], nn.Module]) -> Step:
        net = make().to(args.device).train()
        net.load_state_dict(start.state_dict())
        for quantizer in net.encoder.quantizers.values():
            quantizer.holds = True
        return passes(net, net.loss)

    forms = {"plain": lambda: vqvae(lambda: with_torch_layers(VQVAE())), "ours": lambda: vqvae(VQVAE)}
    draw = lambda: (torch.randn(args.batch, 80, 128, device=args.device),)  # noqa: E731
    compare_steps("vqvae_step", f"VQ-VAE, forward and backward, batch {args.batch}", forms, draw, args)

    sizes = {"in_channels": 160, "channels": 1024, "upsample_scales": [8, 8, 4, 2, 2]}
    weights = PlainGenerator(**sizes).state_dict()

    def melgan(make: Callable[..., nn.Module]) -> Step:
        net = make(**sizes).to(args.device)
        net.load_state_dict(weights)
        return passes(net, lambda x: net(x).square().mean())

    forms = {"plain": lambda: melgan(PlainGenerator), "ours": lambda: melgan(MelGANGenerator)}
    draw = lambda: (torch.randn(1, 160, 32, device=args.device),)  # noqa: E731
    compare_steps("vqvae_step", "MelGAN generator, forward and backward, 32768 samples", forms, draw, args)


if __name__ == "__main__":
    main()
