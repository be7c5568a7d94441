"""Generators of the published MelGAN code (github.com/descriptinc/melgan-neurips): a state dict of ``model.*``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.vocoder.formats.hifigan import SPECTROGRAM
from evc2.vocoder.formats.weights import fill, is_state_dict, old_names, shape
from evc2.vocoder.neural import ConvVocoder, check_options

if TYPE_CHECKING:
    from torch import Tensor

#: The mel of that code, which has no configuration of it: HiFi-GAN's frames, the full band, log10.
CONTRACT: dict[str, Any] = {**SPECTROGRAM, "name": "melgan", "fmax": 11025, "log_base": "10"}


def matches(content: Any, path: Path) -> bool:
    """Whether the content is a state dict of ``model.<number>`` with residual blocks ``block`` and ``shortcut``."""
    return (
        is_state_dict(content)
        and all(re.match(r"model\.\d+\.", key) for key in content)
        and any(".shortcut." in key for key in content)
    )


def published_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published parameter names to espnet2's, e.g. ``model.4.shortcut.bias`` -> ``melgan.4.skip_layer.bias``."""
    renamed = {}
    for key, value in old_names(state).items():
        key = re.sub(r"^model\.", "melgan.", key)
        renamed[key.replace(".block.", ".stack.").replace(".shortcut.", ".skip_layer.")] = value
    return renamed


def sizes(state: Mapping[str, Tensor], where: Path) -> dict[str, Any]:
    """Arguments of the generator, read from the shapes: a transposed convolution of factor u has a kernel of 2 u.

    Raises:
        UserError: the layers are not in the order of that code.
    """
    state = old_names(state)
    first = shape(state, "model.1")
    numbers = sorted({int(key.split(".")[1]) for key in state})
    blocks = {n for n in numbers if shape(state, f"model.{n}.shortcut")}
    plain = [n for n in numbers if n not in blocks]  # first, upsampling ..., last convolution
    ups = [shape(state, f"model.{n}") for n in plain[1:-1]]
    if first is None or not ups or any(up is None for up in ups) or len(blocks) % len(ups):
        raise UserError(f"{where}: not the layers of a MelGAN generator; found model.{', '.join(map(str, numbers))}")
    return {
        "in_channels": first[1],
        "channels": first[0],
        "kernel_size": first[2],
        "upsample_scales": [up[2] // 2 for up in ups if up],
        "stacks": len(blocks) // len(ups),
    }


def load(
    content: Any, path: Path, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
) -> ConvVocoder:
    """MelGAN with the published mel (22.05 kHz, 0 to 11,025 Hz, log10); options as of ConvVocoder.

    Raises:
        UserError: sizes that contradict the published mel, or a contract that cannot be converted.
    """
    from evc2.nets.melgan import build_generator

    check_options(conf)
    found = sizes(content, path)
    own = FeatureContract.from_dict({**CONTRACT, "n_mels": found["in_channels"]})
    net = build_generator({**found, "use_weight_norm": False})
    fill(net, published_names(content), str(path))
    vocoder = ConvVocoder(own, net, device, **conf)
    if contract is not None:
        vocoder.adapter(contract)
    return vocoder
