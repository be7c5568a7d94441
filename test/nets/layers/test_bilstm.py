"""Bidirectional LSTM over padded batches: equal to nn.LSTM over packed ones."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from evc2.nets.layers.bilstm import BiLSTM, reversed_items

LENGTHS = torch.tensor([3, 8, 1, 5])


def packed(net: BiLSTM) -> nn.LSTM:
    """nn.LSTM with the same weights."""
    first = net.ahead[0]
    found = nn.LSTM(first.input_size, first.hidden_size, len(net.ahead), batch_first=True, bidirectional=True)
    state = {}
    for end, layers in (("", net.ahead), ("_reverse", net.back)):
        for number, layer in enumerate(layers):
            for name, value in layer.named_parameters():
                state[f"{name.removesuffix('_l0')}_l{number}{end}"] = value.data
    found.load_state_dict(state)
    return found


@pytest.mark.parametrize("layers", [1, 2])
def test_equals_packed_sequences(layers):
    torch.manual_seed(0)
    net = BiLSTM(4, 3, layers).train()
    theirs = packed(net)
    x = torch.randn(4, 8, 4, requires_grad=True)
    made = net(x, LENGTHS)
    out, _ = theirs(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(out, batch_first=True, total_length=8)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
    wanted = torch.randn_like(made)
    own = [net.ahead[0].weight_hh_l0, net.back[-1].weight_ih_l0, net.back[0].bias_ih_l0]
    last = layers - 1
    other = [theirs.weight_hh_l0, getattr(theirs, f"weight_ih_l{last}_reverse"), theirs.bias_ih_l0_reverse]
    pairs = zip(
        torch.autograd.grad(made, (x, *own), wanted), torch.autograd.grad(expected, (x, *other), wanted), strict=True
    )
    for mine, reference in pairs:
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)


def test_an_item_hears_neither_its_padding_nor_its_mates():
    torch.manual_seed(0)
    net = BiLSTM(4, 3, 2)
    x = torch.randn(4, 8, 4)
    alone = [net(x[i : i + 1, :n], LENGTHS[i : i + 1])[0] for i, n in enumerate(LENGTHS.tolist())]
    x[torch.arange(8) >= LENGTHS[:, None]] = 1e3
    together = net(x, LENGTHS)
    for i, n in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(together[i, :n], alone[i], rtol=1e-5, atol=1e-6)
        assert not together[i, n:].any()


def test_reversed_items_leave_their_padding_behind():
    x = torch.tensor([[1, 2, 3, 9], [4, 5, 6, 7]])[..., None]
    assert reversed_items(x, torch.tensor([3, 4]))[..., 0].tolist() == [[3, 2, 1, 9], [7, 6, 5, 4]]


def test_dropout_lies_between_layers_alone():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4)
    single, double = BiLSTM(4, 3, 1, dropout=0.5), BiLSTM(4, 3, 2, dropout=0.5)
    lengths = torch.tensor([5, 4])
    assert torch.equal(single(x, lengths), single(x, lengths))
    assert not torch.equal(double(x, lengths), double(x, lengths))
    double.eval()
    assert torch.equal(double(x, lengths), double(x, lengths))
