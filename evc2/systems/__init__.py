"""The systems by name, imported when they are asked for."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError, check_keys, nearest

if TYPE_CHECKING:
    from evc2.train.abs_model import AbsEVCModel

SYSTEMS = {
    "cyclegan": "evc2.systems.cyclegan:CycleGAN",
    "cyclegan_cwt": "evc2.systems.cyclegan_cwt:CycleGANCWT",
    "emotts": "evc2.systems.emotts:EmoTTS",
    "munit": "evc2.systems.munit:MUNIT",
    "seq2seq": "evc2.systems.seq2seq:Seq2Seq",
    "vaegan": "evc2.systems.vaegan:VAEGAN",
    "vqvae": "evc2.systems.vqvae:VQVAE",
}

READS_TEXT = {"emotts": "learned", "seq2seq": "phones"}
"""Those that speak text (their class says so too), and what they need beside features: ``learned``, phones with
durations, which an aligner learns unless TextGrids give them; ``phones``, these alone."""


def get_class(name: str) -> type["AbsEVCModel"]:
    """Return the class of a system; UserError names the known ones."""
    if name not in SYSTEMS:
        raise UserError(f"system {name!r} does not exist{nearest(name, list(SYSTEMS))}; known: {', '.join(SYSTEMS)}")
    module, attribute = SYSTEMS[name].split(":")
    return getattr(import_module(module), attribute)


def build(name: str, conf: Mapping[str, Any]) -> "AbsEVCModel":
    """Build a system from its configuration; a key that does not exist is a UserError with the nearest valid one."""
    cls = get_class(name)
    check_keys(cls, conf, f"system_conf of {name}")
    return cls(**conf)


def voices_like(speakers: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The speakers that one of the patterns (``V*``) of a configuration's ``voices`` means, in their order."""
    return [name for name in speakers if any(fnmatchcase(name, pattern) for pattern in patterns)]
