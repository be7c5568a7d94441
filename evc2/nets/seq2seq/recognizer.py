"""The sequence-to-sequence recogniser: a mel spectrogram to one linguistic vector a phone, by attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.attention_rnn import AttentionRNN, first_state
from evc2.nets.layers.bilstm import BiLSTM
from evc2.nets.layers.dropout import Dropout
from evc2.nets.layers.masks import length_mask
from evc2.nets.seq2seq.encoders import xavier

EDGE = 0
"""Number that begins and ends a sequence of phones: that of padding, which no sequence holds."""


@dataclass
class Heard:
    """What a search found: ``phones`` (numbers), ``vectors`` [N, size] one a phone, ``weights`` [N + 1, T / 2], the
    mean log probability a phone, and whether the end was heard (otherwise it was cut off at the longest length).
    """

    phones: list[int]
    vectors: torch.Tensor
    weights: torch.Tensor
    score: float
    ended: bool


class Recognizer(nn.Module):
    """See the module.

    Args:
        n_mels: bands.
        n_symbols: phones, number 0 included, which stands for begin and end.
        size: of embeddings, memory, state and linguistic vectors.
        reduction: frames that become one place of the memory.
        attention, filters, kernel: of :class:`AttentionRNN`.
        dropout: of linguistic vectors before they are told apart.
    """

    def __init__(
        self,
        n_mels: int,
        n_symbols: int,
        size: int = 512,
        reduction: int = 2,
        attention: int = 128,
        filters: int = 32,
        kernel: int = 51,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.reduction = reduction
        self.low, self.high = BiLSTM(n_mels, size // 2), BiLSTM(reduction * size, size // 2)
        self.rnn = AttentionRNN(size, size, size, attention, filters, kernel)
        self.hidden = xavier(nn.Linear(2 * size, size), "tanh")
        self.out, self.dropout = xavier(nn.Linear(size, n_symbols)), Dropout(dropout)

    def encode(self, feats: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, n_mels] of ``lengths`` [B] to a memory [B, ceil(T / reduction), size] and its mask."""
        x = self.low(feats, lengths)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.reduction))
        x = x.reshape(len(x), x.shape[1] // self.reduction, -1)
        lengths = (lengths + self.reduction - 1) // self.reduction
        return self.high(x, lengths), length_mask(lengths, x.shape[1])

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor, embedded: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """With known phones.

        Args:
            feats: [B, T, n_mels] of ``lengths`` [B].
            embedded: embeddings [B, N + 1, size] of what was before each phone: the edge, then the phones but the last
                (whatever follows the last phone of a shorter item is not heard by its phones).

        Returns:
            linguistic vectors [B, N + 1, size], number i before phone i is named and the last at the end; scores
            [B, N + 1, n_symbols]; attention weights [B, N + 1, ceil(T / reduction)].
        """
        memory, mask = self.encode(feats, lengths)
        states, contexts, weights = self.rnn(embedded, memory, mask)
        hidden = torch.tanh(self.hidden(torch.cat((states, contexts), 2)))
        return hidden, self.out(self.dropout(hidden)), weights

    def search(self, feats: torch.Tensor, table: torch.Tensor, width: int = 10, longest: int = 100) -> Heard:
        """The best sequence of phones for one recording, by a beam search.

        Hypotheses are compared by their mean log probability a step, so that long ones are not at a disadvantage.

        Args:
            feats: [T, n_mels].
            table: embeddings of all phones [n_symbols, size].
            width: hypotheses that are gone on with.
            longest: phones after which a hypothesis is cut off, at least 1.
        """
        memory, mask = self.encode(feats[None], torch.tensor([len(feats)], device=feats.device))
        prepared = self.rnn.prepare(memory, mask)
        gates = self.rnn.input_gates(table)  # of every phone at once: rows are taken below
        state = first_state(prepared, self.rnn.cell.hidden_size)
        scores, last = memory.new_zeros(1), torch.zeros(1, dtype=torch.long, device=feats.device)
        open_ = [_Path((), (), ())]
        done: list[tuple[float, _Path, bool]] = []
        for step in range(longest + 1):
            new = self.rnn.step(gates[last], prepared, state)
            hidden = torch.tanh(self.hidden(torch.cat((new.h, new.weights @ memory[0]), 1)))
            logs = self.out(hidden).log_softmax(1) + scores[:, None]
            ends = logs[:, EDGE]
            if step:  # nothing said is no hypothesis
                mean, row = (ends / (step + 1)).max(0)
                # At the longest length there is no choice but to end: an end was heard if all else was less likely.
                ended = step < longest or int(logs[row].argmax()) == EDGE
                done.append((float(mean), open_[int(row)].joined(None, hidden[row], new.weights[row]), ended))
            if step == longest:
                break
            logs[:, EDGE] = -torch.inf
            scores, places = logs.flatten().topk(min(width, logs.shape[0] * (logs.shape[1] - 1)))
            rows, last = places // logs.shape[1], places % logs.shape[1]
            picked = list(zip(rows.tolist(), last.tolist(), strict=True))
            open_ = [open_[row].joined(phone, hidden[row], new.weights[row]) for row, phone in picked]
            state = new.pick(rows)
            if done:
                best = max(done, key=lambda d: d[0])
                # What is open loses with each phone: none can come to a mean above this.
                beaten = best[0] >= float(scores[0]) / (longest + 1)
                late = step > len(best[1].phones) + _PATIENCE and best[0] > float(scores[0]) / (step + 1)
                if beaten or late:
                    break
        score, path, ended = max(done, key=lambda d: d[0])
        vectors = torch.stack(path.vectors[: len(path.phones)])
        return Heard(list(path.phones), vectors, torch.stack(path.weights), score, ended)


_PATIENCE = 10
"""Phones that are still tried after the best end so far, where what is open scores lower."""


@dataclass(frozen=True)
class _Path:
    phones: tuple[int, ...]
    vectors: tuple[torch.Tensor, ...]
    weights: tuple[torch.Tensor, ...]

    def joined(self, phone: int | None, vector: torch.Tensor, weight: torch.Tensor) -> _Path:
        phones = self.phones if phone is None else (*self.phones, phone)
        return _Path(phones, (*self.vectors, vector), (*self.weights, weight))
