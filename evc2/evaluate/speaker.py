"""Speaker similarity: the cosine of two voice embeddings, beside what natural speech of one speaker reaches.

Emotion alone moves a voice embedding: two natural recordings of one speaker in two emotions are well below 1. Without
that yardstick a similarity says little, so it is computed from the source and the reference and printed as baseline.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from evc2.evaluate.analysis import Analysis
from evc2.evaluate.item import Item
from evc2.evaluate.registry import register

PACKAGE = "resemblyzer"
SOURCE = "Wan et al., Generalized end-to-end loss for speaker verification, ICASSP 2018 (cosine of eq. 5, no scaling)"
NOTE = (
    "voice encoder: the weights of the package Resemblyzer (GE2E, 256 values, 1.6 s pieces), on speech trimmed at both "
    "ends (that package's own detector of pauses is not used)"
)


def weights_path() -> Path | None:
    """Where Resemblyzer's weights are, None where the package is not installed. The package is not imported."""
    spec = find_spec(PACKAGE)
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return next((path for folder in folders if (path := folder / "pretrained.pt").is_file()), None)


def speaker_missing() -> str | None:
    """What the voice encoder lacks here and how to get it, None when all is there."""
    if find_spec("torch") is None:
        return "the voice encoder needs PyTorch: tools/setup.sh installs it"
    if weights_path() is None:
        return (
            "no weights of the voice encoder here: pip install --no-deps Resemblyzer (only its file of weights is used)"
        )
    return None


@cache
def _encoder():
    from evc2.nets import ge2e

    return ge2e.load(weights_path())


def embedding(x: Analysis) -> np.ndarray:
    """The voice embedding [256] of a wav's speech, of unit length, computed once a wav."""
    return x.memo("ge2e", lambda: _encoder().embed(x.speech_wav).astype(np.float64))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two vectors [D].

    Returns:
        -1 .. 1; here 0 .. 1, since these embeddings have no negative values. ValueError for a vector of length 0.
    """
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not lengths > 0:
        raise ValueError("the cosine of a vector of length 0 is not defined")
    return float(np.clip(np.dot(a, b) / lengths, -1.0, 1.0))


def same_speaker_baseline(item: Item) -> float | None:
    """Similarity of the natural source and the natural reference, where one speaker speaks both."""
    if item.source is None or item.reference is None or item.source_speaker != item.speaker:
        return None
    return cosine(embedding(item.source), embedding(item.reference))


@register(
    "spk_sim",
    unit="",
    better="higher",
    needs=("wav", "reference"),
    digits=3,
    doc="cosine of the voice embeddings of output and reference; emotion alone lowers it, see the natural baseline "
    "(there is one only where the speaker is kept)",
    source=SOURCE,
    range="-1 .. 1",
    available=speaker_missing,
    baseline=same_speaker_baseline,
    baseline_doc="natural speech of the same speaker in both emotions (source against reference)",
    note=lambda: NOTE,
)
def _spk_sim(item: Item) -> float:
    return cosine(embedding(item.converted), embedding(item.reference))


@register(
    "spk_sim_source",
    unit="",
    better=None,
    needs=("wav", "source"),
    digits=3,
    doc="cosine of the voice embeddings of output and source: high where the speaker is kept, and low after a "
    "conversion to another speaker",
    source=SOURCE,
    range="-1 .. 1",
    available=speaker_missing,
    baseline=same_speaker_baseline,
    baseline_doc="natural speech of the same speaker in both emotions (source against reference)",
)
def _spk_sim_source(item: Item) -> float:
    return cosine(embedding(item.converted), embedding(item.source))
