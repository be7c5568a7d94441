"""What an emotion classifier hears in a converted spectrogram, as losses.

Source: Zhou et al., "Emotion intensity and its control for emotional voice conversion" (Emovox), IEEE Transactions on
Affective Computing 2022: the emotion that a pre-trained classifier hears (classification), and the distance of its
embeddings of converted and recorded speech (similarity). The classifier is one of `evc2 ser_train` on the features of
the system, never a judge of its results.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.nets.ser import EmotionClassifier
from evc2.nets.weights import load_weights, weight_files

NET_KEYS = ("channels", "hidden", "dropout")
"""Keys of a training's model_conf that the network itself takes."""

OWN = (
    "train a classifier of your own on the system's features: python -m evc2.bin.ser_train --config "
    "conf/tuning/train_perception.yaml --feats_contract CONTRACT --train_dir DIR --valid_dir DIR --output_dir DIR"
)


class EmotionPerception:
    """A trained emotion classifier that judges spectrograms but does not change.

    It is no module, so that a system that holds it has neither its parameters nor its state. It goes to the device of
    what it is given.

    Args:
        net: the classifier; put into evaluation mode, without gradients for its parameters.
        labels: its emotions, in the order of its scores.
    """

    def __init__(self, net: EmotionClassifier, labels: Sequence[str]) -> None:
        self.net, self.labels = net.eval().requires_grad_(False), tuple(labels)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], contract: FeatureContract, model_file: str | None = None
    ) -> EmotionPerception:
        """Read a training of ser_train.

        Args:
            folder: its output_dir, with config.yaml and weights.
            contract: of the system's features.
            model_file: weights in it; None: the best by validation.

        Raises:
            UserError: a judge or a part of one, no such training, or other features than the system's.
        """
        folder = Path(folder)
        if is_judge(folder):
            raise UserError(f"{folder}: the judge must not train a system, or it could not judge its results; {OWN}")
        config = _read_config(folder)
        own = FeatureContract.from_dict(config["feats_contract"], where=f"{folder}/config.yaml: feats_contract")
        contract.require_same(own, mine="the system", theirs=str(folder))
        files = weight_files(folder)
        if model_file is None and not files:
            raise UserError(f"{folder}: holds no weights yet; has its training ended?")
        path = folder / (model_file or files[0])
        weights = {k.removeprefix("net."): v for k, v in load_weights(path).items() if k.startswith("net.")}
        conf = {key: value for key, value in (config.get("model_conf") or {}).items() if key in NET_KEYS}
        try:
            net = EmotionClassifier(own.n_mels, len(config["labels"]), **conf)
            net.load_state_dict(weights)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: does not fit the classifier of {folder}/config.yaml ({reason})") from None
        return cls(net, config["labels"])

    def numbers(self, emotions: Sequence[str]) -> list[int]:
        """Number of each of a system's emotions among those of the classifier.

        Raises:
            UserError: an emotion that the classifier does not know.
        """
        unknown = [name for name in emotions if name not in self.labels]
        if unknown:
            raise UserError(
                f"the emotion classifier does not know {', '.join(unknown)}, only {', '.join(self.labels)}: train it "
                f"on the system's training data, or set perception.classification to 0"
            )
        return [self.labels.index(name) for name in emotions]

    def hear(self, feats: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log posteriors [B, labels] and embeddings [B, 2, 2 * hidden] (of either branch) of spectrograms.

        The classifier takes statistics over whole utterances and knows no padding, so only what has the same length is
        heard together: neither padding nor the rest of a batch changes anything.

        Args:
            feats: [B, T, n_mels]; frames from ``lengths`` [B] on do not count.
        """
        if next(self.net.parameters()).device != feats.device:
            self.net.to(feats.device)
        frames = lengths.tolist()
        scores: list[torch.Tensor | None] = [None] * len(frames)
        embeddings: list[torch.Tensor | None] = [None] * len(frames)
        with torch.autocast(feats.device.type, enabled=False):
            for length in sorted(set(frames)):
                chosen = [i for i, own in enumerate(frames) if own == length]
                posteriors, embedding = self.net(feats[chosen, :length].float())
                for i, one, vector in zip(chosen, posteriors, embedding, strict=True):
                    scores[i], embeddings[i] = one, vector
        return torch.stack(scores), torch.stack(embeddings).unflatten(1, (2, -1))

    def similarity(self, made: torch.Tensor, feats: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """1 - cosine of the embeddings of what was made and what was recorded, mean over branches and items: [].

        Args:
            made, feats: [B, T, n_mels] features as extracted (not normalised); gradients reach ``made`` alone.
            lengths: frames [B] of both.
        """
        return self._distance(self.hear(made, lengths)[1], feats, lengths)

    def classification(self, made: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy of the emotion heard, over the labelled items, 0 where there are none: [].

        Args:
            made: [B, T, n_mels] features as extracted (not normalised); ``lengths`` [B].
            labels: [B] numbers of the classifier's emotions (see :meth:`numbers`); -1: unlabelled.
        """
        return _surprise(self.hear(made, lengths)[0], labels)

    def both(
        self, made: torch.Tensor, feats: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(:meth:`similarity`, :meth:`classification`), for which ``made`` is heard only once."""
        scores, embeddings = self.hear(made, lengths)
        return self._distance(embeddings, feats, lengths), _surprise(scores, labels)

    @torch.no_grad()
    def _recorded(self, feats: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.hear(feats, lengths)[1]

    def _distance(self, embeddings: torch.Tensor, feats: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return (1 - F.cosine_similarity(embeddings, self._recorded(feats, lengths), dim=2)).mean()


def _surprise(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    labelled = labels >= 0
    each = F.nll_loss(scores, labels.clamp(min=0), reduction="none")
    return (each * labelled).sum() / labelled.sum().clamp(min=1)


def is_judge(folder: Path) -> bool:
    """Whether a folder is an emotion judge, or a training that one was made of."""
    if (folder / "judge.json").exists():
        return True
    for path in folder.resolve().parent.glob("*/judge.json"):  # ser.sh trains exp/TAG/fold1.seed0 for exp/TAG/neural
        try:
            about = json.loads(path.read_text(encoding="utf-8"))["about"]
            if folder.resolve().name in about["trainings"]:
                return True
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another kind of judge, or a damaged one, which says nothing of its origin
    return False


def _read_config(folder: Path) -> Mapping[str, Any]:
    import yaml

    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{folder}: expected a training of ser_train, {path} cannot be read: {error.strerror}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict) or not all(config.get(key) for key in ("labels", "feats_contract")):
        raise UserError(f"{path}: expected the configuration of an emotion classifier (ser_train); {OWN}")
    if config.get("system") or not isinstance(config["labels"], list):
        raise UserError(f"{path}: is of a conversion system, expected an emotion classifier (ser_train); {OWN}")
    return config
