"""What all trainable vocoders share: mels made on the device from crops of the waveform, and their place in time."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from evc2.feats.contract import FeatureContract
from evc2.nets.layers.logmel import LogMel, padding
from evc2.nets.vocoders import build_generator, copy_weights
from evc2.train.abs_model import AbsTurnModel


class AbsVocoderModel(AbsTurnModel):
    """A vocoder in training; ``generator`` is the network that synthesis needs.

    A batch holds ``wav`` [B, (F - 1) * hop + n_fft]: all samples that the F frames of the crop are computed from, so
    that they equal those of the whole utterance. ``feats`` [B, F, n_mels], where given, replace them as the input:
    mels that a conversion system generated, frame by frame in time with the recording (fine-tuning).

    Args:
        contract: of the mel spectrogram.
        net: kind of the generator, see :mod:`evc2.nets.vocoders`.
        generator: its arguments.
        context: frames on either side of a crop that only the input needs.
    """

    collation: ClassVar[str] = "crop"
    required: ClassVar[tuple[str, ...]] = ("wav",)

    def __init__(self, contract: FeatureContract, net: str, generator: Mapping[str, Any] | None, context: int = 0):
        super().__init__()
        self.contract, self.net, self.context = contract, net, context
        self.side = padding(contract)
        self.logmel = LogMel(contract)
        self.generator = build_generator(net, generator or {}, contract)

    def inputs(
        self, wav: torch.Tensor, feats: torch.Tensor | None = None, before: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Input mel [B, n_mels, F] and the samples that the frames inside the context stand for.

        Args:
            wav, feats: as in a batch.
            before: further samples wanted before the first.

        Returns:
            mel [B, n_mels, F] and signal [B, before + (F - 2 * context) * hop].
        """
        hop = self.contract.hop
        mel = self.logmel(wav) if feats is None else feats.transpose(1, 2)
        start = self.side + self.context * hop
        return mel, wav[:, start - before : start + (mel.shape[2] - 2 * self.context) * hop]

    def start_from(self, generator: nn.Module) -> None:
        """Take the weights of a generator that synthesises already, in which weight norm is folded or not.

        Raises:
            UserError: another kind of network, or other sizes.
        """
        copy_weights(generator, self.generator)

    @abstractmethod
    def generate(self, mel: np.ndarray) -> np.ndarray:
        """Mel [T, n_mels] of the contract to float32 [T * hop] by the present weights; for listening while training."""
