"""WaveRNN behind the common interface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress
from evc2.vocoder.abs_vocoder import AbsVocoder, Feats, fit_length

if TYPE_CHECKING:
    from evc2.nets.wavernn import WaveRNN
    from evc2.nets.wavernn_generation import WaveRNNGenerator

EDGES = ("repeat", "silence")
#: Length of the final fade, where wanted.
FADE_FRAMES = 20


class WaveRNNVocoder(AbsVocoder):
    """Mels to a waveform, sample by sample.

    Args:
        contract: that the network was trained with.
        net: the network.
        device: torch device name to move it to; None leaves it where it is.
        folded, target, overlap, seed: see :meth:`evc2.nets.wavernn_generation.WaveRNNGenerator.__call__`.
        fast, compile, temperature: see :class:`evc2.nets.wavernn_generation.WaveRNNGenerator`. Compiling takes ten
            seconds or more once, and on a CPU it gained between nothing and a third: for long jobs only.
        edges: what the network sees beyond the ends: "repeat" the first and last frame (training meets no padding, so
            frames like the neighbours are the nearest to what it knows), or "silence" (published checkpoints).
        ahead: samples by which the network was trained to run ahead of its conditioning.
        fade: fade out over the last 20 frames, or over the whole of a shorter utterance.

    Raises:
        UserError: the network does not fit the contract, or an impossible option.
    """

    kind = "mel"

    def __init__(
        self,
        contract: FeatureContract,
        net: WaveRNN,
        device: str | None = None,
        folded: bool = True,
        target: int = 11000,
        overlap: int = 550,
        fast: bool = True,
        compile: bool = False,
        seed: int = 0,
        temperature: float = 1.0,
        edges: str = "repeat",
        ahead: int = 0,
        fade: bool = False,
    ) -> None:
        super().__init__(contract)
        if (net.n_mels, net.hop) != (contract.n_mels, contract.hop):
            raise UserError(
                f"this WaveRNN reads {net.n_mels} mels and makes {net.hop} samples a frame, but contract "
                f"'{contract.name}' has n_mels {contract.n_mels} and hop {contract.hop}"
            )
        if edges not in EDGES:
            raise UserError(f"WaveRNN edges: expected {' or '.join(EDGES)}, found '{edges}'{nearest(edges, EDGES)}")
        self.net = net if device is None else net.to(device)
        self.how = {"folded": folded, "target": target, "overlap": overlap, "seed": seed}
        self.prepared = {"fast": fast, "compiled": compile, "temperature": temperature}
        self.edges, self.ahead, self.fade = edges, ahead, fade

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
    ) -> WaveRNNVocoder:
        """WaveRNN from a folder of voc_train or a published checkpoint.

        Args:
            path: of the weights.
            contract: of the features to come.
            device: torch device name.
            conf: options as above.

        Raises:
            UserError: no path, weights of another vocoder, or features that cannot be converted.
        """
        if path is None:
            raise UserError("WaveRNN needs the path of its weights: none are ready-made")
        from evc2.vocoder.formats import load_vocoder

        vocoder = load_vocoder(path, contract, device, **conf)
        if not isinstance(vocoder, cls):
            raise UserError(f"{path}: these are the weights of another vocoder ({type(vocoder).__name__})")
        return vocoder

    @cached_property
    def generator(self) -> WaveRNNGenerator:
        """The network's weights as generation wants them, copied at the first synthesis."""
        from evc2.nets.wavernn_generation import WaveRNNGenerator

        return WaveRNNGenerator(self.net, **self.prepared)

    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """Mel spectrogram "feats" [T, n_mels] to float32 [T * hop], cut or zero-padded to ``length`` if given."""
        return self.synthesize_batch([feats], [length])[0]

    def synthesize_batch(self, feats: Sequence[Feats], lengths: Sequence[int | None]) -> list[np.ndarray]:
        """Several utterances, all of whose folds run side by side.

        Each draws the random numbers that it would draw alone; results differ from those only where the rounding of
        a larger matrix product lets a draw fall otherwise.
        """
        wavs = self.generator([self._mel(one) for one in feats], **self.how)
        return [self._finish(wav.numpy(), n) for wav, n in zip(wavs, lengths, strict=True)]

    def _mel(self, feats: Feats) -> Any:
        """[n_mels, T + 2 pad] on the network's device."""
        import torch

        if "feats" not in feats:
            raise UserError(f"WaveRNN synthesis needs feats, got {', '.join(sorted(feats)) or 'nothing'}")
        mel = np.asarray(feats["feats"], dtype=np.float32)
        if mel.ndim != 2 or mel.shape[1] != self.net.n_mels or not len(mel):
            raise UserError(f"WaveRNN synthesis needs feats of shape [T, {self.net.n_mels}], got {list(mel.shape)}")
        side = ((self.net.pad, self.net.pad), (0, 0))
        if self.edges == "repeat":
            mel = np.pad(mel, side, mode="edge")
        else:
            silence = compress(np.zeros((1, 1)), self.contract).item()
            mel = np.pad(mel, side, constant_values=silence)
        return torch.from_numpy(np.ascontiguousarray(mel.T)).to(next(self.net.parameters()).device)

    def _finish(self, wav: np.ndarray, length: int | None) -> np.ndarray:
        wav = np.pad(wav, (self.ahead, 0))[: len(wav)]
        if self.fade:
            n = min(len(wav), FADE_FRAMES * self.net.hop)  # short utterances fade as a whole
            wav[len(wav) - n :] *= np.linspace(1, 0, n, dtype=np.float32)
        return fit_length(wav, length)
