"""Losses and figures of sequence-to-sequence systems: known answers, padding."""

import math

import pytest
import torch
from torch.nn import functional as F

from evc2.losses.seq2seq import (
    class_error,
    contrastive,
    diagonality,
    end_targets,
    guided_attention,
    masked_mean,
    undecided,
)
from evc2.nets.layers.masks import length_mask

MASK = length_mask(torch.tensor([4, 2]), 4)


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def even(size: int, places: int) -> torch.Tensor:
    """Attention that is spread evenly."""
    return torch.full((1, size, places), 1 / places)


def test_masked_mean():
    x = torch.tensor([[1.0, 2, 3, 4], [5, 6, 99, torch.inf]])
    assert masked_mean(x, MASK) == pytest.approx(21 / 6)
    assert masked_mean(torch.stack((x, x + 1), 2)[:1], MASK[:1]) == pytest.approx(3.0)  # a mask of the first dimensions
    assert masked_mean(x, torch.zeros_like(MASK)) == 0


def test_contrastive_of_the_same_unit_vectors_is_nothing():
    same = torch.eye(4)[None]
    assert contrastive(same, same, ones(1, 4)) == 0  # at their places distance 0, elsewhere 2, beyond the margin of 1
    assert contrastive(3 * same, 0.1 * same, ones(1, 4)) == pytest.approx(0, abs=1e-6)  # lengths do not matter


def test_contrastive_of_vectors_that_share_nothing_is_2_at_the_diagonal():
    every = torch.eye(8)
    assert contrastive(every[None, :4], every[None, 4:], ones(1, 4)) == pytest.approx(2 * 4 / 16)


def test_contrastive_of_one_vector_everywhere_is_1_off_the_diagonal():
    x = F.one_hot(torch.zeros(1, 4, dtype=torch.long), 8).float()
    assert contrastive(x, x, ones(1, 4)) == pytest.approx(12 / 16)


def test_contrastive_within_the_margin_by_hand():
    angle = 0.6  # of two unit vectors: squared distance 2 - 2 cos
    x = torch.tensor([[[1.0, 0], [math.cos(angle), math.sin(angle)]]])
    apart = 2 - 2 * math.cos(angle)
    assert contrastive(x, x, ones(1, 2)).item() == pytest.approx(2 * (1 - apart) / 4, rel=1e-5)
    assert contrastive(x, x.flip(1), ones(1, 2)).item() == pytest.approx((2 * apart + 2) / 4, rel=1e-5)


def test_padding_leaks_into_neither_values_nor_gradients():
    found = []
    for seed in (0, 1):
        torch.manual_seed(0)
        text, audio, logits = torch.randn(2, 4, 5), torch.randn(2, 4, 5), torch.randn(2, 4, 3)
        torch.manual_seed(seed)  # of the padding alone
        given = [torch.where(MASK[..., None], x, 100 * torch.randn(x.shape)).requires_grad_() for x in (text, audio)]
        scores = torch.where(MASK[..., None], logits, 100 * torch.randn(logits.shape)).requires_grad_()
        error, right = class_error(scores, torch.tensor([[0, 1, 2, 0], [1, 1, 0, 2]]), MASK)
        losses = torch.stack((contrastive(*given, MASK), undecided(scores, MASK), error))
        gradients = torch.autograd.grad(losses.sum(), [*given, scores])
        assert all(not gradient[~MASK].any() and gradient[MASK].any() for gradient in gradients)
        found.append([losses, right, *gradients])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_items_of_a_batch_count_by_their_pairs():
    torch.manual_seed(0)
    text, audio = torch.randn(2, 4, 5), torch.randn(2, 4, 5)
    alone = [contrastive(text[i : i + 1, :n], audio[i : i + 1, :n], ones(1, n)) for i, n in enumerate((4, 2))]
    expected = (16 * alone[0] + 4 * alone[1]) / 20
    torch.testing.assert_close(contrastive(text, audio, MASK), expected)


def test_undecided_is_0_for_even_posteriors_and_greatest_for_sure_ones():
    assert undecided(torch.full((1, 4, 3), 7.0), ones(1, 4)) == 0
    sure = 100 * F.one_hot(torch.zeros(1, 4, dtype=torch.long), 3).float()
    assert undecided(sure, ones(1, 4)) == pytest.approx(((2 / 3) ** 2 + 2 / 9) / 3)


