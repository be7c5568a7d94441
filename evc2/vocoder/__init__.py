"""Vocoders: features of one contract in, a waveform out.

The registry holds names and places only, so that asking for WORLD never imports a neural vocoder.
A new vocoder is a module with an :class:`~evc2.vocoder.abs_vocoder.AbsVocoder` subclass and one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError

if TYPE_CHECKING:
    from evc2.feats.contract import FeatureContract
    from evc2.vocoder.abs_vocoder import AbsVocoder

VOCODERS: dict[str, str] = {
    "hifigan": "evc2.vocoder.hifigan:HiFiGANVocoder",
    "world": "evc2.vocoder.world:WorldVocoder",
}


def vocoder_class(name: str) -> type[AbsVocoder]:
    """Class registered under ``name``, imported now; an unknown name is a UserError that lists the known ones."""
    if name not in VOCODERS:
        raise UserError(f"unknown vocoder '{name}': known are {', '.join(sorted(VOCODERS))}")
    module, _, attribute = VOCODERS[name].partition(":")
    return getattr(import_module(module), attribute)


def build_vocoder(name: str, contract: FeatureContract, **conf: Any) -> AbsVocoder:
    """Vocoder ``name`` for features of ``contract``.

    Args:
        name: a key of :data:`VOCODERS`.
        contract: what the features mean; a vocoder of another kind refuses it.
        conf: options of that vocoder, e.g. ``path`` and ``device`` of a trained one.

    Raises:
        UserError: unknown name, or a contract that the vocoder cannot serve.
    """
    return vocoder_class(name).from_pretrained(contract=contract, **conf)
