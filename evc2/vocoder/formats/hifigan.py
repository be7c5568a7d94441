"""Generators of the published HiFi-GAN code (github.com/jik876/hifi-gan): ``{"generator": state dict}``.

config.json beside the checkpoint gives sizes and mel; without it the sizes must be those of V1, V2 or V3.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.vocoder.formats.weights import fill, is_state_dict, old_names, read_beside, required, shape
from evc2.vocoder.neural import ConvVocoder, check_options

if TYPE_CHECKING:
    from torch import Tensor

#: What the published weights were trained on (egs/TEMPLATE/evc1/conf/feats_hifigan.yaml without the F0 keys).
SPECTROGRAM: dict[str, Any] = {
    "name": "hifigan",
    "kind": "mel",
    "rate": 22050,
    "n_fft": 1024,
    "hop": 256,
    "win": 1024,
    "window": "hann",
    "center": False,
    "pad": "reflect",
    "power": 1,
    "n_mels": 80,
    "fmin": 0,
    "fmax": 8000,
    "mel_scale": "slaney",
    "mel_norm": "slaney",
    "log_base": "e",
    "floor": 1e-5,
    "floor_place": "clip",
    "scale": "none",
}
#: Key of config.json -> key of a contract; all else of the mel is fixed in that code.
_MEL = {
    "sampling_rate": "rate",
    "n_fft": "n_fft",
    "hop_size": "hop",
    "win_size": "win",
    "num_mels": "n_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}
#: Key of config.json -> argument of the generator.
_SIZES = {
    "upsample_initial_channel": "channels",
    "upsample_rates": "upsample_scales",
    "upsample_kernel_sizes": "upsample_kernel_sizes",
    "resblock_kernel_sizes": "resblock_kernel_sizes",
    "resblock_dilation_sizes": "resblock_dilations",
}
_NAMES = (
    (r"^conv_pre\.", "input_conv."),
    (r"^conv_post\.", "output_conv.1."),
    (r"^ups\.(\d+)\.", r"upsamples.\1.1."),
    (r"^resblocks\.(\d+)\.convs([12])\.(\d+)\.", r"blocks.\1.convs\2.\3.1."),
    (r"^resblocks\.(\d+)\.convs\.(\d+)\.", r"blocks.\1.convs1.\2.1."),
)


def published_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published parameter names to espnet2's, e.g. ``ups.0.weight_g`` -> ``upsamples.0.1.weight_g``."""
    renamed = {}
    for key, value in old_names(state).items():
        for pattern, name in _NAMES:
            key, found = re.subn(pattern, name, key)
            if found:
                break
        renamed[key] = value
    return renamed


def _generator_of(content: Any) -> Any:
    return content.get("generator") if isinstance(content, Mapping) and "generator" in content else content


def matches(content: Any, path: Path) -> bool:
    """Whether the content is a state dict, bare or under "generator", with a layer ``conv_pre``."""
    state = _generator_of(content)
    return is_state_dict(state) and any(key.startswith("conv_pre.") for key in state)


def load(
    content: Any, path: Path, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
) -> ConvVocoder:
    """HiFi-GAN of any size; options as of :class:`~evc2.vocoder.neural.ConvVocoder`.

    Raises:
        UserError: weights that fit neither config.json nor a published version; another contract than `contract` that
            cannot be converted to.
    """
    from evc2.nets.hifigan import build_generator

    check_options(conf)
    state = old_names(_generator_of(content))
    config = read_beside(path, "config.json", json.loads)
    if config is None:
        sizes, own = _published_sizes(state, path), FeatureContract.from_dict(SPECTROGRAM)
    else:
        sizes, own = _configured(config, path.parent / "config.json")
    net = build_generator({**sizes, "use_weight_norm": False})
    fill(net, published_names(state), str(path))
    vocoder = ConvVocoder(own, net, device, **conf)
    if contract is not None:
        vocoder.adapter(contract)
    return vocoder


def _configured(config: Mapping[str, Any], where: Path) -> tuple[dict[str, Any], FeatureContract]:
    sizes = {ours: required(config, theirs, where) for theirs, ours in _SIZES.items()}
    sizes["use_additional_convs"] = str(required(config, "resblock", where)) == "1"
    sizes["in_channels"] = required(config, "num_mels", where)
    mel = {ours: required(config, theirs, where) for theirs, ours in _MEL.items()}
    return sizes, FeatureContract.from_dict({**SPECTROGRAM, **mel}, where=str(where))


def _published_sizes(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    from evc2.nets.hifigan import GENERATORS

    first, stages = shape(state, "conv_pre"), sum(key.startswith("ups.") and key.endswith("bias") for key in state)
    twofold = any(re.match(r"resblocks\.0\.convs2\.", key) for key in state)
    for version, sizes in GENERATORS.items():
        expected = (sizes["channels"], SPECTROGRAM["n_mels"], 7), len(sizes["upsample_scales"])
        if (first, stages) == expected and twofold == sizes["use_additional_convs"]:
            logging.info(
                "%s: no config.json beside it; taken as HiFi-GAN %s of the published mel", path, version.upper()
            )
            return {"version": version}
    raise UserError(
        f"{path}: not one of the published HiFi-GAN versions (first layer {first}, {stages} upsampling layers): put "
        f"the config.json that it was trained with beside it"
    )
