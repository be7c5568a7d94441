"""Random changes of log-mel spectrograms that leave words and emotion what they are."""

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Augment:
    """Speaking rate, pitch, vocal tract length, level and tilt; and missing pieces. Drawn anew for every item.

    Attributes:
        stretch: time is scaled by up to exp(+-stretch).
        shift: the spectrum moves by up to this many bands of 64 (pitch and vocal tract).
        scale: the mel axis is scaled by up to exp(+-scale) (vocal tract; Jaitly and Hinton 2013, VTLP).
        gain, tilt: deviations in nats of the level and of half the difference between lowest and highest band.
        masks: bands and pieces of time that are taken away (Park et al. 2019, SpecAugment), so many each.
        mask_bands, mask_frames: their greatest widths.
    """

    stretch: float = 0.12
    shift: float = 3.0
    scale: float = 0.08
    gain: float = 0.4
    tilt: float = 0.3
    masks: int = 2
    mask_bands: int = 10
    mask_frames: int = 17

    def warp(self, feats: torch.Tensor) -> torch.Tensor:
        """Another rate, voice, level and room: log-mel [B, T, F] -> [B, T, F]."""
        batch, frames, bands = feats.shape
        device = feats.device

        def uniform(limit: float) -> torch.Tensor:
            return (torch.rand(batch, device=device) * 2 - 1) * limit

        grid = torch.zeros(batch, 2, 3, device=device)
        grid[:, 1, 1] = uniform(self.stretch).exp()
        grid[:, 0, 2] = uniform(self.shift) * 2 / 64
        grid[:, 0, 0] = uniform(self.scale).exp()
        places = functional.affine_grid(grid, [batch, 1, frames, bands], align_corners=False)
        x = functional.grid_sample(feats[:, None], places, padding_mode="reflection", align_corners=False)[:, 0]
        x = x + torch.randn(batch, 1, 1, device=device) * self.gain
        return x + torch.randn(batch, 1, 1, device=device) * self.tilt * torch.linspace(-1, 1, bands, device=device)

    def mask(self, feats: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
        """Take pieces away: log-mel [B, T, F] -> [B, T, F]; fill [F] stands in their places."""
        batch, frames, bands = feats.shape
        for _ in range(self.masks):
            feats = torch.where(_pieces(batch, bands, self.mask_bands, feats.device)[:, None, :], fill, feats)
            feats = torch.where(_pieces(batch, frames, self.mask_frames, feats.device)[:, :, None], fill, feats)
        return feats


def _pieces(batch: int, size: int, widest: int, device: torch.device) -> torch.Tensor:
    """[B, size] bool: one run of 0 .. widest places an item."""
    width = torch.randint(0, min(widest, size) + 1, (batch, 1), device=device)
    start = (torch.rand(batch, 1, device=device) * (size - width + 1)).long()
    place = torch.arange(size, device=device)
    return (place >= start) & (place < start + width)
