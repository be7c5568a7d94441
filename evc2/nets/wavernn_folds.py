"""Folds: overlapping stretches of an utterance that are generated side by side and joined by cross-fades.

The scheme is fatchord/WaveRNN's: neighbours share ``overlap`` samples. Every fold starts from an empty memory, so the
first half of the overlap is for warming up and is heard from the earlier fold; the second half cross-fades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def fold_starts(length: int, target: int, overlap: int) -> list[int]:
    """First samples of the folds, each of target + 2 overlap samples, that cover ``length`` samples."""
    folds = 1 + max(0, math.ceil((length - target - 2 * overlap) / (target + overlap)))
    return [i * (target + overlap) for i in range(folds)]


def join(pieces: Sequence[torch.Tensor], overlap: int) -> torch.Tensor:
    """Folds [n] each to one signal; the first fold's beginning and the last one's end stay as they are.

    The cross-fade has equal power, sqrt(0.5 (1 - t)) and sqrt(0.5 (1 + t)) for t from -1 to 1, because independent
    draws add in power.
    """
    quiet = overlap // 2
    t = torch.linspace(-1, 1, overlap - quiet)
    fade_in = torch.cat([torch.zeros(quiet), torch.sqrt(0.5 * (1 + t))])
    fade_out = torch.cat([torch.ones(quiet), torch.sqrt(0.5 * (1 - t))])
    done, end = [], pieces[0]
    for piece in pieces[1:]:
        cut = len(end) - overlap
        done += [end[:cut], end[cut:] * fade_out + piece[:overlap] * fade_in]
        end = piece[overlap:]
    return torch.cat([*done, end])
