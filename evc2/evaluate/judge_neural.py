"""The neural emotion judge: networks on log-mel spectra, several a fold of speakers, whose scores are averaged."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.fileio.atomic import atomic_path, write_json

if TYPE_CHECKING:
    import torch

    from evc2.nets.ser import EmotionClassifier

KIND = "neural_ser"
VERSION = 1


@dataclass
class NeuralJudge:
    """Networks by fold, and which of them judge whom.

    Attributes:
        labels: the emotions, in the order of the scores.
        folds: speaker -> fold of the corpus that the judge was trained on.
        contract: features that the networks read.
        net_conf: keys of EmotionClassifier beside n_mels and n_labels.
        members: fold -> networks trained without this fold's speakers, one a seed.
        accuracy: its own, on unseen speakers, by kind of speech.
        about: where it comes from.
    """

    labels: list[str]
    folds: dict[str, str]
    contract: FeatureContract
    net_conf: dict[str, Any]
    members: dict[str, list[EmotionClassifier]]
    accuracy: dict = field(default_factory=dict)
    about: dict = field(default_factory=dict)
    kind: str = KIND

    def networks(self, speaker: str | None) -> list[EmotionClassifier]:
        """The networks that have not heard this speaker; all of them for a speaker of no fold."""
        if speaker in self.folds:
            return self.members[self.folds[speaker]]
        return [net for nets in self.members.values() for net in nets]

    def scores(self, feats: np.ndarray, nets: Sequence[EmotionClassifier]) -> tuple[np.ndarray, np.ndarray]:
        """Posteriors and embeddings of each network.

        Args:
            feats: [T, n_mels] log-mel by ``contract``.

        Returns:
            [len(nets), n_labels], rows with sum 1, and [len(nets), k], rows of length 1.
        """
        import torch

        x = torch.from_numpy(np.ascontiguousarray(feats, dtype=np.float32))[None]
        with torch.inference_mode():
            found = [net(x) for net in nets]
            posteriors = [log[0].exp().numpy() for log, _ in found]
            embeddings = [(one[0] / one[0].norm().clamp_min(1e-9)).numpy() for _, one in found]
        return np.stack(posteriors).astype(np.float64), np.stack(embeddings).astype(np.float64)

    def judge(self, wav: np.ndarray, speaker: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the emotions of an utterance, and an embedding.

        Args:
            wav: [n] mono speech at 16 kHz, the silence before and after it trimmed.
            speaker: who speaks, or None.

        Returns:
            [n_labels], 0 .. 1 with sum 1: the mean of the networks' posteriors; and the networks' embeddings side by
            side (their cosine is the mean of the networks' cosines; comparable for one speaker only).
        """
        posteriors, embeddings = self.scores(log_mel(wav, self.contract), self.networks(speaker))
        return posteriors.mean(axis=0), embeddings.ravel()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the networks and FOLDER/judge.json, the latter last: it stands for a complete judge."""
        import torch

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "judge.json").unlink(missing_ok=True)
        files: dict[str, list[str]] = {}
        for fold, nets in self.members.items():
            files[fold] = [f"fold{fold}.{k}.pth" for k in range(len(nets))]
            for name, net in zip(files[fold], nets, strict=True):
                with atomic_path(folder / name) as path:
                    torch.save(net.state_dict(), path)
        write_json(
            folder / "judge.json",
            {
                "kind": KIND, "version": VERSION, "labels": self.labels, "folds": self.folds,
                "contract": self.contract.to_dict(), "net": self.net_conf, "members": files,
                "accuracy": self.accuracy, "about": self.about,
            },
        )  # fmt: skip

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> NeuralJudge:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: not such a folder, another kind or version, or files that do not fit.
        """
        folder = Path(folder)
        try:
            said = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: expected an emotion judge (judge.json and networks): {error}") from None
        if not isinstance(said, Mapping) or (said.get("kind"), said.get("version")) != (KIND, VERSION):
            found = (said.get("kind"), said.get("version")) if isinstance(said, Mapping) else type(said).__name__
            raise UserError(f"{folder / 'judge.json'}: expected kind '{KIND}', version {VERSION}, found {found}")
        try:
            contract = FeatureContract.from_dict(said["contract"])
            labels, conf = [*said["labels"]], {**said["net"]}
            members = {
                fold: [read_network(folder / Path(name).name, contract.n_mels, len(labels), conf) for name in names]
                for fold, names in said["members"].items()
            }
            lost = sorted(set(said["folds"].values()) - {fold for fold, nets in members.items() if nets})
            if lost:
                raise ValueError(f"no network of fold {lost[0]}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{folder}: not a complete judge ({error}); copy it again or train it again") from None
        return cls(labels, {**said["folds"]}, contract, conf, members, said.get("accuracy", {}), said.get("about", {}))


def build_network(
    weights: Mapping[str, torch.Tensor], n_mels: int, n_labels: int, conf: Mapping[str, Any]
) -> EmotionClassifier:
    """A network in inference mode with these weights; ValueError where they do not fit."""
    from evc2.nets.ser import EmotionClassifier

    net = EmotionClassifier(n_mels, n_labels, **conf)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from None
    return net.eval().requires_grad_(False)


def read_network(path: Path, n_mels: int, n_labels: int, conf: Mapping[str, Any]) -> EmotionClassifier:
    """A network from its file; ValueError where the file is damaged, holds code, or does not fit."""
    import torch

    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path.name}: {' '.join(str(error).split())[:200]}") from None
    return build_network(weights, n_mels, n_labels, conf)
