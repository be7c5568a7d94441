"""An emotion judge of 88 eGeMAPS functionals and linear support vector machines; needs no torch to judge.

It hears nothing that a neural judge on log-mel spectra hears in the same way, which is why there are two. Every speaker
of its corpus is judged by the machine whose training left him out, so that its figures on converted speech and its own
accuracy speak about the same thing: a speaker it does not know.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.feats.egemaps import SIZE, egemaps
from evc2.fileio.atomic import atomic_path, write_json

KIND = "egemaps_svm"
VERSION = 1
ALL = "all"
"""Name of the machine trained on every speaker: it judges those that the corpus does not have."""

_ARRAYS = ("mean", "scale", "coef", "intercept", "sharpness")


@dataclass(frozen=True)
class Machine:
    """One linear machine on standardised features.

    Attributes:
        mean, scale: [F] of the training features.
        coef, intercept: [L, F] and [L], a row a label.
        sharpness: factor of the decision values before the softmax, above 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    sharpness: float = 1.0

    def standardised(self, feats: np.ndarray) -> np.ndarray:
        """Features [..., F] in deviations from the training mean."""
        return (feats - self.mean) / self.scale

    def decision(self, feats: np.ndarray) -> np.ndarray:
        """Signed distances [..., L] from each label's boundary, in units of its margin."""
        return self.standardised(feats) @ self.coef.T + self.intercept

    def scores(self, feats: np.ndarray) -> np.ndarray:
        """[..., L], 0 .. 1, sum 1: softmax of the decision values. Like posteriors, but not calibrated label by label.

        The sharpness is the one number that maximises the likelihood of training speakers that were held out in turn
        (a temperature: Guo et al., On calibration of modern neural networks, ICML 2017); it never moves the maximum.
        """
        return softmax(self.sharpness * self.decision(feats))


def softmax(values: np.ndarray) -> np.ndarray:
    """exp(v) / sum exp(v) over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@dataclass
class SVMJudge:
    """Machines by fold, and which of them judges whom.

    Attributes:
        labels: the emotions, in the order of the scores.
        folds: speaker -> fold of the corpus that the judge was trained on.
        machines: fold -> the machine trained without this fold's speakers; "all" -> trained on every speaker.
        accuracy: its own accuracy on unseen speakers, by kind of speech (see evc2.evaluate.judge_accuracy.measure).
        about: where it comes from.
    """

    labels: list[str]
    folds: dict[str, str]
    machines: dict[str, Machine]
    accuracy: dict = field(default_factory=dict)
    about: dict = field(default_factory=dict)
    kind: str = KIND

    def machine(self, speaker: str | None) -> Machine:
        """The machine that has not heard this speaker.

        A speaker of no fold is judged by the one of all speakers, not by the mean over the folds: no machine has heard
        him, and this one has heard the most others. The accuracy, measured with fewer, is then on the cautious side.
        """
        return self.machines[self.folds.get(speaker, ALL) if speaker is not None else ALL]

    def judge(self, wav: np.ndarray, speaker: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the emotions of an utterance, and an embedding.

        Args:
            wav: [n] mono speech at 16 kHz, the silence before and after it trimmed as Analysis.speech_wav does; the
                judge was trained on such.
            speaker: who speaks, or None.

        Returns:
            [n_labels] float64, 0 .. 1 with sum 1, in the order of ``labels``; and [88] float64, the features in
            deviations from the mean of the machine's training speech.

        Raises:
            UserError: as evc2.feats.egemaps.egemaps.
        """
        feats, machine = egemaps(wav), self.machine(speaker)
        return machine.scores(feats), machine.standardised(feats)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write FOLDER/weights.npz and FOLDER/judge.json, the latter last: it stands for a complete judge."""
        folder = Path(folder)
        (folder / "judge.json").unlink(missing_ok=True)
        names = list(self.machines)
        arrays = {name: np.stack([getattr(self.machines[fold], name) for fold in names]) for name in _ARRAYS}
        with atomic_path(folder / "weights.npz") as path:
            np.savez(path, **arrays)
        about = {
            "kind": KIND, "version": VERSION, "labels": self.labels, "folds": self.folds, "machines": names,
            "accuracy": self.accuracy, "about": self.about,
        }  # fmt: skip
        write_json(folder / "judge.json", about)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SVMJudge:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: not such a folder, another kind or version, or files that do not fit each other.
        """
        folder = Path(folder)
        try:
            said = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"{folder}: expected an emotion judge (judge.json, weights.npz): {error.strerror}"
            ) from None
        except ValueError as error:
            raise UserError(f"{folder / 'judge.json'}: not valid JSON ({error}); train the judge again") from None
        if not isinstance(said, Mapping) or (said.get("kind"), said.get("version")) != (KIND, VERSION):
            found = (said.get("kind"), said.get("version")) if isinstance(said, Mapping) else type(said).__name__
            raise UserError(f"{folder / 'judge.json'}: expected kind '{KIND}', version {VERSION}, found {found}")
        try:
            labels, folds, names = [*said["labels"]], {**said["folds"]}, [*said["machines"]]
            machines = _read_machines(folder / "weights.npz", names, len(labels))
            lost = sorted({*folds.values(), ALL} - machines.keys())
            if lost or len(labels) < 2:
                raise ValueError(f"no machine of fold {lost[0]}" if lost else f"labels {labels}")
        except (OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder}: not a complete judge ({error}); copy it again or train it again") from None
        return cls(labels, folds, machines, said.get("accuracy", {}), said.get("about", {}))


def _read_machines(path: Path, names: list[str], n_labels: int) -> dict[str, Machine]:
    """fold -> machine; ValueError where an array has another shape than it must have, or no finite values."""
    n = len(names)
    shapes = dict(zip(_ARRAYS, ((n, SIZE), (n, SIZE), (n, n_labels, SIZE), (n, n_labels), (n,)), strict=True))
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name].astype(np.float64) for name in _ARRAYS}
    for name, array in arrays.items():
        if array.shape != shapes[name] or not np.isfinite(array).all():
            raise ValueError(f"{path.name}: {name} has shape {array.shape}, expected finite values {shapes[name]}")
    if not (arrays["scale"] > 0).all() or not (arrays["sharpness"] > 0).all():
        raise ValueError(f"{path.name}: scale and sharpness must be above 0")
    return {
        fold: Machine(*(arrays[name][k] for name in _ARRAYS[:-1]), float(arrays["sharpness"][k]))
        for k, fold in enumerate(names)
    }
