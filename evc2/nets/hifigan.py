"""HiFi-GAN generators (Kong, Kim and Bae 2020, arXiv 2010.05646) by published version or by their sizes.

The network itself is espnet2's. It follows the published code in every number: LeakyReLU 0.1 inside, 0.01 before the
last convolution, the mean of the parallel residual blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from evc2.errors import UserError, check_keys, nearest
from evc2.nets.reach import reach_in_frames

_V1 = {
    "channels": 512,
    "upsample_scales": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilations": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "use_additional_convs": True,
}
#: The published versions (table 4 of the paper; 13.92, 0.92 and 1.46 million parameters) as espnet2's arguments.
GENERATORS: dict[str, dict[str, Any]] = {
    "v1": _V1,
    "v2": {**_V1, "channels": 128},
    "v3": {
        "channels": 256,
        "upsample_scales": [8, 8, 4],
        "upsample_kernel_sizes": [16, 16, 8],
        "resblock_kernel_sizes": [3, 5, 7],
        "resblock_dilations": [[1, 2], [2, 6], [3, 12]],
        "use_additional_convs": False,
    },
}


def build_generator(conf: Mapping[str, Any]) -> nn.Module:
    """HiFi-GAN generator: mel [B, in_channels, T] to a waveform [B, 1, T * hop].

    Args:
        conf: ``{"version": "v1"}`` (v1, v2 or v3; the default), and / or arguments of espnet2's HiFiGANGenerator, which
            win over the version's.

    Returns:
        A module with ``hop`` (samples a frame) and ``context`` (frames on either side that a sample depends on).

    Raises:
        UserError: unknown version or key, or sizes that do not fit together.
    """
    from espnet2.gan_tts.hifigan.hifigan import HiFiGANGenerator

    conf = dict(conf)
    version = str(conf.pop("version", "v1"))
    if version not in GENERATORS:
        known = ", ".join(GENERATORS)
        raise UserError(f"there is no HiFi-GAN version '{version}'{nearest(version, GENERATORS)}; known: {known}")
    check_keys(HiFiGANGenerator, conf, "the hifigan generator")
    conf = {**GENERATORS[version], **conf}
    _check_sizes(conf)
    net = HiFiGANGenerator(**conf)
    net.hop = net.upsample_factor
    net.context = reach_in_frames(_layers(conf))
    return net


def _check_sizes(conf: Mapping[str, Any]) -> None:
    """Refuse what espnet2's class would only assert, or what would not keep T * hop samples."""
    scales, kernels = conf["upsample_scales"], conf["upsample_kernel_sizes"]
    if [2 * u for u in scales] != list(kernels):
        raise UserError(
            f"HiFi-GAN: each of upsample_kernel_sizes must be twice its upsample_scale; found {list(kernels)} "
            f"for scales {list(scales)}"
        )
    if len(conf["resblock_kernel_sizes"]) != len(conf["resblock_dilations"]):
        raise UserError("HiFi-GAN: resblock_kernel_sizes and resblock_dilations must have the same length")
    odd = [conf.get("kernel_size", 7), *conf["resblock_kernel_sizes"]]
    if any(k % 2 == 0 for k in odd):
        raise UserError(f"HiFi-GAN: kernel_size and resblock_kernel_sizes must be odd, found {odd}")
    if conf["channels"] % 2 ** len(scales):
        raise UserError(f"HiFi-GAN: channels: expected a multiple of {2 ** len(scales)}, found {conf['channels']}")


def _layers(conf: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(reach in samples to one side, upsampling before it) of the stages in order; see :func:`reach_in_frames`."""
    edge = (conf.get("kernel_size", 7) - 1) // 2
    # With espnet2's additional convolutions every dilated one is followed by one of dilation 1.
    extra = 1 if conf.get("use_additional_convs", True) else 0
    block = max(
        sum((k - 1) // 2 * (d + extra) for d in dilations)
        for k, dilations in zip(conf["resblock_kernel_sizes"], conf["resblock_dilations"], strict=True)
    )
    stages = [(edge + 1, 1)]  # a transposed convolution of kernel 2 u reaches one input sample to either side
    for i, u in enumerate(conf["upsample_scales"]):
        last = i + 1 == len(conf["upsample_scales"])
        stages.append((block + (edge if last else 1), u))
    return stages
