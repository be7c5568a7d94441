"""Masks of padded batches."""

import torch

from evc2.nets.layers.masks import length_mask


def test_length_mask():
    assert length_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]
