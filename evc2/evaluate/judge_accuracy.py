"""How good a judge is on speakers that it has not heard: the figures that stand beside every use of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc2.evaluate.intervals import mean_interval
from evc2.evaluate.table import markdown_table

STRONG = ("happy", "sad", "angry", "fearful")
"""The emotions of the "strong" figures: those that a conversion from neutral aims at."""


@dataclass(frozen=True)
class Utterances:
    """What is known of some utterances.

    Attributes:
        emotions, speakers, vocoders: N words each; vocoder "natural" for speech that none has touched.
        strong: [N] bool, whether spoken at strong intensity; None where that is not known.
    """

    emotions: np.ndarray
    speakers: np.ndarray
    vocoders: np.ndarray
    strong: np.ndarray | None = None


def measure(known: Utterances, heard: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Accuracy by kind of speech.

    Args:
        known: N utterances.
        heard: [N] words, or [S, N] for S independent trainings, whose accuracies are averaged.
        labels: the judge's emotions.

    Returns:
        vocoder -> {"all": ..., "strong": ..., "confusion": {said: {heard: count}}}; "all" and "strong" (happy, sad,
        angry and fearful at strong intensity; only where the intensity is known) hold the mean over speakers of the
        share of utterances recognised among all labels, 0 .. 1, "low" and "high" of its 95 % interval by a bootstrap
        over speakers, "speakers" and "utterances".
    """
    heard = np.atleast_2d(heard)
    result: dict[str, Any] = {}
    kinds = sorted(set(known.vocoders.tolist()), key=lambda kind: (kind != "natural", kind))
    for kind in kinds:
        mask = known.vocoders == kind
        result[kind] = {"all": over_speakers(known, heard, mask)}
        if known.strong is not None:
            strong = mask & known.strong & np.isin(known.emotions, STRONG)
            if strong.any():
                result[kind]["strong"] = over_speakers(known, heard, strong)
        result[kind]["confusion"] = {
            said: {label: int(np.sum((heard == label) & (mask & (known.emotions == said))[None])) for label in labels}
            for said in labels
        }
    return result


def over_speakers(known: Utterances, heard: np.ndarray, mask: np.ndarray) -> dict[str, float | int | None]:
    """Mean over speakers of the share of utterances heard right, where mask [N] holds, with its interval."""
    right = (heard == known.emotions[None]).mean(axis=0)
    names = np.unique(known.speakers[mask])
    found = mean_interval([float(right[mask & (known.speakers == name)].mean()) for name in names])
    return {
        "mean": found.mean, "low": found.low, "high": found.high,
        "speakers": len(names), "utterances": int(mask.sum()),
    }  # fmt: skip


def percent(found: Mapping[str, Any] | None) -> str:
    """Such as "65.2 [60.1, 70.0]"."""
    if found is None:
        return "-"
    interval = "" if found["low"] is None else f" [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
    return f"{100 * found['mean']:.1f}{interval}"


def accuracy_table(accuracy: Mapping[str, Any]) -> str:
    """Markdown: a row a kind of speech."""
    head = ["speech", "speakers", "utterances", "all (%)", "utterances, strong", "strong (%)"]
    rows = []
    for kind, found in accuracy.items():
        strong, whole = found.get("strong"), found["all"]
        counts = [str(whole["speakers"]), str(whole["utterances"])]
        rows.append([kind, *counts, percent(whole), str(strong["utterances"]) if strong else "-", percent(strong)])
    return markdown_table(head, rows)


def confusion_tables(accuracy: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Markdown: heading and matrix of each kind of speech."""
    parts = []
    for kind, found in accuracy.items():
        table = [[said, *(str(n) for n in counts.values())] for said, counts in found["confusion"].items()]
        parts += [f"## Heard as, {kind}", markdown_table(["said", *labels], table)]
    return parts
