"""How much a linear classifier knows of the speaker from embeddings: units should tell what was said, not by whom.

Segments of about two seconds are pooled to the mean and deviation of their rows; a multinomial logistic regression on
standardised values is trained on some and tested on others. Near chance: the speaker is hard to find; near 100 %: he is
plain. A network with time might find more than this probe does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from evc2.errors import UserError

SPLITS = ("time", "utterance")
TRAIN_SHARE = 0.75


@dataclass(frozen=True)
class Segments:
    """Pooled segments: ``values`` [n, 2 * D], ``speakers`` [n] numbers, ``train`` [n] bool, ``names`` by number."""

    values: np.ndarray
    speakers: np.ndarray
    train: np.ndarray
    names: list[str]


def cut(rows: np.ndarray, length: float) -> list[np.ndarray]:
    """Cut rows [N, D] into equal parts of about `length` rows, at least one; fewer than one row give none."""
    if len(rows) == 0:
        return []
    parts = min(len(rows), max(1, round(len(rows) / length)))
    return [part for part in np.array_split(rows, parts) if len(part)]


def pooled(rows: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of the rows [N, D]: [2 * D]."""
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0)])


def trained_utterances(utts: Sequence[str], seed: int) -> set[str]:
    """Three quarters of a speaker's utterances, in the order of a checksum: the same ones on every machine."""
    ordered = sorted(utts, key=lambda utt: hashlib.sha256(f"{seed} {utt}".encode()).digest())
    return set(ordered[: min(len(ordered) - 1, round(TRAIN_SHARE * len(ordered)))])


def make_segments(
    embeddings: Mapping[str, np.ndarray],
    utt2spk: Mapping[str, str],
    rate: Mapping[str, float],
    split: str = "time",
    seconds: float = 2.0,
    seed: int = 0,
) -> Segments:
    """Segments of all utterances that have an embedding.

    Args:
        embeddings: utterance -> rows [N, D].
        utt2spk: utterance -> speaker.
        rate: utterance -> rows a second.
        split: "time": the first three quarters of each utterance train, the last quarter tests; "utterance": whole
            utterances of each speaker do, and speakers with a single one are left out.
        seconds: about how long a segment is.
        seed: of the draw of utterances.

    Raises:
        UserError: fewer than two speakers with segments for both purposes.
    """
    from evc2.evaluate.zerospeech.embeddings import matrix, require_some

    utts = [utt for utt in utt2spk if utt in embeddings]
    require_some(len(utts), list(utt2spk), embeddings, "the data directory")
    by_speaker: dict[str, list[str]] = {}
    for utt in utts:
        by_speaker.setdefault(utt2spk[utt], []).append(utt)
    found: list[tuple[np.ndarray, str, bool]] = []
    for speaker, own in by_speaker.items():
        chosen = trained_utterances(own, seed)
        for utt in own:
            rows, length = matrix(embeddings, utt), max(1.0, seconds * rate[utt])
            border = round(TRAIN_SHARE * len(rows)) if split == "time" else len(rows) if utt in chosen else 0
            found += [(pooled(part), speaker, True) for part in cut(rows[:border], length)]
            found += [(pooled(part), speaker, False) for part in cut(rows[border:], length)]
    both = [{name for _, name, train in found if train is which} for which in (True, False)]
    names = sorted(both[0] & both[1])
    if len(names) < 2:
        raise UserError(
            f"expected two speakers or more with speech to train and to test on, found {len(names)} of "
            f"{len(by_speaker)}; try --split {'utterance' if split == 'time' else 'time'}"
        )
    found = [row for row in found if row[1] in set(names)]
    number = {name: k for k, name in enumerate(names)}
    widths = {len(values) for values, _, _ in found}
    if len(widths) > 1:
        raise UserError(f"embeddings have rows of differing numbers of values: {sorted(w // 2 for w in widths)}")
    return Segments(
        np.stack([values for values, _, _ in found]),
        np.array([number[name] for _, name, _ in found]),
        np.array([train for _, _, train in found]),
        names,
    )


def wilson(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of n independent cases (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    z = float(ndtri(0.5 + level / 2))
    middle, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))


def probe(segments: Segments, c: float = 1.0) -> dict[str, float | int]:
    """Train and test the classifier; deterministic.

    Args:
        segments: of `make_segments`.
        c: weight of the errors against the squared size of the weights.

    Returns:
        `accuracy`, `low` and `high` (95 %, as if segments were independent), `chance` (always naming the speaker with
        most training segments), all in %; numbers of `speakers`, `train` and `test` segments.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise UserError(
            "the probe needs scikit-learn: pip install scikit-learn, or tools/setup.sh --extras eval"
        ) from None

    train, test = segments.train, ~segments.train
    mean, scale = segments.values[train].mean(axis=0), segments.values[train].std(axis=0)
    # A code that training hardly uses would be blown up where the test uses it.
    scale = np.where(scale > 1e-6 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    values = (segments.values - mean) / scale
    model = LogisticRegression(C=c, max_iter=2000).fit(values[train], segments.speakers[train])
    right = model.predict(values[test]) == segments.speakers[test]
    most = np.bincount(segments.speakers[train]).argmax()
    share, n = float(right.mean()), int(test.sum())
    low, high = wilson(share, n)
    return {
        "accuracy": 100 * share,
        "low": 100 * low,
        "high": 100 * high,
        "chance": 100 * float((segments.speakers[test] == most).mean()),
        "speakers": len(segments.names),
        "train": int(train.sum()),
        "test": n,
    }
