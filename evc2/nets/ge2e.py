"""The GE2E voice encoder: a wav becomes one vector that tells its speaker from others.

Source: Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018, in the form whose weights the
package Resemblyzer (Resemble AI, Apache 2.0) carries: three LSTM layers of 256 on 40 mel bands, a linear layer, ReLU,
unit length. Only the file of weights is used, so that nothing else of that package need work here.

The package cuts pauses by a voice activity detector of its own before it embeds. Here the caller gives speech: see
:meth:`VoiceEncoder.embed`.
"""

from __future__ import annotations

import os
import pickle
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from evc2.errors import UserError
from evc2.feats import mel
from evc2.feats.contract import FeatureContract

RATE = 16000
HOP = 160
SIZE = 256
"""Values of an embedding."""

PARTIAL = 160
"""Frames (1.6 s) that the network sees at once; it was trained on pieces of this length."""

STEP = 77
"""Frames between the starts of two pieces: 1.3 pieces a second, so that they overlap by half."""

COVERAGE = 0.75
"""A last piece of which less than this share is signal is left out, unless it is the only one."""

LEVEL_DB = -30.0
"""RMS level (dB below full scale) to which quieter signals are raised; louder ones stay as they are."""


@lru_cache(maxsize=1)
def _contract() -> FeatureContract:
    return FeatureContract.from_dict(
        {
            "name": "ge2e",
            "kind": "mel",
            "rate": RATE,
            "n_fft": 400,
            "hop": HOP,
            "win": 400,
            "window": "hann",
            "center": True,
            "pad": "constant",
            "power": 2,
            "n_mels": 40,
            "fmin": 0,
            "fmax": RATE / 2,
            "mel_scale": "slaney",
            "mel_norm": "slaney",
            "log_base": "e",
            "floor": 1e-10,
            "floor_place": "clip",
            "scale": "none",
        }
    )


def mel_power(wav: np.ndarray) -> np.ndarray:
    """The network's input: mel bands of the power spectrum, no logarithm: [n] at 16 kHz -> [n // 160 + 1, 40]."""
    contract = _contract()
    return (mel.spectrum(wav, contract) ** 2 @ mel.filterbank(contract).T).astype(np.float32)


def raise_level(wav: np.ndarray) -> np.ndarray:
    """A signal [n] quieter than ``LEVEL_DB`` (RMS) at that level; others unchanged. ValueError for digital silence."""
    rms = float(np.sqrt(np.mean(np.square(wav, dtype=np.float64)))) if len(wav) else 0.0
    if not rms > 0 or not np.isfinite(rms):
        raise ValueError("no speaker can be told of an empty or silent signal, or one with NaN or infinity")
    return wav * max(1.0, 10 ** (LEVEL_DB / 20) / rms)


def piece_starts(n_samples: int) -> list[int]:
    """First frames of the overlapping pieces of ``PARTIAL`` frames that cover a signal; at least one."""
    frames = n_samples // HOP + 1
    starts = list(range(0, max(1, frames - PARTIAL + STEP + 1), STEP))
    if len(starts) > 1 and n_samples - starts[-1] * HOP < COVERAGE * PARTIAL * HOP:
        starts.pop()
    return starts


class VoiceEncoder(nn.Module):
    """Mel power of pieces [B, T, 40] -> embeddings [B, 256], not negative, of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, SIZE)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """The last layer's state after the last frame, through the linear layer; see the class."""
        _, (hidden, _) = self.lstm(mels)
        found = torch.relu(self.linear(hidden[-1]))
        return found / found.norm(dim=1, keepdim=True).clamp_min(1e-12)

    @torch.inference_mode()
    def embed(self, wav: np.ndarray) -> np.ndarray:
        """One embedding of an utterance: the mean over its pieces, scaled to unit length.

        Args:
            wav: [n] speech at 16 kHz, long silences removed; below 1.6 s it is filled up with zeros.

        Returns:
            [256] float32, each value 0 .. 1, of length 1.

        Raises:
            ValueError: an empty or silent signal, NaN or infinity.
        """
        wav = raise_level(np.asarray(wav))
        starts = piece_starts(len(wav))
        wav = np.pad(wav, (0, max(0, (starts[-1] + PARTIAL) * HOP - len(wav))))
        frames = mel_power(wav)
        pieces = np.stack([frames[start : start + PARTIAL] for start in starts])
        mean = self(torch.from_numpy(pieces).to(self.linear.weight.device)).mean(dim=0).cpu().numpy()
        return mean / np.linalg.norm(mean)


def load(path: str | os.PathLike[str]) -> VoiceEncoder:
    """The encoder with the weights of Resemblyzer's ``pretrained.pt``, on the CPU, for inference.

    Raises:
        UserError: a missing file, or one that does not hold these weights.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        # The file also holds the optimiser, and two numbers of the training loss.
        weights = {name: value for name, value in content["model_state"].items() if "similarity" not in name}
        encoder = VoiceEncoder()
        encoder.load_state_dict(weights)
    except OSError as error:
        raise UserError(f"{path}: cannot read the voice encoder's weights: {error.strerror or error}") from None
    except (RuntimeError, KeyError, TypeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: expected the weights of Resemblyzer's voice encoder (pretrained.pt): {text}"
        ) from None
    return encoder.eval().requires_grad_(False)
