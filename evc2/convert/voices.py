"""A voice as one vector: what a speaker encoder says of a recording, and of a speaker over many.

Two encoders: `resemblyzer` (GE2E, 256 values, weights of the package Resemblyzer) and `deepspeaker` (ResCNN, 512
values, published Keras weights). Both want 16 kHz, so every recording is brought there first, whatever rate a system
works at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import numpy as np
import soxr

from evc2.errors import UserError, nearest
from evc2.feats.trim import speech_bounds
from evc2.fileio.audio import audio_problem

RATE = 16000
KINDS = {"resemblyzer": 256, "deepspeaker": 512}
"""Encoders and the sizes of their vectors."""

WEIGHTS_HINT = (
    "kind deepspeaker needs --weights FILE: the published Keras weights ResCNN_triplet_training_checkpoint_265.h5 of "
    "github.com/philipperemy/deep-speaker (its README links to them)"
)


class Encoder(Protocol):
    """What both encoders can do: `embed(wav [n] at 16 kHz) -> [D]` float32 of unit length; ValueError for silence."""

    def embed(self, wav: np.ndarray) -> np.ndarray: ...


@lru_cache(maxsize=2)
def encoder(kind: str, weights: str | None = None) -> Encoder:
    """The encoder of a kind, loaded once.

    Args:
        kind: one of KINDS.
        weights: its file of weights; needed for deepspeaker, by default the installed package's for resemblyzer.

    Raises:
        UserError: an unknown kind, or weights that are missing or of something else.
    """
    if kind == "resemblyzer":
        from evc2.evaluate.speaker import speaker_missing, weights_path
        from evc2.nets import ge2e

        if weights is None and (missing := speaker_missing()) is not None:
            raise UserError(f"speaker vectors of kind resemblyzer: {missing}")
        return ge2e.load(weights or weights_path())
    if kind == "deepspeaker":
        if weights is None:
            raise UserError(WEIGHTS_HINT)
        from evc2.nets import deepspeaker

        return deepspeaker.load_keras(weights)
    raise UserError(f"speaker vectors: expected kind {' or '.join(KINDS)}, found '{kind}'{nearest(kind, KINDS)}")


def unit(vector: np.ndarray) -> np.ndarray:
    """A vector [D] scaled to length 1, float32; ValueError for zeros, which have no direction."""
    vector = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(vector))
    if not length > 0:
        raise ValueError("a vector of length 0 has no direction")
    return (vector / length).astype(np.float32)


def voice_vector(wav: np.ndarray, rate: int, kind: str, weights: str | os.PathLike[str] | None = None) -> np.ndarray:
    """The vector of the voice in a recording; for a speaker, take :func:`speaker_means` of several.

    Args:
        wav: [n] mono samples in [-1, 1].
        rate: in Hz, any.
        kind, weights: as for :func:`encoder`.

    Returns:
        [D] float32 of length 1. The same recording gives the same vector.

    Raises:
        UserError: as :func:`encoder`; a recording that is empty, silent, below 0.1 s, or holds NaN or infinity.
    """
    embedder = encoder(kind, None if weights is None else os.fspath(weights))
    wav = np.asarray(wav, dtype=np.float32)
    problem = audio_problem(wav, rate) if wav.ndim == 1 else f"not mono (shape {wav.shape})"
    if problem and not problem.startswith("clipped"):
        raise UserError(f"no voice can be told of this recording: {problem}")
    if rate != RATE:
        wav = soxr.resample(wav, rate, RATE)
    if kind == "resemblyzer":  # trained on speech without silences; DeepSpeaker has a detector of its own
        first, last = speech_bounds(wav, RATE)
        wav = wav[first:last]
    try:
        return unit(embedder.embed(wav))
    except ValueError as error:
        raise UserError(f"no voice can be told of this recording: {error}") from None


def speaker_means(vectors: Mapping[str, np.ndarray], utt2spk: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Speaker -> the mean of the utterances' vectors, scaled to unit length: [D] float32.

    Args:
        vectors: utterance -> [D].
        utt2spk: utterance -> speaker, for all of them.
    """
    lists: dict[str, list[np.ndarray]] = {}
    for utt in sorted(vectors):
        lists.setdefault(utt2spk[utt], []).append(vectors[utt])
    return {speaker: unit(np.mean(lists[speaker], axis=0, dtype=np.float64)) for speaker in sorted(lists)}


def own_share(vectors: Mapping[str, np.ndarray], utt2spk: Mapping[str, str]) -> float | None:
    """Share (0 .. 1) of the utterances whose vector is closest (cosine) to the mean of their own speaker.

    An utterance is left out of its speaker's mean, and not counted where it is the only one. None if all are, or where
    there is one speaker only.
    """
    utts = sorted(vectors)
    speakers = sorted({utt2spk[utt] for utt in utts})
    rows = np.stack([unit(vectors[utt]) for utt in utts]).astype(np.float64)
    owner = np.array([speakers.index(utt2spk[utt]) for utt in utts])
    sums = np.stack([rows[owner == number].sum(axis=0) for number in range(len(speakers))])
    counts = np.bincount(owner)
    hits = []
    for row, own in zip(rows, owner, strict=True):
        if counts[own] < 2 or len(speakers) < 2:
            continue
        others = sums.copy()
        others[own] -= row
        lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        hits.append(int(np.argmax(others @ row / lengths)) == own)
    return float(np.mean(hits)) if hits else None
