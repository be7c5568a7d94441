"""Networks over utterances of any length: overlapping windows of images, and pieces of a signal in their context."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

MOST_WINDOWS = 64  # in one pass: bounds the memory of a long recording, about 15 s of it


def over_windows(
    image: torch.Tensor,
    network: Callable[[torch.Tensor], list[torch.Tensor]],
    window: int,
    hop: int,
    most: int = MOST_WINDOWS,
) -> list[torch.Tensor]:
    """Pass an image through a network window by window, many windows at a time.

    Windows start every ``hop`` frames; what the last one reaches beyond the image is zero (silence), on its right.
    Every frame of the result is the mean over as many windows as cover it, also at the ends, where these are fewer.

    Args:
        image: [C, M, T].
        network: [W, C, M, window] -> a list of images [W, C, M, window].
        window, hop: in frames; hop at most window.
        most: windows in one pass.

    Returns:
        for each of the network's outputs the image [C, M, T].

    Raises:
        ValueError: an image without frames, or a hop beyond the window.
    """
    frames = image.shape[-1]
    if frames == 0 or not 1 <= hop <= window:
        raise ValueError(f"expected frames and a hop of 1 to {window}, got {frames} frames and {hop}")
    number = 1 + max(0, -(-(frames - window) // hop))
    length = window + (number - 1) * hop
    pieces = F.pad(image, (0, length - frames)).unfold(-1, window, hop).permute(2, 0, 1, 3)  # [W, C, M, window]
    sums: list[torch.Tensor] = []
    count = torch.zeros(length, device=image.device)
    for start in range(0, number, most):
        outs = network(pieces[start : start + most].contiguous())
        sums = sums or [torch.zeros(*out.shape[1:-1], length, device=out.device) for out in outs]
        for k in range(len(outs[0])):
            place = slice((start + k) * hop, (start + k) * hop + window)
            count[place] += 1
            for total, out in zip(sums, outs, strict=True):
                total[..., place] += out[k]
    return [(total / count)[..., :frames] for total in sums]


def in_pieces(generator: nn.Module, x: torch.Tensor, piece: int = 512) -> torch.Tensor:
    """Input [1, C, N] to a waveform [1, 1, N * hop], ``piece`` places at a time with all that a sample depends on."""
    total, reach, hop = x.shape[2], generator.context, generator.hop
    parts = []
    for start in range(0, total, piece):
        first, last = max(0, start - reach), min(total, start + piece + reach)
        wav = generator(x[:, :, first:last])
        parts.append(wav[:, :, (start - first) * hop : (min(start + piece, total) - first) * hop])
    return torch.cat(parts, 2)
