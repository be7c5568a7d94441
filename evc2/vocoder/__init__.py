"""Vocoders: features of one contract in, a waveform out.

The registry holds names and places only, so that asking for WORLD never imports a neural vocoder.
A new vocoder is a module with an :class:`~evc2.vocoder.abs_vocoder.AbsVocoder` subclass and one line here; a new format
of weights is a module of :mod:`evc2.vocoder.formats`.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError, nearest

if TYPE_CHECKING:
    from evc2.feats.contract import FeatureContract
    from evc2.vocoder.abs_vocoder import AbsVocoder

#: name -> (place, options of from_pretrained)
VOCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "griffin_lim": ("evc2.vocoder.griffin_lim:GriffinLimVocoder", {}),
    "hifigan_ljspeech": ("evc2.vocoder.hifigan:HiFiGANVocoder", {"weights": "ljspeech"}),
    "hifigan_universal": ("evc2.vocoder.hifigan:HiFiGANVocoder", {"weights": "universal"}),
    "world": ("evc2.vocoder.world:WorldVocoder", {}),
}


def build_vocoder(name: str, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any) -> AbsVocoder:
    """Vocoder by its name, or from a file or folder of weights.

    Args:
        name: a key of :data:`VOCODERS`; or the path of a folder that voc_train wrote, or of a published checkpoint
            (:mod:`evc2.vocoder.formats` lists the formats).
        contract: of the features to come. WORLD and Griffin-Lim follow it; a trained vocoder has its own and refuses
            features that cannot be converted to it exactly.
        device: torch device name.
        conf: options of that vocoder.

    Raises:
        UserError: unknown name, unreadable weights, or a contract that the vocoder cannot serve.
    """
    if name not in VOCODERS:
        if Path(name).exists():
            from evc2.vocoder.formats import load_vocoder

            return load_vocoder(name, contract, device, **conf)
        known = sorted(VOCODERS)
        raise UserError(
            f"vocoder '{name}': neither a name nor an existing path{nearest(name, known)}; known names: "
            f"{', '.join(known)}; or give a folder of voc_train or a published checkpoint"
        )
    place, options = VOCODERS[name]
    module, _, attribute = place.partition(":")
    cls = getattr(import_module(module), attribute)
    return cls.from_pretrained(contract=contract, device=device, **options, **conf)


def choose_vocoder(contract: FeatureContract, device: str = "cpu") -> AbsVocoder:
    """The best vocoder for features of a contract that needs no training of its own.

    WORLD for its features; for mels the universal HiFi-GAN where it takes them and is installed, else Griffin-Lim.
    """
    if contract.kind == "world":
        return build_vocoder("world", contract, device)
    try:
        vocoder = build_vocoder("hifigan_universal", contract, device)
        vocoder.adapter(contract)
    except UserError as error:
        logging.warning("vocoder griffin_lim, because of hifigan_universal: %s", error)
        return build_vocoder("griffin_lim", contract, device)
    logging.info("vocoder hifigan_universal")
    return vocoder
