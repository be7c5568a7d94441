"""The networks of the trainable vocoders by name, and what generators have in common: a hop, and weights to hand on."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from evc2.errors import UserError, check_keys, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress

NETS = ("hifigan", "melgan", "wavernn")


def build_generator(name: str, conf: Mapping[str, Any], contract: FeatureContract) -> nn.Module:
    """Network that turns mels of a contract into sound.

    Args:
        name: one of :data:`NETS`.
        conf: its arguments; bands and, for WaveRNN, hop come from the contract, and ``mel_range: contract`` is that of
            :func:`unit_range`.
        contract: of the mels.

    Raises:
        UserError: unknown name or argument, or a network whose samples a frame are not the contract's hop.
    """
    if name not in NETS:
        raise UserError(f"there is no vocoder network '{name}'{nearest(name, NETS)}; known: {', '.join(NETS)}")
    if name == "wavernn":
        from evc2.nets.wavernn import WaveRNN

        check_keys(WaveRNN, conf, "the wavernn generator")
        if conf.get("mel_range") == "contract":
            conf = {**conf, "mel_range": unit_range(contract)}
        return WaveRNN(**{"n_mels": contract.n_mels, "hop": contract.hop, **conf})
    module = importlib.import_module(f"evc2.nets.{name}")
    net = module.build_generator({"in_channels": contract.n_mels, **conf})
    if net.upsample_factor != contract.hop:
        raise UserError(
            f"the {name} generator makes {net.upsample_factor} samples a frame, but the contract '{contract.name}' has "
            f"hop {contract.hop}; choose upsample_scales whose product is {contract.hop}"
        )
    return net


def unit_range(contract: FeatureContract) -> tuple[float, float]:
    """What a contract writes for silence and for a mel value of 1 (0 dB): speech lies between, but for a few values."""
    low, high = compress(np.array([0.0, 1.0]), contract)
    return float(low), float(high)


def build_discriminator(conf: Mapping[str, Any]) -> nn.Module:
    """Discriminators from ``{"net": "hifigan" | "melgan", ...}`` with the arguments of espnet2's classes."""
    conf = dict(conf)
    net = conf.pop("net", "hifigan")
    if net == "hifigan":
        from espnet2.gan_tts.hifigan.hifigan import HiFiGANMultiScaleMultiPeriodDiscriminator as Discriminator
    elif net == "melgan":
        from espnet2.gan_tts.melgan.melgan import MelGANMultiScaleDiscriminator as Discriminator
    else:
        raise UserError(f"there is no discriminator '{net}'{nearest(str(net), ('hifigan', 'melgan'))}")
    check_keys(Discriminator, conf, "vocoder_conf.discriminator")
    return Discriminator(**conf)


def plain_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict with weight norm folded: ``weight_g`` and ``weight_v`` become ``weight`` = g v / |v|."""
    plain = {}
    for key, value in state.items():
        if key.endswith("weight_v"):
            plain[key.removesuffix("_v")] = torch._weight_norm(value, state[key.removesuffix("v") + "g"], 0)
        elif not key.endswith("weight_g"):
            plain[key] = value
    return plain


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Make `target` compute what `source` does, whichever of them has its weight norm folded.

    Raises:
        UserError: the networks differ in their parameters' names or shapes.
    """
    plain, own = plain_weights(source.state_dict()), target.state_dict()
    shapes = {key: value.shape for key, value in plain_weights(own).items()}
    differing = sorted(
        set(plain) ^ set(shapes) | {key for key in set(plain) & set(shapes) if plain[key].shape != shapes[key]}
    )
    if differing:
        raise UserError(
            f"the weights to start from belong to another network: {len(differing)} parameters differ, "
            f"e.g. {differing[0]}; use the same generator settings as those weights"
        )
    filled = {}
    for key in own:
        if key.endswith("weight_g"):
            weight = plain[key.removesuffix("_g")]
            filled[key] = torch.linalg.vector_norm(weight.flatten(1), dim=1).reshape(own[key].shape)
        elif key.endswith("weight_v"):
            filled[key] = plain[key.removesuffix("_v")]
        else:
            filled[key] = plain[key]
    target.load_state_dict(filled)
