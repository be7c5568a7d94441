"""Emotion judges: how often the intended emotion is heard, as what else, and how near to real speech of that emotion.

Two judges with nothing in common listen: a network on log-mel spectra, and support vector machines on eGeMAPS
functionals. Neither takes part in the training of a system. A speaker whom a judge was trained on is judged by the part
of it whose training left him out, and its own accuracy on such speakers stands beside every use of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.analysis import Analysis
from evc2.evaluate.item import Item
from evc2.evaluate.registry import register, register_set
from evc2.evaluate.settings import settings

if TYPE_CHECKING:
    from evc2.evaluate.summary import Summary


class Judge(Protocol):
    """What a judge offers.

    Attributes:
        labels: emotions in the order of the scores.
        accuracy: its own, on unseen speakers, by kind of speech (see evc2.evaluate.judge_accuracy.measure).
    """

    labels: list[str]
    accuracy: dict[str, Any]

    def judge(self, wav: np.ndarray, speaker: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Speech [n] at 16 kHz, trimmed, and who speaks -> scores [n_labels] with sum 1, and an embedding [k]."""


KINDS = {
    "neural": ("evc2.evaluate.judge_neural:NeuralJudge", "neural_ser", "log-mel network"),
    "svm": ("evc2.evaluate.judge_svm:SVMJudge", "egemaps_svm", "eGeMAPS and SVM"),
}
"""Name in the metrics -> class, kind in judge.json, words for the reader."""


def kind_of(folder: str) -> str:
    """Kind of the judge in a folder; UserError where there is none."""
    try:
        return str(json.loads((Path(folder) / "judge.json").read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--judge: expected a folder with judge.json in {folder}: {error}") from None


@cache
def _load(name: str, folders: tuple[str, ...]) -> Judge | None:
    where, kind, _ = KINDS[name]
    found = [folder for folder in folders if kind_of(folder) == kind]
    if len(found) > 1:
        raise UserError(f"--judge: {found[0]} and {found[1]} are both of kind {kind}; give one of each kind")
    if not found:
        return None
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute).load(found[0])


def get_judge(name: str) -> Judge | None:
    """The judge of this name in the settings' folders, loaded once a process; None where there is none."""
    return _load(name, settings().judges)


def verdict_on(name: str, wav: Analysis, speaker: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and embedding of one wav, kept with its analysis."""
    judge = get_judge(name)
    assert judge is not None
    return wav.memo(f"judge {name} {speaker}", lambda: judge.judge(wav.speech_wav, speaker))


def counts(item: Item, name: str) -> np.ndarray | None:
    """[labels * labels] zeros with a one at (intended, heard); None where the judge does not know the emotion."""
    labels = get_judge(name).labels
    if item.emotion not in labels:
        return None
    table = np.zeros((len(labels), len(labels)))
    table[labels.index(item.emotion), int(verdict_on(name, item.converted, item.speaker)[0].argmax())] = 1
    return table.ravel()


def mean_recall(total: np.ndarray) -> float | None:
    """Unweighted mean over the intended emotions of the share heard right, in %, from summed counts [L * L]."""
    size = round(len(total) ** 0.5)
    table = total.reshape(size, size)
    said = table.sum(axis=1)
    return float(100 * np.mean(np.diag(table)[said > 0] / said[said > 0])) if said.any() else None


def own_accuracy(name: str) -> str | None:
    """The line on the judge's own accuracy."""
    judge = get_judge(name)
    if judge is None:
        return None
    parts = []
    for kind, found in judge.accuracy.items():
        texts = [f"{_percent(found['all'])} of all"]
        if "strong" in found:
            texts.append(f"{_percent(found['strong'])} of strong happy, sad, angry and fearful speech")
        parts.append(f"{kind}: {', '.join(texts)}")
    chance = 100 / len(judge.labels)
    return (
        f"The judge's own accuracy on speakers it has not heard, among {len(judge.labels)} emotions (chance "
        f"{chance:.1f} %), [95 % interval over speakers]: {'; '.join(parts) or 'not measured'}"
    )


def _percent(found: dict[str, Any]) -> str:
    interval = "" if found.get("low") is None else f" [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"
    return f"{100 * found['mean']:.1f} %{interval}"


def confusions(summary: Summary) -> dict[str, Any]:
    """Judge -> {"labels", "about", "systems": {direction: {system: [[counts]]}}}; rows intended, columns heard."""
    result: dict[str, Any] = {}
    for name, (_, _, words) in KINDS.items():
        metric = f"emo_recall_{name}"
        if metric not in {m.name for m in summary.metrics}:
            continue
        labels = get_judge(name).labels
        tables: dict[str, dict[str, Any]] = {}
        for direction in summary.directions:
            for system in summary.systems:
                total = summary.total(direction, system, metric)
                if total is not None:
                    table = total.reshape(len(labels), -1).astype(int).tolist()
                    tables.setdefault(direction, {})[system] = table
        result[name] = {"labels": labels, "about": f"{words}. {own_accuracy(name)}", "systems": tables}
    return result


def _declare(name: str, words: str) -> None:
    """Enter the metrics of one judge."""

    def available() -> str | None:
        if get_judge(name) is None:
            return f"no emotion judge ({words}) given: train one with egs/ravdess/ser1/run.sh, then --judge FOLDER"
        return None

    def note() -> str | None:
        return own_accuracy(name)

    def recognised(item: Item) -> float | None:
        found = counts(item, name)
        return None if found is None else mean_recall(found)

    def to_reference(item: Item, wav: Analysis) -> float:
        a, b = (verdict_on(name, one, item.speaker)[1] for one in (wav, item.reference))
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))

    def similarity(item: Item) -> float:
        return to_reference(item, item.converted)

    def natural(item: Item) -> float | None:
        return to_reference(item, item.source) if item.source_speaker == item.speaker else None

    common: dict[str, Callable] = {"available": available, "note": note}
    register(
        f"emo_acc_{name}", unit="%", better="higher", needs=("wav",), digits=1,
        doc=f"intended emotion recognised by the judge ({words}) among all of its emotions; 0 or 100 a trial",
        source="automatic counterpart of the listening tests of Zhou et al., Speech Communication 2022 (ESD), 5",
        range="0 .. 100", **common,
    )(recognised)  # fmt: skip
    register(
        f"emo_sim_{name}", unit="", better="higher", needs=("wav", "reference"), digits=2,
        doc=f"cosine of the judge's ({words}) embeddings of output and reference",
        source="as emotion-embedding similarity in Zhou et al., Emovox, IEEE TAFFC 2023", range="-1 .. 1",
        baseline=natural, baseline_doc="natural speech of the speaker in source and target emotion",
        available=available,
    )(similarity)  # fmt: skip
    register_set(
        f"emo_recall_{name}", unit="%", better="higher", needs=("wav",), digits=1, combine=mean_recall,
        doc=f"mean over intended emotions of the share that the judge ({words}) recognises; its counts are the "
        "confusion matrix",
        source="unweighted average recall, Schuller et al., Interspeech 2009 Emotion Challenge", range="0 .. 100",
        available=available,
    )(lambda item: counts(item, name))  # fmt: skip


for _name, (_, _, _words) in KINDS.items():
    _declare(_name, _words)
