"""The WaveRNN step compiled for the CPU: weights frozen into the program and packed, all between two products fused."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.sample_codes import draw
from evc2.nets.wavernn_fast import Conditions, FastStepper, FastWeights


class Step(nn.Module):
    """One step without side effects, which is the form that the compiler can freeze; equal to FastStepper's."""

    def __init__(self, weights: FastWeights):
        super().__init__()
        self.mode, self.bits, self.temperature = weights.mode, weights.bits, weights.temperature
        self.wide, self.sizes = weights.wide, weights.sizes()

        def keep(name: str, w: torch.Tensor) -> None:  # the compiler packs weights that lie as in a linear layer
            self.register_buffer(name, w.t().contiguous() if w.ndim == 2 else w.clone())

        self.register_buffer("sample", weights.sample.clone())
        for i, (gates, new, bias) in enumerate(weights.recurrent, start=1):
            keep(f"recurrent{i}", torch.cat([gates, new], dim=1))
            keep(f"bias{i}", torch.cat([torch.zeros_like(gates[0]), bias]))
        keep("inner2", weights.inner2)
        for i, w in enumerate(weights.hidden, start=1):
            keep(f"hidden{i}", w)
        keep("out", weights.output[0])
        keep("bias_out", weights.output[1])

    def forward(
        self,
        h1: torch.Tensor,
        h2: torch.Tensor,
        sample: torch.Tensor,
        by_sample: torch.Tensor,
        by_frame: torch.Tensor,
        uniform: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """States [B, H] twice, sample [B, 1], conditioning [B, 4 H] and [B, sizes], random numbers: the next three."""
        x, gates = (by_sample + sample * self.sample).split([self.wide, 3 * self.wide], dim=1)
        h1 = gru(gates, F.linear(h1, self.recurrent1, self.bias1), h1)
        x = x + h1
        gates, extra1, extra2 = by_frame.split(self.sizes, dim=1)
        h2 = gru(gates + F.linear(x, self.inner2), F.linear(h2, self.recurrent2, self.bias2), h2)
        y = F.relu(F.linear(x + h2, self.hidden1) + extra1)
        y = F.relu(F.linear(y, self.hidden2) + extra2)
        out = F.linear(y, self.out, self.bias_out)
        return h1, h2, draw(out, uniform, self.mode, self.bits, self.temperature)


def gru(inner: torch.Tensor, recurrent: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Next state [B, H] from both sides of the gates, [B, 3 H] each (reset, update, candidate)."""
    reset, update, new = inner.chunk(3, dim=1)
    reset_h, update_h, new_h = recurrent.chunk(3, dim=1)
    candidate = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
    return torch.lerp(candidate, h, torch.sigmoid(update + update_h))


def compiled_step(weights: FastWeights) -> Callable | None:
    """The compiled step, or None with a line in the log where it cannot be compiled (there is no C++ compiler, say)."""
    # One program for any number of rows: utterances differ in how many folds they have.
    program = torch.compile(Step(weights), dynamic=True, options={"freezing": True})
    wide, rest = weights.wide, sum(weights.sizes())
    states, uniform = (
        [torch.zeros(4, size) for size in (wide, wide, 1)],
        torch.zeros(4, 2 if weights.mode == "mol" else 1),
    )
    try:
        program(*states, torch.zeros(4, 4 * wide), torch.zeros(4, rest), uniform)
    except Exception as error:  # the compiler's parts each have errors of their own
        reason = " ".join(str(error).split())[:200]
        logging.warning("WaveRNN: cannot compile the step, going on without (%s: %s)", type(error).__name__, reason)
        return None
    return program


class CompiledStepper(FastStepper):
    """Steps of a batch of rows by a compiled program; same interface as the plain stepper."""

    def __init__(self, weights: FastWeights, given: Conditions, rows: int, chunk: int, program: Callable):
        super().__init__(weights, given, rows, chunk)
        self.program = program

    def _step(self, i: int) -> None:
        self.h1, self.h2, self.sample = self.program(
            self.h1, self.h2, self.sample, self.by_sample[i], self.by_frame[i], self.uniform[i]
        )
        self.made[i] = self.sample[:, 0]
