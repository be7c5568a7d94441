"""Griffin-Lim: a waveform whose spectrogram comes near the wanted one; no training, any mel contract."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.mel_conversion import expand
from evc2.vocoder.abs_vocoder import AbsVocoder, Feats, fit_length
from evc2.vocoder.mel_inversion import INVERSIONS, magnitude

#: Frames worked on at once: 60 MB of memory at 1024 samples a frame.
MAX_FRAMES = 4096


class GriffinLimVocoder(AbsVocoder):
    """Fast Griffin-Lim on the inverted mel; has no weights, so its contract is simply the features' contract."""

    kind = "mel"

    def __init__(
        self,
        contract: FeatureContract,
        device: str = "cpu",
        n_iter: int = 64,
        momentum: float = 0.99,
        inversion: str = "nnls",
        seed: int = 0,
    ) -> None:
        """See :meth:`from_pretrained`."""
        super().__init__(contract)
        if isinstance(n_iter, bool) or not isinstance(n_iter, int) or n_iter < 0:
            raise UserError(f"Griffin-Lim: n_iter: expected a whole number of 0 or more, found {n_iter}")
        if not 0.0 <= momentum <= 2.0:
            raise UserError(f"Griffin-Lim: momentum: expected 0 (the original algorithm) to 2, found {momentum}")
        if inversion not in INVERSIONS:
            near = nearest(str(inversion), INVERSIONS)
            raise UserError(f"Griffin-Lim: inversion: expected {' or '.join(INVERSIONS)}, found '{inversion}'{near}")
        self.device, self.n_iter, self.momentum, self.inversion, self.seed = device, n_iter, momentum, inversion, seed

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
    ) -> GriffinLimVocoder:
        """Griffin-Lim for ``contract``; there is nothing to load.

        Args:
            path: must be None.
            contract: of the features, kind "mel".
            device: torch device name.
            conf: n_iter (64), momentum (0.99), inversion ("nnls" or "pinv"), seed (0; of the first phases).

        Raises:
            UserError: no contract, one that is no mel, a path, or an unknown or impossible option.
        """
        if path is not None:
            raise UserError(f"Griffin-Lim has no weights to load: leave out '{path}'")
        if contract is None:
            raise UserError("Griffin-Lim needs the feature contract (conf/feats_<name>.yaml)")
        known = ("n_iter", "momentum", "inversion", "seed")
        for key in conf:
            if key not in known:
                near = nearest(key, known)
                raise UserError(f"Griffin-Lim has no option '{key}'{near}; it has {', '.join(known)}")
        return cls(contract, device, **conf)

    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """Log-mel "feats" [T, n_mels] to float32 [T * hop], in time with the wav that was analysed.

        With ``pad: none`` there are (T - 1) * hop + n_fft samples; ``length`` cuts or zero-pads to so many.
        """
        return self.synthesize_batch([feats], [length])[0]

    def synthesize_batch(self, feats: Sequence[Feats], lengths: Sequence[int | None]) -> list[np.ndarray]:
        """Several utterances in one computation; the result of one does not depend on the others.

        Raises:
            UserError: "feats" is missing, or not [T, n_mels] with finite values.
        """
        mels = [self._mel(one) for one in feats]
        wavs: list[np.ndarray] = []
        while len(wavs) < len(mels):
            frames = accumulate(len(mel) for mel in mels[len(wavs) :])
            fitting = sum(n <= MAX_FRAMES for n in frames)
            wavs += self._group(mels[len(wavs) : len(wavs) + max(1, fitting)])
        return [fit_length(wav, length) for wav, length in zip(wavs, lengths, strict=True)]

    def _mel(self, feats: Feats) -> np.ndarray:
        if "feats" not in feats:
            raise UserError(f"Griffin-Lim synthesis needs feats, got {', '.join(sorted(feats)) or 'nothing'}")
        mel = np.asarray(feats["feats"])
        if mel.ndim != 2 or len(mel) == 0 or mel.shape[1] != self.contract.n_mels or not np.isfinite(mel).all():
            flaw = "" if np.isfinite(mel).all() else " with NaN or infinity"
            raise UserError(
                f"Griffin-Lim synthesis needs finite log-mels [1 or more frames, {self.contract.n_mels}], "
                f"got an array of shape {list(mel.shape)}{flaw}"
            )
        return mel

    def _group(self, mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        import torch

        from evc2.vocoder.phases import griffin_lim

        with torch.inference_mode():
            values = expand(np.concatenate(mels), self.contract).astype(np.float32)
            spectra = magnitude(torch.from_numpy(values).to(self.device), self.contract, self.inversion)
            parts = list(spectra.split([len(mel) for mel in mels]))
            return [w.cpu().numpy() for w in griffin_lim(parts, self.contract, self.n_iter, self.momentum, self.seed)]
