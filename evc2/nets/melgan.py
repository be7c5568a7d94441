"""MelGAN generators (Kumar et al. 2019, arXiv 1910.06711) from their settings, checked.

Without arguments it is the published 22.05 kHz network (80 mels, 512 channels, 4.27 million parameters). With
``out_channels`` above 1 it is the multi-band form (Yang et al. 2020, arXiv 2005.05106): a filterbank joins the bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from evc2.errors import UserError, check_keys
from evc2.nets.melgan_generator import MelGANGenerator
from evc2.nets.reach import reach_in_frames

DEFAULTS: dict[str, Any] = {
    "in_channels": 80,
    "out_channels": 1,
    "kernel_size": 7,
    "channels": 512,
    "upsample_scales": [8, 8, 2, 2],
    "stack_kernel_size": 3,
    "stacks": 3,
}


#: Settings of other projects' configurations that are fixed here.
FIXED: dict[str, Any] = {
    "bias": True,
    "nonlinear_activation": "LeakyReLU",
    "nonlinear_activation_params": {"negative_slope": 0.2},
    "pad": "ReflectionPad1d",
    "pad_params": {},
    "use_final_nonlinear_activation": True,
}


class MultiBand(nn.Module):
    """A generator of sub-bands and the pseudo-QMF synthesis that joins them: [B, n_mels, T] -> [B, 1, T * hop].

    Args:
        generator: gives [B, bands, T * hop / bands].
        pqmf: arguments of espnet2's PQMF (subbands, taps, cutoff_ratio, beta).
    """

    def __init__(self, generator: nn.Module, pqmf: Mapping[str, Any]):
        super().__init__()
        from espnet2.gan_tts.melgan.pqmf import PQMF

        self.generator, self.pqmf = generator, PQMF(**pqmf)
        self.upsample_factor = generator.upsample_factor

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return self.pqmf.synthesis(self.generator(mel))

    def remove_weight_norm(self) -> None:
        """Fold the weight norm of the generator."""
        self.generator.remove_weight_norm()


def build_generator(conf: Mapping[str, Any]) -> nn.Module:
    """MelGAN generator: mel [B, in_channels, T] to a waveform [B, 1, T * hop].

    Args:
        conf: arguments of :class:`~evc2.nets.melgan_generator.MelGANGenerator`; ``pqmf`` (taps, cutoff_ratio, beta) for
            the multi-band form.

    Returns:
        A module with ``hop`` (samples a frame) and ``context`` (frames on either side that a sample depends on).

    Raises:
        UserError: unknown key, or sizes that do not fit together.
    """
    conf = dict(conf)
    pqmf = dict(conf.pop("pqmf", None) or {})
    for key, value in FIXED.items():
        if conf.pop(key, value) != value:
            raise UserError(f"the melgan generator: {key} is not {value}, the only one that there is")
    check_keys(MelGANGenerator, conf, "the melgan generator")
    conf = {**DEFAULTS, **conf}
    _check_sizes(conf)
    net: nn.Module = MelGANGenerator(**conf)
    stages = _layers(conf)
    bands = conf["out_channels"]
    if bands > 1:
        from espnet2.gan_tts.melgan.pqmf import PQMF

        check_keys(PQMF, pqmf, "pqmf of the melgan generator")
        pqmf = {"taps": 62, **pqmf, "subbands": bands}
        net = MultiBand(net, pqmf)
        stages.append((pqmf["taps"] // 2, bands))
    elif pqmf:
        raise UserError("the melgan generator: pqmf needs out_channels (the bands) above 1")
    net.hop = net.upsample_factor
    net.context = reach_in_frames(stages)
    return net


def _check_sizes(conf: Mapping[str, Any]) -> None:
    """UserError for sizes that make no network."""
    scales, channels = conf["upsample_scales"], conf["channels"]
    if channels % 2 ** len(scales):
        raise UserError(
            f"MelGAN: channels: expected a multiple of {2 ** len(scales)} (they are halved at each of the "
            f"{len(scales)} scales), found {channels}"
        )
    for key in ("kernel_size", "stack_kernel_size"):
        if conf[key] % 2 == 0:
            raise UserError(f"MelGAN: {key}: expected an odd number, found {conf[key]}")


def _layers(conf: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(reach in samples to one side, upsampling before it) of the stages; see :func:`reach_in_frames`."""
    edge, k = (conf["kernel_size"] - 1) // 2, conf["stack_kernel_size"]
    stack = sum((k - 1) // 2 * k**j for j in range(conf["stacks"]))
    stages = [(edge + 1, 1)]
    for i, u in enumerate(conf["upsample_scales"]):
        last = i + 1 == len(conf["upsample_scales"])
        stages.append((stack + (edge if last else 1), u))
    return stages
