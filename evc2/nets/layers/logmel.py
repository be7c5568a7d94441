"""Log-mel spectrograms on the device of the signal, with gradients: what a contract's numpy analysis gives."""

import numpy as np
import torch
from torch import nn

from evc2.errors import UserError
from evc2.feats import mel
from evc2.feats.contract import FeatureContract


def padding(contract: FeatureContract) -> int:
    """Samples before the first one of the signal that the first frame sees.

    Raises:
        UserError: a contract without padding; its frames do not stand for samples from the first one on.
    """
    if contract.kind != "mel" or contract.pad == "none":
        raise UserError(
            f"contract '{contract.name}': a vocoder is trained on padded mel spectrograms, frame t for samples t * hop "
            f"to (t + 1) * hop; set pad: reflect (found kind {contract.kind}, pad {getattr(contract, 'pad', None)})"
        )
    return contract.n_fft // 2 if contract.center else (contract.n_fft - contract.hop) // 2


class LogMel(nn.Module):
    """The frames of signals that are padded already (a crop takes its padding from its neighbourhood).

    Args:
        contract: of kind "mel"; every key is followed.
    """

    def __init__(self, contract: FeatureContract):
        super().__init__()
        self.contract = contract
        self.register_buffer("window", torch.from_numpy(mel.window(contract)).float(), persistent=False)
        filters = torch.from_numpy(np.ascontiguousarray(mel.filterbank(contract))).float()
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, padded: torch.Tensor) -> torch.Tensor:
        """Signals [B, (F - 1) * hop + n_fft] at the contract's rate to log-mel [B, n_mels, F], in full precision."""
        with torch.autocast(padded.device.type, enabled=False):
            c = self.contract
            spec = torch.stft(padded.float(), c.n_fft, c.hop, window=self.window, center=False, return_complex=True)
            # abs() of a complex 0 has gradient 0, so silence needs no epsilon, which would raise the floor.
            magnitude = spec.abs()
            return self.compress(self.filters @ (magnitude if c.power == 1.0 else magnitude.square()))

    def whole(self, wav: torch.Tensor) -> torch.Tensor:
        """Whole signals [B, n], padded here as the contract says: [B, n_mels, T]; short ones as in :mod:`mel`."""
        c, side, length = self.contract, padding(self.contract), wav.shape[-1]
        wav = nn.functional.pad(wav, (0, mel.missing_to_mirror(length, side, c.pad)))
        wav = nn.functional.pad(wav[:, None], (side, side), mode=c.pad)[:, 0, : length + 2 * side]
        return self(nn.functional.pad(wav, (0, max(0, c.n_fft - wav.shape[-1]))))

    def compress(self, value: torch.Tensor) -> torch.Tensor:
        """Floor, logarithm and scale of mel values of any shape; see :func:`evc2.feats.mel.compress`."""
        c = self.contract
        value = value + c.floor if c.floor_place == "add" else value.clamp(min=c.floor)
        value = value.log() if c.log_base == "e" else value.log10()
        if c.log_base == "db":
            value = value * (20.0 / c.power)
        if c.scale != "none":
            low, high = c.scale
            value = ((value - low) / (high - low)).clamp(0.0, 1.0)
        return value
