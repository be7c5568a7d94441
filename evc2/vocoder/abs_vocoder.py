"""The one interface of all vocoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

if TYPE_CHECKING:
    from torch import nn

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
    #: The network that makes the sound, from which a training may start (None: there is none).
    net: nn.Module | None = None

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

    def adapter(self, contract: FeatureContract, theirs: str = "features") -> Callable[[np.ndarray], np.ndarray]:
        """What turns "feats" of another contract into this vocoder's, exactly; the identity where they agree.

        Raises:
            UserError: no exact conversion exists (each differing key is named).
        """
        if self.kind == "mel" and contract.kind == "mel":
            from evc2.feats.mel_conversion import converter

            return converter(contract, self.contract, source_name=theirs, target_name="vocoder")
        self.contract.require_same(contract, mine="vocoder", theirs=theirs, keys=self.keys)
        return lambda feats: feats

    @abstractmethod
    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """One utterance: features to float32 mono [n]; ``length`` cuts or zero-pads to exactly that many samples."""

    def synthesize_batch(self, feats: Sequence[Feats], lengths: Sequence[int | None]) -> list[np.ndarray]:
        """Several utterances, one by one unless overridden; each gets what :meth:`synthesize` gives it alone."""
        return [self.synthesize(one, n) for one, n in zip(feats, lengths, strict=True)]

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
            UserError: the features' contract differs from the vocoder's, and cannot be converted exactly.
        """
        adapt = self.adapter(contract)
        if isinstance(feats, Mapping):
            if isinstance(length, Sequence):
                raise ValueError("one utterance takes one length")
            return self.synthesize(_adapted(feats, adapt), length)
        lengths = list(length) if isinstance(length, Sequence) else [length] * len(feats)
        if len(lengths) != len(feats):
            raise ValueError(f"{len(feats)} utterances, but {len(lengths)} lengths")
        return self.synthesize_batch([_adapted(one, adapt) for one in feats], lengths)


def _adapted(feats: Feats, adapt: Callable[[np.ndarray], np.ndarray]) -> Feats:
    return {**feats, "feats": adapt(feats["feats"])} if "feats" in feats else feats


def fit_length(wav: np.ndarray, length: int | None) -> np.ndarray:
    """Cut [n] at the end or fill it up with zeros to ``length`` samples; None leaves it as it is."""
    return wav if length is None else np.pad(wav[:length], (0, max(0, length - len(wav))))
