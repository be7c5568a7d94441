"""Losses of systems that read text."""

import torch
from torch.nn import functional as F

from evc2.nets.layers.masks import length_mask


def mel_error(made: torch.Tensor, feats: torch.Tensor, lengths: torch.Tensor, twice: bool = False) -> torch.Tensor:
    """Mean absolute error over the frames that exist and all bands: [].

    Args:
        made, feats: [B, T, n_mels], alike where there is padding.
        lengths: frames [B].
        twice: divide that by the frames of each item once more and average, as published code (sic) does.
    """
    mask = length_mask(lengths, feats.shape[1])[..., None]
    mean = ((made.float() - feats).abs() * mask).sum() / feats.shape[2] / lengths.sum()
    return (mean / lengths).mean() if twice else mean


def emotion_error(logits: torch.Tensor, eids: torch.Tensor, binary: bool = False) -> torch.Tensor:
    """Mean cross entropy over the labelled utterances, 0 where there are none: [].

    Args:
        logits: scores of the emotions [B, E].
        eids: number of the emotion [B]; -1: unlabelled.
        binary: the binary cross entropy of each probability instead, as in published code.
    """
    labelled, known = eids >= 0, eids.clamp(min=0)
    if binary:
        # F.binary_cross_entropy refuses autocast; logarithms are clamped as it does.
        p, target = logits.float().softmax(-1), F.one_hot(known, logits.shape[1])
        terms = target * p.log().clamp(min=-100) + (1 - target) * (1 - p).log().clamp(min=-100)
        each = -terms.mean(-1)
    else:
        each = F.cross_entropy(logits.float(), known, reduction="none")
    return (each * labelled).sum() / labelled.sum().clamp(min=1)
