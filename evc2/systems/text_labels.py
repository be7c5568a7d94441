"""What the training data tell a system that reads text: voices, emotions, phones, speaker vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evc2.errors import UserError
from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader
from evc2.fileio.tables import read_table
from evc2.text.g2p import read_g2p
from evc2.text.silences import SILENCE
from evc2.text.tokens import token_list

NEUTRAL = "neutral"
NO_EMOTION = "other"
"""What utt2emo says of utterances whose emotion nobody labelled."""


def text_labels(
    conf: Mapping[str, Any],
    stats: Stats,
    folder: str | Path,
    start: Mapping[str, Any] | None = None,
    emotional: bool = True,
) -> dict[str, Any]:
    """``speakers``, ``emotions``, ``tokens`` and ``g2p`` of system_conf: what it gives already, the rest from the data.

    Args:
        conf: system_conf.
        stats: of the training data.
        folder: its feature directory, with ``phones`` and ``g2p.yaml``.
        start: system_conf of the model that training starts from: phones that it has learned stay tokens, whether these
            data have them or not, so that it can still say them.
        emotional: whether there must be emotions.

    Raises:
        UserError: no phones, or no emotion in the data where there must be.
    """
    folder = Path(folder)
    if not (folder / "g2p.yaml").is_file():
        raise UserError(
            f"{folder}: holds no phones (there is no g2p.yaml): this system reads text, so run stage 3 with --align "
            f"learned, or --align DIR with TextGrids"
        )
    g2p = read_g2p(folder)
    phones = [row.split() for row in read_table(folder / "phones").values()]
    known = {
        "speakers": list(stats.speakers),
        "emotions": [name for name in stats.emotions if name != NO_EMOTION],
        "tokens": token_list(phones, (start or {}).get("tokens") or ()),
        # What the training never heard at its ends (TextGrids have no silence there), synthesis must not ask for.
        "g2p": {**g2p, "silence": any(row[0] == SILENCE for row in phones)},
    }
    labels = {key: conf.get(key) or value for key, value in known.items()}
    if emotional and not labels["emotions"]:
        raise UserError(f"{folder}: every utterance is labelled '{NO_EMOTION}': some need an emotion to learn from")
    return labels


def vector_kind(folder: str | Path) -> str | None:
    """What made the speaker vectors of a feature directory, as its spembs.yaml says; None where nobody noted it."""
    path = Path(folder) / "spembs.yaml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("kind") if path.is_file() else None


def voice_vectors(folder: str | Path, speakers: Sequence[str], size: int) -> np.ndarray:
    """Speaker vectors [N, size] of a feature directory, in the order of ``speakers``; UserError where they lack."""
    path = Path(folder) / "spk2spembs.scp"
    if not path.is_file():
        raise UserError(
            f"{folder}: there are no speaker vectors; stage 3 makes them with --spembs resemblyzer (or others)"
        )
    reader = ScpReader(path)
    lacking = [name for name in speakers if name not in reader]
    if lacking:
        raise UserError(f"{path}: has no vector of {', '.join(lacking[:5])}; make the vectors again")
    vectors = np.stack([reader[name] for name in speakers])
    if vectors.shape[1] != size:
        raise UserError(f"{path}: vectors of {vectors.shape[1]} values, and spk_embed_dim is {size}; set it to match")
    return vectors
