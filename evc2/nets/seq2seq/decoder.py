"""The decoder: linguistic vectors with a style to a mel spectrogram, by forward attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.attention_rnn import AttentionRNN, first_state
from evc2.nets.seq2seq.encoders import xavier

ENDINGS = ("stop", "attention", "limit")


@dataclass
class Limits:
    """When a generation ends, in steps of the decoder.

    Attributes:
        most: steps at which it is cut off, which is a failure.
        linger: steps that the attention may rest on the last place before the end is taken for granted.
    """

    most: int
    linger: int


@dataclass
class Spoken:
    """What was generated: ``mel`` [T, n_mels], ``weights`` [S, N] a step, and how it ended: ``stop`` (the network said
    so), ``attention`` (it had rested on the last place) or ``limit`` (it was cut off).
    """

    mel: torch.Tensor
    weights: torch.Tensor
    ending: str

    @property
    def whole(self) -> bool:
        """Whether the attention went through to the last place but one, and the end was not that of patience."""
        return self.ending != "limit" and int(self.weights[-1].argmax()) >= self.weights.shape[1] - 2


class Prenet(nn.Module):
    """Two layers whose dropout stays on when the network speaks (Shen et al., arXiv 1712.05884, sec. 2.2): without, it
    copies the frame before it and does not listen.

    Args:
        n_mels, hidden: sizes.
        dropout: probability.
        always: whether it stays on beyond training.
    """

    def __init__(self, n_mels: int, hidden: int, dropout: float = 0.5, always: bool = True):
        super().__init__()
        self.layers = nn.ModuleList(xavier(nn.Linear(size, hidden, bias=False), "relu") for size in (n_mels, hidden))
        self.dropout, self.always = dropout, always

    def forward(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """[..., n_mels] to [..., hidden]."""
        for layer in self.layers:
            x = F.relu(layer(x))
            if self.dropout and (self.training or self.always):
                kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.dropout
                x = x * kept / (1 - self.dropout)
        return x


class Decoder(nn.Module):
    """See the module.

    Args:
        n_mels: bands.
        memory: size of linguistic vectors with style.
        hidden: of both LSTMs.
        reduction: most frames a step.
        prenet: size of its layers; ``dropout`` and ``always`` of it.
        drop_frames: share of the known frames that training replaces by zeros, the mean of all: what is not known of
            the sound has to come from the text (Liu et al., arXiv 1909.01145, sec. 3.1).
        attention, filters, kernel: of :class:`AttentionRNN`.
    """

    def __init__(
        self,
        n_mels: int,
        memory: int,
        hidden: int = 512,
        reduction: int = 2,
        prenet: int = 256,
        dropout: float = 0.5,
        always: bool = True,
        drop_frames: float = 0.0,
        attention: int = 128,
        filters: int = 32,
        kernel: int = 17,
    ):
        super().__init__()
        self.n_mels, self.reduction, self.drop_frames = n_mels, reduction, drop_frames
        self.prenet = Prenet(n_mels, prenet, dropout, always)
        self.rnn = AttentionRNN(prenet, memory, hidden, attention, filters, kernel, forward_attention=True)
        self.cell = nn.LSTM(hidden + memory, hidden, batch_first=True)
        self.mel = xavier(nn.Linear(hidden + memory, n_mels * reduction))
        self.stop = xavier(nn.Linear(hidden + memory, 1), "sigmoid")

    def forward(
        self,
        memory: torch.Tensor,
        mask: torch.Tensor,
        feats: torch.Tensor,
        reduction: int,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """With known frames.

        The second LSTM is led by the first and by the attention, and leads neither: it and all that follows is one call
        over all steps.

        Args:
            memory: [B, N, M] with mask [B, N].
            feats: [B, T, n_mels], T a multiple of ``reduction``; the last frame of a step is what the next one knows.
            reduction: frames a step, at most ``self.reduction``.
            generator: where the prenet's dropout draws from.

        Returns:
            spectrogram [B, T, n_mels], scores of the end [B, T / reduction], weights [B, T / reduction, N].
        """
        known = F.pad(feats[:, reduction - 1 : -1 : reduction], (0, 0, 1, 0))
        if self.training and self.drop_frames:
            known = known * (torch.rand(known.shape[:2], device=known.device) >= self.drop_frames)[..., None]
        states, contexts, weights = self.rnn(self.prenet(known, generator), memory, mask)
        x = torch.cat((states, contexts), 2)
        out = torch.cat((self.cell(x)[0], contexts), 2)
        frames = self.mel(out)[..., : self.n_mels * reduction]
        return frames.reshape(len(out), -1, self.n_mels), self.stop(out)[..., 0], weights

    def generate(
        self, memory: torch.Tensor, reduction: int, limits: Limits, generator: torch.Generator | None = None
    ) -> Spoken:
        """Speak one utterance: memory [N, M], frames a step, when to end, and where dropout draws from."""
        memory = memory[None]
        there = torch.ones(memory.shape[:2], dtype=torch.bool, device=memory.device)
        prepared = self.rnn.prepare(memory, there)
        state = first_state(prepared, self.rnn.cell.hidden_size)
        weight, hidden = self.cell.weight_ih_l0, self.rnn.cell.hidden_size
        through = F.linear(memory[0], weight[:, hidden:])  # the memory's part of the second LSTM's gates, likewise
        outs = F.linear(memory[0], torch.cat((self.mel.weight, self.stop.weight))[:, hidden:])
        heads = torch.cat((self.mel.weight, self.stop.weight))[:, :hidden]
        bias = torch.cat((self.mel.bias, self.stop.bias))
        own, biases = weight[:, :hidden], self.cell.bias_ih_l0 + self.cell.bias_hh_l0
        h, c = (memory.new_zeros(1, hidden) for _ in range(2))
        last, rested, ending = memory.new_zeros(1, self.n_mels), 0, "limit"
        frames, weights = [], []
        for _ in range(limits.most):
            state = self.rnn.step(self.rnn.input_gates(self.prenet(last, generator)), prepared, state)
            gates = F.linear(state.h, own, biases) + F.linear(h, self.cell.weight_hh_l0) + state.weights @ through
            i, f, g, o = gates.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            out = F.linear(h, heads, bias) + state.weights @ outs
            made = out[0, : self.n_mels * reduction].view(reduction, self.n_mels)
            frames.append(made)
            weights.append(state.weights[0])
            last = made[-1:]
            place = int(state.weights[0].argmax())
            rested = rested + 1 if place == memory.shape[1] - 1 else 0
            # An end before the last places is none: the words were not said yet.
            if float(out[0, -1]) > 0 and place >= memory.shape[1] - 2:
                ending = "stop"
                break
            if rested > limits.linger:
                ending = "attention"
                break
        return Spoken(torch.cat(frames), torch.stack(weights), ending)