def test_class_error_counts_what_has_a_label():
    logits = torch.tensor([[2.0, 0, -1], [0, 1, 0], [5, 0, 0]])
    error, right = class_error(logits, torch.tensor([0, 2, -1]), ones(3))
    expected = F.cross_entropy(logits[:2], torch.tensor([0, 2]))
    assert error.item() == pytest.approx(expected.item()) and right == 0.5
    error, right = class_error(logits, torch.full((3,), -1), ones(3))
    assert error == 0 and right == 0
    assert class_error(torch.zeros(2, 3, 7), torch.zeros(2, 3, dtype=torch.long), ones(2, 3))[0] == pytest.approx(
        math.log(7)
    )


@pytest.mark.parametrize(
    "reduction, expected",
    [
        (1, [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]]),
        (2, [[0, 1, 1], [0, 0, 1]]),  # of 4 frames the second step holds the last, of 5 the third
        (3, [[0, 1], [0, 1]]),
        (5, [[1, 1], [1, 1]]),
    ],
)
def test_end_targets(reduction, expected):
    assert end_targets(torch.tensor([4, 5]), len(expected[0]), reduction).tolist() == expected


def test_guided_attention_by_hand():
    whole = torch.tensor([2])
    assert guided_attention(torch.eye(2)[None], whole, whole) == 0
    crossed = guided_attention(torch.eye(2).flip(0)[None], whole, whole)
    assert crossed.item() == pytest.approx(1 - math.exp(-(0.5**2) / (2 * 0.4**2)))
    narrow = guided_attention(torch.eye(2).flip(0)[None], whole, whole, width=0.1)
    assert narrow.item() == pytest.approx(1 - math.exp(-(0.5**2) / (2 * 0.1**2)))


def test_guided_attention_of_a_straight_walk_is_next_to_nothing():
    steps, places = torch.tensor([60]), torch.tensor([12])
    straight = F.one_hot(torch.arange(60) // 5, 12).float()[None]
    assert guided_attention(straight, places, steps) < 0.01
    assert guided_attention(straight.flip(1), places, steps) > 0.4
    assert guided_attention(even(60, 12), places, steps) > 10 * guided_attention(straight, places, steps)


def test_diagonality_of_small_cases():
    one, two = torch.tensor([1]), torch.tensor([2])
    assert diagonality(torch.ones(1, 1, 1), one, one).tolist() == [1]
    assert diagonality(torch.eye(2)[None], two, two).tolist() == [1]
    assert diagonality(torch.eye(2).flip(0)[None], two, two).tolist() == [0]
    assert diagonality(even(2, 2), two, two).tolist() == [0.5]  # half of the weight lies at gaps of 0, half at 1/2


@pytest.mark.parametrize("steps, places", [(50, 20), (200, 30), (70, 150), (400, 100)])
def test_diagonality_of_even_attention_is_that_of_the_band(steps, places):
    found = diagonality(even(steps, places), torch.tensor([places]), torch.tensor([steps]))
    assert found.item() == pytest.approx(1 - 0.85**2, abs=0.02)  # the area of |x - y| <= 0.15 in the unit square
    straight = F.one_hot(torch.arange(steps) * places // steps, places).float()[None]
    assert diagonality(straight, torch.tensor([places]), torch.tensor([steps])).item() == pytest.approx(1)


def test_attention_beyond_an_item_does_not_count():
    lengths, steps = torch.tensor([5, 3]), torch.tensor([10, 4])
    torch.manual_seed(0)
    weights = torch.rand(2, 10, 5).softmax(2)
    other = weights.clone()
    other[1, 4:], other[1, :, 3:] = 7.0, 7.0
    assert guided_attention(weights, lengths, steps) == guided_attention(other, lengths, steps)
    assert torch.equal(diagonality(weights, lengths, steps), diagonality(other, lengths, steps))
    alone = diagonality(weights[1:, :4, :3], lengths[1:], steps[1:])
    torch.testing.assert_close(diagonality(weights, lengths, steps)[1:], alone)
    parts = [guided_attention(weights[i : i + 1, :s, :n], lengths[i : i + 1], steps[i : i + 1])
             for i, (s, n) in enumerate(((10, 5), (4, 3)))]  # fmt: skip
    torch.testing.assert_close(guided_attention(weights, lengths, steps), (10 * parts[0] + 4 * parts[1]) / 14)
