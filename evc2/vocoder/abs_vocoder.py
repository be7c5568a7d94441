"""The one interface of all vocoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

#: Features of one utterance: name -> array whose first axis is time.
Feats = Mapping[str, np.ndarray]


class AbsVocoder(ABC):
    """Features of :attr:`contract` to a waveform at ``contract.rate``.

    The features' own contract is a required argument of every call: a vocoder fed with features of another
    definition still produces sound, only a bad one, so the comparison is not left to the caller's memory.
    """

    #: The contract kind that this vocoder serves ("world" or "mel").
    kind: ClassVar[str]
    #: Keys of the contract that must agree with the features' (None: all of them).
    keys: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, contract: FeatureContract) -> None:
        if contract.kind != self.kind:
            raise UserError(
                f"vocoder {type(self).__name__} needs features of kind '{self.kind}', "
                f"but contract '{contract.name}' is of kind '{contract.kind}'"
            )
        self.contract = contract

    @classmethod
    @abstractmethod
    def from_pretrained(
        cls, path: str | Path | None = None, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
    ) -> AbsVocoder:
        """Vocoder from its stored weights.

        Args:
            path: weights or model directory; None for vocoders without weights.
            contract: contract of the features to come; required where the weights do not carry one, otherwise compared.
            device: torch device name.

        Raises:
            UserError: missing or foreign weights, or contracts that differ.
        """

    @abstractmethod
    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """One utterance: features to float32 mono [n]; ``length`` cuts or zero-pads to exactly that many samples."""

    def __call__(
        self,
        feats: Feats | Sequence[Feats],
        *,
        contract: FeatureContract,
        length: int | Sequence[int | None] | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """Synthesise one utterance, or a list of them.

        Args:
            feats: arrays by name ([T, ...] each), or a sequence of such mappings.
            contract: contract that the features were made with.
            length: samples wanted; for a sequence of utterances a sequence of the same length.

        Returns:
            float32 mono wav at ``contract.rate``; a list of wavs for a sequence.

        Raises:
            UserError: the features' contract differs from the vocoder's (each differing key is named).
        """
        self.contract.require_same(contract, mine="vocoder", theirs="features", keys=self.keys)
        if isinstance(feats, Mapping):
            if isinstance(length, Sequence):
                raise ValueError("one utterance takes one length")
            return self.synthesize(feats, length)
        lengths = list(length) if isinstance(length, Sequence) else [length] * len(feats)
        return [self.synthesize(one, n) for one, n in zip(feats, lengths, strict=True)]
