"""Conversions to another speaker: whose voice the output is nearer to, without any reference.

Parallel recordings are rare where speakers are changed, so the output is compared with the speakers themselves: the
mean of the voice embeddings of some natural recordings of each (an enrolment, as in speaker verification). What natural
speech reaches is measured on the sources: each trial has its own, while the target's few recordings serve all trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evc2.evaluate.analysis import Analysis
from evc2.evaluate.item import Item, Recordings
from evc2.evaluate.registry import register
from evc2.evaluate.speaker import NOTE, SOURCE, cosine, embedding, speaker_missing


def embeddings(voice: Recordings | None) -> list[np.ndarray]:
    """Voice embeddings [256] of a speaker's recordings, each computed once; none where no recording is known."""
    return [] if voice is None else voice("ge2e", embedding)


def enrolment(vectors: Sequence[np.ndarray]) -> np.ndarray | None:
    """Mean [D] of the embeddings of a speaker's recordings, None where there is none.

    Source: Wan et al., Generalized end-to-end loss for speaker verification, 2018, eq. 1 (centroid).
    """
    return np.mean(vectors, axis=0) if len(vectors) else None


def nearer(to_target: float | None, to_origin: float | None) -> float | None:
    """100 where a voice is nearer to the target than to the origin, else 0; None where one of them is not known."""
    return None if to_target is None or to_origin is None else 100.0 * (to_target > to_origin)


def _similarity(wav: Analysis, voice: Recordings | None) -> float | None:
    mean = enrolment(embeddings(voice))
    return None if mean is None else cosine(embedding(wav), mean)


_COMMON = {
    "needs": ("wav", "other_speaker"), "source": SOURCE, "available": speaker_missing,
    "baseline_needs": ("other_speaker", "source"),
}  # fmt: skip


@register(
    "spk_sim_target",
    unit="",
    better="higher",
    digits=3,
    doc="cosine of the voice embedding of the output and the target speaker's mean over up to 10 natural recordings of "
    "the data, the trial's own reference never among them; only where the speaker is changed",
    range="-1 .. 1",
    baseline=lambda item: _similarity(item.source, item.origin_voice),
    baseline_doc="natural speech and its own speaker (the source, against its speaker's recordings)",
    note=lambda: NOTE,
    **_COMMON,
)
def _spk_sim_target(item: Item) -> float | None:
    return _similarity(item.converted, item.target_voice)


@register(
    "spk_sim_origin",
    unit="",
    better="lower",
    digits=3,
    doc="the same with the speaker of the source, the source itself never among the recordings",
    range="-1 .. 1",
    baseline=lambda item: _similarity(item.source, item.target_voice),
    baseline_doc="natural speech and the other speaker (the source, against the target speaker's recordings)",
    **_COMMON,
)
def _spk_sim_origin(item: Item) -> float | None:
    return _similarity(item.converted, item.origin_voice)


@register(
    "spk_changed",
    unit="%",
    better="higher",
    digits=1,
    doc="outputs nearer to the target speaker than to the source's (spk_sim_target above spk_sim_origin); 0 or 100 a "
    "trial",
    range="0 .. 100",
    baseline=lambda item: nearer(
        *(_similarity(item.source, voice) for voice in (item.origin_voice, item.target_voice))
    ),
    baseline_doc="natural speech nearer to its own speaker (the sources): how well the encoder tells the two apart",
    **_COMMON,
)
def _spk_changed(item: Item) -> float | None:
    return nearer(*(_similarity(item.converted, voice) for voice in (item.target_voice, item.origin_voice)))
