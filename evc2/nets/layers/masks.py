"""Masks of padded batches."""

import torch


def length_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Mask [B, size] of the positions below ``lengths`` [B]: True where an item is, False where there is padding."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
