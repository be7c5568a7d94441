"""WaveRNN in training (Kalchbrenner et al. 2018, arXiv 1802.08435): the next sample from all before it and the mel."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from evc2.feats.contract import FeatureContract
from evc2.losses.wavernn import teacher_forcing, wavernn_loss
from evc2.systems.vocoder import AbsVocoderModel
from evc2.train.abs_model import BatchCache


class WaveRNNModel(AbsVocoderModel):
    """Negative log likelihood of crops, in nats a sample; every crop starts from an empty memory.

    Args:
        contract: of the mel spectrogram.
        net: only ``wavernn``.
        generator: arguments of :class:`~evc2.nets.wavernn.WaveRNN`.
    """

    turns: ClassVar[tuple[str, ...]] = ("main",)

    def __init__(self, contract: FeatureContract, net: str = "wavernn", generator: Mapping[str, Any] | None = None):
        super().__init__(contract, net, generator)
        self.context = self.generator.pad

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss; see :class:`~evc2.systems.vocoder.AbsVocoderModel` for a batch."""
        mel, signal = self.inputs(**batch, before=1)
        given, target = teacher_forcing(signal, self.generator.mode, self.generator.bits)
        loss = wavernn_loss(self.generator(given, mel), target, self.generator.mode)
        return loss, {"loss": loss.detach()}, torch.full((), float(len(signal)), device=loss.device)

    def generate(self, mel: np.ndarray) -> np.ndarray:
        from evc2.vocoder.wavernn import WaveRNNVocoder

        vocoder = WaveRNNVocoder(self.contract, self.generator)
        return vocoder({"feats": mel}, contract=self.contract)
