"""What can be asked of a conversion, checked before anything is computed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc2.convert.render import ENVELOPES
from evc2.errors import UserError, nearest

#: What each option may be, the default first (``power`` None is the system's own choice).
CHOICES: dict[str, tuple[str, ...]] = {
    "f0": ("convert", "keep", "cwt"),
    "spectrum": ("network", "gaussian", "keep"),
    "power": ("network", "gaussian", "keep"),
    "envelope": ENVELOPES,
    "duration": ("keep", "scale"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """How to convert.

    Args:
        emotion: target emotion; None for systems that change the speaker alone.
        speaker: who speaks, if among the training speakers; None for any other voice, whose own statistics are then
            moved by what the emotion changes on average.
        source_emotion: emotion of the recording; None takes the other one of a system between two.
        intensity: 0 gives the source back, 1 the full conversion; up to 2 exaggerates.
        spectrum_intensity: the same for the spectrum alone, which is what costs words; None: ``intensity``.
        f0: ``convert``, ``keep``, or ``cwt`` (by the F0 model that was loaded beside the system).
        spectrum: ``network``, ``gaussian`` (mean and deviation of each cepstrum, no network) or ``keep``.
        power: ``network`` (what the converted spectrum has), ``gaussian``, ``keep``; None is the system's default.
        envelope: ``differential`` filters the measured envelope, ``direct`` decodes the converted cepstra.
        duration: ``keep``, or ``scale`` by what the emotion changes in the training data.
        target_speaker: a training speaker to sound like, for systems that can; None keeps the source's.
        style: one of the system's ways to choose a style (``mean``, ``reference``, ``random``); None is its default.
        reference: goes with the style ``reference``: a recording (samples, rate in Hz), or what ``EVC.reference`` made
            of one.
        style_seed: of the style ``random``.

    Raises:
        UserError: a value that does not exist, or values that do not go together.
    """

    emotion: str | None = None
    speaker: str | None = None
    source_emotion: str | None = None
    intensity: float = 1.0
    spectrum_intensity: float | None = None
    f0: str = "convert"
    spectrum: str = "network"
    power: str | None = None
    envelope: str = "differential"
    duration: str = "keep"
    target_speaker: str | None = None
    style: str | None = None
    reference: tuple[np.ndarray, int] | Mapping[str, Any] | None = None
    style_seed: int = 0

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known and not (name == "power" and value is None):
                raise UserError(f"{name} is '{value}', expected one of {', '.join(known)}{nearest(str(value), known)}")
        for name in ("intensity", "spectrum_intensity"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 0.0 <= value <= 2.0):
                raise UserError(f"{name} is {value}, expected a number from 0 (the source) to 2")
        if (self.style == "reference") != (self.reference is not None):
            raise UserError("the style 'reference' and a reference recording go together: give both or neither")

    def changed(self) -> dict[str, str]:
        """What is not at its default of all that asks for WORLD features: CHOICES, and the spectrum's own intensity."""
        given = {name: getattr(self, name) for name in CHOICES}
        changed = {name: value for name, value in given.items() if value not in (None, CHOICES[name][0])}
        if self.spectrum_intensity is not None:
            changed["spectrum_intensity"] = str(self.spectrum_intensity)
        return changed
