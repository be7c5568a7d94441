"""Convolutional vocoders (HiFi-GAN, MelGAN) behind the common interface: one network call for mel to waveform."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evc2.errors import UserError, check_keys
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress
from evc2.vocoder.abs_vocoder import AbsVocoder, Feats, fit_length

if TYPE_CHECKING:
    import torch

#: What must agree between a mel vocoder and its features; F0 does not matter to it.
MEL_KEYS = (
    *("kind", "rate", "n_fft", "hop", "win", "window", "center", "pad", "power", "n_mels", "fmin", "fmax"),
    *("mel_scale", "mel_norm", "log_base", "floor", "floor_place", "scale"),
)
#: Frames that go through the network at once, all utterances of a batch together; longer input is cut in pieces.
PIECE = 2048
#: A network of torch.compile sees lengths in steps of this many frames only.
BUCKET = 64


class ConvVocoder(AbsVocoder):
    """A generator of module call [B, n_mels, T] -> [B, 1, T * hop], with weight norm folded, in inference mode.

    Every utterance is followed by as many frames of silence as the network looks ahead, which are cut off again. So its
    waveform does not depend on what it shares a batch with, nor on the pieces that a long utterance is cut into.

    Args:
        contract: what the generator was trained on.
        generator: module with ``hop`` and ``context`` (see :func:`evc2.nets.hifigan.build_generator`).
        device: torch device name.
        mean, scale: [n_mels] each; the generator gets (mel - mean) / scale.
        compile: HiFi-GAN on CPU: compile parts of it in C (seconds, once a machine; without a compiler a line in the
            log, and the same result in more time). Elsewhere torch.compile (about a minute at the first call).
        dtype: float32, bfloat16 or float16 (the latter for GPUs).

    Raises:
        UserError: the generator's hop or bands are not the contract's, or an unknown dtype.
    """

    kind = "mel"
    keys = MEL_KEYS

    def __init__(
        self,
        contract: FeatureContract,
        generator: torch.nn.Module,
        device: str = "cpu",
        *,
        mean: np.ndarray | None = None,
        scale: np.ndarray | None = None,
        compile: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__(contract)
        import torch

        if generator.hop != contract.hop:
            raise UserError(
                f"the generator makes {generator.hop} samples a frame, but the contract '{contract.name}' has hop "
                f"{contract.hop}; choose upsample_scales whose product is {contract.hop}"
            )
        if dtype not in ("float32", "bfloat16", "float16"):
            raise UserError(f"vocoder option dtype: expected float32, bfloat16 or float16, found '{dtype}'")
        self.mean, self.scale = _statistics(mean, scale, contract.n_mels)
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        generator.remove_weight_norm()
        self.net = generator.eval().to(self.device, self.dtype)
        self.context = generator.context
        self._by_torch = False  # whether torch.compile is at work
        self._network = self._choose_network(compile)
        self._silence = compress(np.zeros(contract.n_mels), contract).astype(np.float32)

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
    ) -> AbsVocoder:
        """Vocoder from any file or folder that :mod:`evc2.vocoder.formats` knows."""
        if path is None:
            raise UserError("a neural vocoder needs weights: give the path of a checkpoint or of a voc_train folder")
        from evc2.vocoder.formats import load_vocoder

        return load_vocoder(path, contract, device, **conf)

    def _choose_network(self, compile: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        """The quickest form of the generator: [B, n_mels, T] -> [B, 1, T * hop]."""
        import torch

        from evc2.nets.fast_hifigan import FastHiFiGAN, supported

        if supported(self.net):
            try:
                return FastHiFiGAN(self.net, compile=compile)
            except OSError as error:
                logging.warning("the vocoder runs uncompiled: %s", error)
                return FastHiFiGAN(self.net)
        self._by_torch = compile
        return torch.compile(self.net) if compile else self.net

    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """Mel spectrogram "feats" [T, n_mels] to float32 [T * hop], cut or zero-padded to ``length`` if given.

        Raises:
            UserError: no "feats", a wrong number of bands, no frame, NaN or infinity.
        """
        return self.synthesize_batch([feats], [length])[0]

    def synthesize_batch(self, feats: Sequence[Feats], lengths: Sequence[int | None]) -> list[np.ndarray]:
        """Several utterances, those of similar length together; each result as from :meth:`synthesize` alone."""
        mels = [self._checked(one) for one in feats]
        wavs: list[np.ndarray] = [np.zeros(0, np.float32)] * len(mels)
        for group in _groups([len(mel) + self.context for mel in mels], PIECE):
            made = self._generate([mels[i] for i in group])
            for i, wav in zip(group, made, strict=True):
                wavs[i] = fit_length(wav[: len(mels[i]) * self.contract.hop], lengths[i])
        return wavs

    def _checked(self, feats: Feats) -> np.ndarray:
        if "feats" not in feats:
            raise UserError(f"vocoder: expected an array 'feats', got {', '.join(sorted(feats)) or 'nothing'}")
        mel = np.asarray(feats["feats"], dtype=np.float32)
        bands = self.contract.n_mels
        if mel.ndim != 2 or mel.shape[1] != bands or not len(mel):
            raise UserError(f"vocoder: expected mel features [frames, {bands}] of one frame or more, found {mel.shape}")
        if not np.isfinite(mel).all():
            raise UserError("vocoder: the mel features hold NaN or infinity; the system that made them has diverged")
        return mel

    def _generate(self, mels: Sequence[np.ndarray]) -> np.ndarray:
        """Mels [T_i, n_mels] to [B, samples], of which the first T_i * hop count."""
        import torch

        frames = max(len(mel) for mel in mels) + self.context
        if self._by_torch:
            frames = -(-frames // BUCKET) * BUCKET
        batch = np.tile(self._silence, (len(mels), frames, 1))
        for row, mel in zip(batch, mels, strict=True):
            row[: len(mel)] = mel
        if self.mean is not None:
            batch = (batch - self.mean) / self.scale
        x = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 2, 1))).to(self.device, self.dtype)
        with torch.inference_mode():
            wav = self._in_pieces(x)
        return wav.float().cpu().numpy()

    def _in_pieces(self, x: torch.Tensor) -> torch.Tensor:
        """[B, n_mels, T] to [B, T * hop]; the memory needed does not grow with T."""
        import torch

        total, hop, context = x.shape[2], self.contract.hop, self.context
        if total <= PIECE:
            return self._call(x)[:, 0]
        parts = []
        for start in range(0, total, PIECE):
            first, end = max(0, start - context), min(total, start + PIECE)
            part = self._call(x[:, :, first : min(total, end + context)])[:, 0]
            parts.append(part[:, (start - first) * hop : (end - first) * hop])
        return torch.cat(parts, dim=1)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        if not self._by_torch:
            return self._network(x)
        try:
            return self._network(x)
        except Exception as error:  # a missing compiler surfaces as one of several classes of torch._inductor
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            logging.warning("the vocoder runs uncompiled: torch.compile failed (%s)", reason)
            self._network = self._choose_network(compile=False)
            return self._network(x)


def check_options(conf: dict[str, Any]) -> None:
    """Raise UserError for a key that is no option of :class:`ConvVocoder` (compile, dtype)."""
    check_keys(_options, conf, "options of this vocoder")


def _options(compile: bool = False, dtype: str = "float32") -> None:
    """The options that a user may give; for their names only."""


def _statistics(
    mean: np.ndarray | None, scale: np.ndarray | None, bands: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if mean is None and scale is None:
        return None, None
    both = [np.asarray(v, dtype=np.float32).reshape(-1) for v in (mean, scale) if v is not None]
    if len(both) != 2 or any(v.shape != (bands,) or not np.isfinite(v).all() for v in both) or not (both[1] > 0).all():
        raise UserError(f"statistics of the mel: expected a mean and a positive scale for each of {bands} bands")
    return both[0], both[1]


def _groups(frames: Sequence[int], budget: int) -> list[list[int]]:
    """Indices grouped by length so that each group, padded to its longest, has at most ``budget`` frames (or one)."""
    groups: list[list[int]] = []
    for i in sorted(range(len(frames)), key=lambda i: frames[i], reverse=True):
        if groups and frames[groups[-1][0]] * (len(groups[-1]) + 1) <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
