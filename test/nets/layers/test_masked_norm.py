"""Batch normalisation of what is there: equal to nn.BatchNorm1d on the valid rows."""

import pytest
import torch
from torch import nn

from evc2.nets.layers.masked_norm import MaskedBatchNorm
from evc2.nets.layers.masks import length_mask

MASK = length_mask(torch.tensor([6, 2, 4]), 6)


def pair() -> tuple[MaskedBatchNorm, nn.BatchNorm1d]:
    torch.manual_seed(0)
    ours, theirs = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    for net in (ours, theirs):
        net.weight.data = torch.linspace(0.5, 2, 5)
        net.bias.data = torch.linspace(-1, 1, 5)
    return ours, theirs


def batch(padding: float = 100.0) -> torch.Tensor:
    torch.manual_seed(1)
    x = 3 * torch.randn(3, 5, 6) + 7
    return torch.where(MASK[:, None], x, torch.tensor(padding))


def test_equals_batch_norm_of_the_valid_rows():
    ours, theirs = pair()
    for seed in range(3):  # running statistics too
        x = (batch() + seed).requires_grad_()
        rows = x.transpose(1, 2)[MASK].detach().requires_grad_()
        made, expected = ours(x, MASK), theirs(rows)
        torch.testing.assert_close(made.transpose(1, 2)[MASK], expected, rtol=1e-5, atol=1e-5)
        assert not made.transpose(1, 2)[~MASK].any()
        wanted = torch.randn_like(made)
        made.backward(wanted)
        expected.backward(wanted.transpose(1, 2)[MASK])
        torch.testing.assert_close(x.grad.transpose(1, 2)[MASK], rows.grad, rtol=1e-4, atol=1e-5)
        assert not x.grad.transpose(1, 2)[~MASK].any()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, rtol=1e-5, atol=1e-5)
    for name, value in theirs.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], value, rtol=1e-5, atol=1e-6)


def test_equals_it_in_evaluation():
    ours, theirs = pair()
    theirs(batch().transpose(1, 2)[MASK])
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    made = ours(batch(), MASK)
    torch.testing.assert_close(made.transpose(1, 2)[MASK], theirs(batch().transpose(1, 2)[MASK]))
    assert not made.transpose(1, 2)[~MASK].any()


@pytest.mark.parametrize("training", [True, False])
def test_padding_does_not_matter(training):
    ours, _ = pair()
    ours.train(training)
    first = ours(batch(0.0), MASK)
    torch.testing.assert_close(first, ours(batch(-50.0), MASK), rtol=1e-5, atol=1e-5)


def test_one_row_makes_no_infinite_variance():
    ours, _ = pair()
    ours(torch.randn(1, 5, 3), length_mask(torch.tensor([1]), 3))
    assert torch.isfinite(ours.running_var).all()
