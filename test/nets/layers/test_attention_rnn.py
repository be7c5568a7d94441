"""The attentive cell: equal to single steps by autograd, gradients included; where its weights may lie."""

import pytest
import torch
from torch.nn import functional as F

from evc2.nets.layers.attention_rnn import AttentionLoop, AttentionRNN, first_state
from evc2.nets.layers.masks import length_mask

KINDS = pytest.mark.parametrize("forward_attention", [False, True], ids=["whole", "forward"])


def small(forward_attention: bool, kernel: int = 3) -> AttentionRNN:
    torch.manual_seed(0)
    return AttentionRNN(4, 5, 6, 7, 2, kernel, forward_attention)


def inputs(steps: int = 6, places: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs [3, S, 4], memory [3, N, 5] and its mask, items of N, N - 4 and 1 places."""
    torch.manual_seed(1)
    mask = length_mask(torch.tensor([places, places - 4, 1]), places)
    return torch.randn(3, steps, 4), torch.randn(3, places, 5), mask


def plain(net: AttentionRNN, x: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    """States, contexts and weights, a step at a time; weights of forward attention as products of probabilities."""
    batch, places = mask.shape
    h, c, context = x.new_zeros(batch, 6), x.new_zeros(batch, 6), x.new_zeros(batch, 5)
    last, total = x.new_zeros(batch, places), x.new_zeros(batch, places)
    alpha = F.one_hot(torch.zeros(batch, dtype=torch.long), places).to(x.dtype)
    found = []
    for t in range(x.shape[1]):
        h, c = net.cell(torch.cat((x[:, t], context), 1), (h, c))
        near = net.location_out(net.location(torch.stack((last, total), 1)).transpose(1, 2))
        energies = net.score(torch.tanh(net.query(h)[:, None] + net.key(memory) + near))[..., 0]
        weights = energies.masked_fill(~mask, -torch.inf).softmax(1)
        if net.forward_attention:
            moved = F.pad(alpha[:, :-1], (1, 0))
            weights = (alpha + moved) * weights
            alpha = weights = weights / weights.sum(1, keepdim=True)
        context = (weights[..., None] * memory).sum(1)
        last, total = weights, total + weights
        found.append((h, context, weights))
    return [torch.stack(part, 1) for part in zip(*found, strict=True)]


@KINDS
def test_gradients_are_those_of_differences(forward_attention):
    torch.manual_seed(0)
    steps, batch, size, places, kernel = 4, 2, 3, 5, 3
    shapes = [
        (steps, batch, 4 * size), (batch, places, 4 * size), (4 * size, size), (2, size), (batch, 2, places),
        (2, 2 * kernel), (2,),
    ]  # fmt: skip
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    hidden = ~length_mask(torch.tensor([places, 3]), places)
    assert torch.autograd.gradcheck(AttentionLoop.apply, (*given, hidden, forward_attention))


@KINDS
@pytest.mark.parametrize("kernel", [1, 3, 21])
def test_equals_single_steps_by_autograd(forward_attention, kernel):
    net, (x, memory, mask) = small(forward_attention, kernel), inputs()
    x.requires_grad_(), memory.requires_grad_()
    given = {"x": x, "memory": memory, **dict(net.named_parameters())}
    ours, theirs = net(x, memory, mask), plain(net, x, memory, mask)
    wanted = [torch.randn_like(y) for y in theirs]
    for name, mine, other in zip(("states", "contexts", "weights"), ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    gradients = [torch.autograd.grad(y, given.values(), wanted) for y in (ours, theirs)]
    for name, mine, other in zip(given, *gradients, strict=True):
        assert other.any(), name
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@KINDS
def test_forward_equals_steps(forward_attention):
    net, (x, memory, mask) = small(forward_attention), inputs()
    states, contexts, weights = net(x, memory, mask)
    prepared = net.prepare(memory, mask)
    state = first_state(prepared, 6)
    for t, gates in enumerate(net.input_gates(x).unbind(1)):
        state = net.step(gates, prepared, state)
        torch.testing.assert_close(state.h, states[:, t], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(state.weights, weights[:, t], rtol=1e-5, atol=1e-6)
        context = torch.bmm(state.weights[:, None], memory)[:, 0]
        torch.testing.assert_close(context, contexts[:, t], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state.total, weights.sum(1), rtol=1e-5, atol=1e-6)


@KINDS
def test_weights_sum_to_one_and_none_is_on_padding(forward_attention):
    net, (x, memory, mask) = small(forward_attention), inputs()
    weights = net(x, memory, mask)[2]
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 6))
    assert (weights >= 0).all() and (weights[~mask[:, None].expand_as(weights)] == 0).all()
    assert (weights[2, :, 0] == 1).all()  # the only place of its item


@KINDS
def test_an_item_hears_neither_its_padding_nor_its_mates(forward_attention):
    net, (x, memory, mask) = small(forward_attention), inputs()
    alone = net(x[1:2], memory[1:2, :5], mask[1:2, :5])
    memory[1, 5:] = 1e3
    for mine, other in zip(net(x, memory, mask), alone, strict=True):
        torch.testing.assert_close(mine[1, :, : other.shape[2]], other[0], rtol=1e-5, atol=1e-6)


def test_forward_attention_moves_by_at_most_one_place_a_step():
    net, (x, memory, _) = small(True), inputs(steps=5)
    net.score.weight.data *= 20  # sure of where it would like to be
    weights = net(x, memory, torch.ones(3, 9, dtype=torch.bool))[2]
    for t in range(5):  # the first step may move from the first place already
        assert (weights[:, t, t + 2 :] == 0).all() and (weights[:, t, : t + 2].sum(1) > 0.999).all()
    prepared = net.prepare(memory[:1], torch.ones(1, 9, dtype=torch.bool))
    state = first_state(prepared, 6)
    gates = net.input_gates(x[:1, 0])
    sure = torch.full((1, 9), -1e20)
    sure[0, 4] = 0
    state.log_weights = sure
    assert net.step(gates, prepared, state).weights[0].nonzero()[:, 0].tolist() == [4, 5]


def test_even_energies_make_a_walk_of_coins():
    net, (x, memory, _) = small(True), inputs(steps=4)
    net.score.weight.data.zero_()
    weights = net(x, memory, torch.ones(3, 9, dtype=torch.bool))[2]
    expected = torch.tensor([1.0, 4, 6, 4, 1]) / 16  # binomial: each step stays or goes on
    torch.testing.assert_close(weights[0, -1, :5], expected)


def test_a_search_goes_on_with_the_states_it_picks():
    net, (x, memory, mask) = small(False), inputs()
    prepared = net.prepare(memory[:1], mask[:1])  # one memory
    state = first_state(prepared, 6)
    both = net.step(net.input_gates(x[:2, 0]), prepared, state)
    again = net.step(net.input_gates(x[[1, 1], 1]), prepared, both.pick(torch.tensor([1, 0])))
    alone = net(x[1:2, :2], memory[:1], mask[:1])
    torch.testing.assert_close(again.h[0], alone[0][0, 1], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(again.h[1], again.h[0])
