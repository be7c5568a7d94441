"""Training of the emotion classifier that judges conversions. It converts nothing, so it is no system by name."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from evc2.errors import UserError, check_keys
from evc2.nets.layers.augment import Augment
from evc2.nets.ser import EmotionClassifier, joint
from evc2.train.abs_model import AbsTurnModel, BatchCache


class SERModel(AbsTurnModel):
    """Cross-entropy on augmented, mixed and smoothed targets.

    Args:
        n_mels: bands of the log-mel spectrogram.
        labels: emotions in the order of the scores.
        channels, hidden, dropout: of :class:`~evc2.nets.ser.EmotionClassifier`.
        mixup: parameter of the beta distribution by which pairs of items are mixed (Zhang et al. 2018); 0: none.
        smoothing: share of a target that is spread over all emotions.
        augment: keys of :class:`~evc2.nets.layers.augment.Augment`.
    """

    turns: ClassVar[tuple[str, ...]] = ("main",)
    collation: ClassVar[str] = "crop"

    def __init__(
        self,
        n_mels: int,
        labels: list[str],
        channels: int = 16,
        hidden: int = 128,
        dropout: float = 0.5,
        mixup: float = 0.2,
        smoothing: float = 0.1,
        augment: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise UserError(f"expected two emotions or more, each once, found: {' '.join(labels)}")
        check_keys(Augment, augment or {}, "model_conf.augment")
        self.labels, self.mixup, self.smoothing = list(labels), mixup, smoothing
        self.augment = Augment(**(augment or {}))
        self.net = EmotionClassifier(n_mels, len(labels), channels, hidden, dropout)

    def forward(
        self,
        turn: str | None = None,
        step: int = 0,
        cache: BatchCache | None = None,
        *,
        feats: torch.Tensor,
        emotion: torch.Tensor,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss and accuracy.

        Args:
            feats: [B, T, n_mels] log-mel.
            emotion: [B] numbers of the labels.
        """
        target = torch.nn.functional.one_hot(emotion, len(self.labels)).to(feats.dtype)
        masked = None
        if self.training:
            feats = self.augment.warp(feats)
            masked = self.augment.mask(feats, self.net.mean)
            if self.mixup > 0:
                share, other = float(np.random.beta(self.mixup, self.mixup)), torch.randperm(len(feats))
                feats, masked, target = (share * x + (1 - share) * x[other] for x in (feats, masked, target))
            target = target * (1 - self.smoothing) + self.smoothing / len(self.labels)
        logits = self.net.logits(self.net.branches(feats, masked))
        # Each branch learns by itself: by a common loss the one that fits the training speakers faster would do it all.
        losses = [-(target * one.log_softmax(1)).sum(1).mean() for one in logits]
        stats = {"loss_conv": losses[0].detach(), "loss_statistics": losses[1].detach()}
        loss = losses[0] + losses[1]
        stats |= {"loss": loss.detach(), "acc": (joint(logits).argmax(1) == emotion).float().mean().detach()}
        return loss, stats, torch.full((), float(len(feats)), device=feats.device)
