"""Emotion similarity by a network that no one here trained, optional: the cosine of two emotion2vec embeddings.

The package funasr reads the model; its files are large and come from a hub, or are unpickled from a folder. So it is
used only when the environment variable ``EVC2_EMOTION2VEC`` asks for it: ``hub`` (``emotion2vec_plus_base`` from
the Hugging Face hub, its cache first), or the folder of such a model, which you trust.
"""

from __future__ import annotations

import contextlib
import io
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.analysis import Analysis
from evc2.evaluate.item import Item
from evc2.evaluate.registry import register
from evc2.evaluate.settings import settings
from evc2.evaluate.whisper import hub_answers

VARIABLE = "EVC2_EMOTION2VEC"
HUB = "hub"
MODEL = "emotion2vec/emotion2vec_plus_base"
SOURCE = "Ma et al., emotion2vec: self-supervised pre-training for speech emotion representation, ACL Findings 2024"


def emotion2vec_missing() -> str | None:
    """What is missing here and how to get it, None when all is there.

    Raises:
        UserError: ``EVC2_EMOTION2VEC`` names a folder that does not exist.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return (
            f"emotion2vec is off: pip install funasr and set {VARIABLE}=hub, or {VARIABLE}=FOLDER of a model you trust"
        )
    if find_spec("funasr") is None:
        return "emotion2vec needs the package funasr: pip install funasr"
    if asked != HUB:
        if not Path(asked).expanduser().is_dir():
            raise UserError(f"{VARIABLE}: expected '{HUB}' or the folder of a model, found no folder '{asked}'")
        return None
    if _cached() is not None or (settings().download and hub_answers()):
        return None
    why = "the hub cannot be reached" if settings().download else "fetching is switched off"
    return f"no emotion2vec model here, and {why}: set {VARIABLE}=FOLDER of a model you trust"


def _cached() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(MODEL, "model.pt")
    return Path(found).parent if isinstance(found, str) else None


@cache
def _model(asked: str) -> Any:
    from funasr import AutoModel

    # Named by its folder, funasr does not ask the hub for a newer one.
    name = str((_cached() or MODEL) if asked == HUB else Path(asked).expanduser())
    # funasr prints what it does; a table of results is printed on the same output.
    with contextlib.redirect_stdout(io.StringIO()):
        return AutoModel(
            model=name, hub="hf", device="cpu", ncpu=1, disable_update=True, disable_pbar=True, log_level="ERROR"
        )


def embedding(x: Analysis) -> np.ndarray:
    """The embedding [D] of a whole utterance (mean over its frames), computed once a wav."""
    return x.memo("emotion2vec", lambda: _embed(x.wav))


def _embed(wav: np.ndarray) -> np.ndarray:
    model = _model(os.environ.get(VARIABLE, ""))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = model.generate(wav, fs=16000, granularity="utterance", extract_embedding=True)
    except RuntimeError as error:  # such as a wav shorter than its first layers
        raise ValueError(str(error).strip().splitlines()[-1]) from None
    return np.asarray(found[0]["feats"], dtype=np.float64).ravel()


def similarity(x: np.ndarray, y: np.ndarray) -> float | None:
    """Cosine of the angle between two embeddings [D].

    Returns:
        -1 .. 1; None where one of them has no length.
    """
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.clip(np.dot(x, y) / lengths, -1.0, 1.0)) if lengths > 0 else None


def _natural(item: Item) -> float | None:
    if item.source is None or item.reference is None or item.has("other_speaker"):
        return None  # of two speakers it would tell something else than the effect of the emotion
    return similarity(embedding(item.source), embedding(item.reference))


@register(
    "emo2vec_sim",
    unit="",
    better="higher",
    needs=("wav", "reference"),
    digits=3,
    doc="cosine of the emotion2vec embeddings of output and reference, each the mean over the frames of its utterance",
    source=SOURCE,
    range="-1 .. 1",
    available=emotion2vec_missing,
    baseline=_natural,
    baseline_doc="natural source and natural reference, that is, both emotions",
)
def _emo2vec_sim(item: Item) -> float | None:
    return similarity(embedding(item.converted), embedding(item.reference))
