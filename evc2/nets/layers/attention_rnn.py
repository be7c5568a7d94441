"""A recurrent cell that attends to a memory at each step: what recognisers and autoregressive decoders turn on.

Additive attention with location features (Chorowski et al., arXiv 1506.07503, eq. 8 to 10), normalised over the whole
memory, or as forward attention (Zhang, Ling and Dai, arXiv 1807.06736, eq. 7 to 9), which goes on by at most one place
a step.

Known inputs (teacher forcing) go through :class:`AttentionLoop`, whose gradient is written out: what does not depend on
the step before is one product for all steps, gradients of weights too (a graph of single steps adds up a matrix a
step, which takes most of its time); and the memory enters the gates already multiplied, [N, 4 H] instead of a product
with [M, 4 H] in each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

NEVER = -1e20
"""Logarithm of a weight that is 0; infinity would make NaN of differences."""


@dataclass
class Prepared:
    """What is computed of a memory once: ``keys`` [B, A, N], ``gates`` [B, N, 4 H], ``kernel`` [A, 2 K] of the location
    features, ``hidden`` [B, N] True where there is no memory.
    """

    keys: torch.Tensor
    gates: torch.Tensor
    kernel: torch.Tensor
    hidden: torch.Tensor


@dataclass
class State:
    """State between steps: ``h`` and ``c`` [B, H], ``weights`` [B, N] of the step before (0 before the first), their
    sum ``total`` [B, N] over all steps, ``log_weights`` [B, N] (forward attention: all at the first place).
    """

    h: torch.Tensor
    c: torch.Tensor
    weights: torch.Tensor
    total: torch.Tensor
    log_weights: torch.Tensor

    def pick(self, rows: torch.Tensor) -> State:
        """The state of some items [B'], for a search that goes on with them."""
        return State(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def first_state(prepared: Prepared, size: int) -> State:
    """The state before the first step, of ``size`` values."""
    batch, _, places = prepared.keys.shape
    zeros = prepared.keys.new_zeros(batch, size)
    weights = prepared.keys.new_zeros(batch, places)
    start = torch.full_like(weights, NEVER)
    start[:, 0] = 0
    return State(zeros, zeros, weights, weights, start)


def windows(padded: torch.Tensor, size: int) -> torch.Tensor:
    """Windows [..., N, 2 K] of K = ``size`` around each place of the last weights and of their sum, from these
    [..., 2, N + K - 1] with K // 2 zeros at both ends.
    """
    return padded.unfold(-1, size, 1).transpose(-3, -2).flatten(-2)


def located(weights: torch.Tensor, total: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Location features [B, A, N] of the last weights and their sum [B, N]."""
    size = kernel.shape[1] // 2
    return kernel @ windows(F.pad(torch.stack((weights, total), 1), (size // 2, size // 2)), size).mT


def focus(energies: torch.Tensor, before: torch.Tensor, forward: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [B, N] and their logarithms, of energies [B, N] and the logarithms of the weights before."""
    if forward:
        moved = F.pad(before[:, :-1], (1, 0), value=NEVER)
        energies = energies + torch.logaddexp(before, moved)
    logs = energies.log_softmax(1)
    return logs.exp(), logs


class AttentionLoop(torch.autograd.Function):
    """All steps of the cell, see the module.

    Inputs: ``x`` [S, B, 4 H] (the inputs' part of the gates with all biases), ``memory`` [B, N, 4 H], ``recurrent``
    [4 H, H], ``query`` [A, H], ``keys`` [B, A, N], ``kernel`` [A, 2 K], ``score`` [A], ``hidden`` [B, N], ``forward``.
    Outputs: states [S, B, H] and weights [S, B, N]. Gates are in torch's order: input, forget, cell, output.
    """

    @staticmethod
    def forward(ctx, x, memory, recurrent, query, keys, kernel, score, hidden, forward):
        steps, batch, size = x.shape[0], x.shape[1], recurrent.shape[1]
        places, window = keys.shape[2], kernel.shape[1] // 2
        pad = window // 2
        states, cells = x.new_zeros(steps + 1, batch, size), x.new_zeros(steps + 1, batch, size)
        seen = x.new_zeros(steps + 1, batch, 2, places + 2 * pad)  # weights and their sums, within zeros
        weights, totals = seen[:, :, 0, pad : pad + places], seen[:, :, 1, pad : pad + places]
        logs = x.new_full((steps + 1, batch, places), NEVER)
        logs[0, :, 0] = 0
        gates, tanhs = torch.empty_like(x), x.new_empty(steps, batch, places, query.shape[0])
        # Products of a few rows with a matrix read it faster where its rows lie along the result's, whence the copies;
        # queries and keys, too, have their A values last. Views are made before the loop, at once.
        recurrent_t, query_t, kernel_t, keys = (m.mT.contiguous() for m in (recurrent, query, kernel, keys))
        h, c, last, sums, log, both = (m.unbind(0) for m in (states, cells, weights, totals, logs, seen))
        flat = tanhs.flatten(1, 2).unbind(0)
        for t, (raw, given, near) in enumerate(zip(gates.unbind(0), x.unbind(0), tanhs.unbind(0), strict=True)):
            torch.baddbmm(given[:, None], last[t][:, None], memory, out=raw[:, None])
            raw.addmm_(h[t], recurrent_t)
            raw[:, : 2 * size].sigmoid_()
            raw[:, 2 * size : 3 * size].tanh_()
            raw[:, 3 * size :].sigmoid_()
            i, f, g, o = raw.chunk(4, 1)
            torch.mul(i, g, out=c[t + 1]).addcmul_(f, c[t])
            torch.mul(o, c[t + 1].tanh(), out=h[t + 1])
            torch.add(keys, torch.mm(h[t + 1], query_t)[:, None], out=near)
            flat[t].addmm_(windows(both[t], window).flatten(0, 1), kernel_t).tanh_()
            energies = torch.mv(flat[t], score).view(batch, places).masked_fill_(hidden, NEVER)
            for made, row in zip(focus(energies, log[t], forward), (last[t + 1], log[t + 1]), strict=True):
                row.copy_(made)
            torch.add(sums[t], last[t + 1], out=sums[t + 1])
        ctx.save_for_backward(memory, recurrent, query, kernel, score, states, cells, seen, logs, gates, tanhs)
        ctx.forward_attention = forward
        return states[1:], weights[1:].contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_states, d_weights):
        memory, recurrent, query, kernel, score, states, cells, seen, logs, gates, tanhs = ctx.saved_tensors
        (steps, batch, size), places, window = d_states.shape, tanhs.shape[2], kernel.shape[1] // 2
        pad, wide = window // 2, places + window
        weights = seen[:, :, 0, pad : pad + places]
        # What does not depend on gradients, for all steps at once: factors of the cell's gradient for its gates and of
        # the state's for the cell, ...
        i, f, g, o = gates.unflatten(2, (4, size)).unbind(2)
        cell = cells[1:].tanh()
        to_cell = o * (1 - cell.square())
        to_gates = torch.stack((g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g.square())), 2)
        to_output = cell * o * (1 - o)
        # ... of the energies' for what the tanh is of, and for the windows of location, whose K rows are to be shifted
        # by one place each and summed: rows of a width of N + K lie so in memory if their last K values are left out.
        to_sums = torch.addcmul(score, tanhs.square(), score, value=-1)
        to_windows = F.pad((to_sums @ kernel).mT, (0, window)).view(steps, batch, 2, window, wide)
        stayed = torch.sigmoid(logs[:-1, :, 1:] - logs[:-1, :, :-1]) if ctx.forward_attention else None
        d_x, d_energies = torch.empty_like(gates), gates.new_zeros(steps, batch, wide)
        d_h, d_c = (d_states.new_zeros(batch, size) for _ in range(2))
        d_w, d_total, d_logs = (d_weights.new_zeros(batch, places) for _ in range(3))
        given = weights[1:], d_weights, d_states, d_energies, to_sums, to_windows, to_cell, to_gates, to_output, f, d_x
        given = [m.unbind(0) for m in given]
        for t in reversed(range(steps)):
            now, d_now, d_state, d_wide, to_sum, to_window, to_c, to_ifg, to_o, forget, d_raw = (m[t] for m in given)
            d_now = d_now + d_w + d_total  # the sum over steps passes its own gradient on
            d_e = d_wide[:, :places]
            if ctx.forward_attention:
                d_now = torch.addcmul(d_logs, d_now, now)
                torch.addcmul(d_now, now, d_now.sum(1, keepdim=True), value=-1, out=d_e)
                moved = d_e[:, 1:] * stayed[t]
                d_logs = torch.cat((d_e[:, :1], moved), 1)
                d_logs[:, :-1] += d_e[:, 1:] - moved
            else:
                torch.mul(now, d_now - (now * d_now).sum(1, keepdim=True), out=d_e)
            d_near = (to_window * d_wide[:, None, None]).view(batch, 2, -1)[:, :, :-window]
            d_near = d_near.unflatten(2, (window, wide - 1)).sum(2)[:, :, pad : pad + places]
            d_h = (d_h + d_state).addmm_(torch.bmm(d_e[:, None], to_sum)[:, 0], query)
            d_c.addcmul_(d_h, to_c)
            torch.mul(to_ifg, d_c[:, None], out=d_raw[:, : 3 * size].unflatten(1, (3, size)))
            torch.mul(to_o, d_h, out=d_raw[:, 3 * size :])
            d_c.mul_(forget)
            d_h = d_raw @ recurrent
            d_w = torch.bmm(d_raw[:, None], memory.mT)[:, 0] + d_near[:, 0]  # faster than columns, the other way round
            d_total = d_total + d_near[:, 1]
        flat, d_energies = d_x.flatten(0, 1), d_energies[:, :, :places]
        d_memory = torch.bmm(weights[:-1].permute(1, 2, 0), d_x.transpose(0, 1))
        d_score = d_energies.flatten() @ tanhs.flatten(0, 2)
        d_sums = to_sums.mul_(d_energies[..., None])
        d_query = d_sums.sum(2).flatten(0, 1).T @ states[1:].flatten(0, 1)
        d_kernel = d_sums.flatten(0, 2).T @ windows(seen[:-1], window).flatten(0, 2)
        d_recurrent = flat.T @ states[:-1].flatten(0, 1)
        return d_x, d_memory, d_recurrent, d_query, d_sums.sum(0).mT, d_kernel, d_score, None, None


class AttentionRNN(nn.Module):
    """LSTM cell with attention; see the module.

    Args:
        inputs: size of the input of a step, beside the context.
        memory: size M of what is attended to.
        hidden: size H of the state.
        attention: size A of queries and keys.
        filters, kernel: of the location features.
        forward_attention: go on by at most one place a step.
    """

    def __init__(
        self,
        inputs: int,
        memory: int,
        hidden: int,
        attention: int,
        filters: int,
        kernel: int,
        forward_attention: bool = False,
    ):
        super().__init__()
        self.cell = nn.LSTMCell(inputs + memory, hidden)
        self.query, self.key = nn.Linear(hidden, attention, bias=False), nn.Linear(memory, attention, bias=False)
        self.location = nn.Conv1d(2, filters, kernel, padding=kernel // 2, bias=False)
        self.location_out = nn.Linear(filters, attention, bias=False)
        self.score = nn.Linear(attention, 1, bias=False)
        self.inputs, self.forward_attention = inputs, forward_attention
        for layer, gain in ((self.query, "tanh"), (self.key, "tanh"), (self.location_out, "tanh")):
            nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain(gain))
        nn.init.xavier_uniform_(self.location.weight)
        nn.init.xavier_uniform_(self.score.weight)

    def prepare(self, memory: torch.Tensor, mask: torch.Tensor) -> Prepared:
        """What the steps need of a memory [B, N, M]; ``mask`` [B, N] is True where it is."""
        kernel = self.location_out.weight @ self.location.weight.flatten(1)
        gates = F.linear(memory, self.cell.weight_ih[:, self.inputs :])
        return Prepared(self.key(memory).transpose(1, 2).contiguous(), gates, kernel, ~mask)

    def input_gates(self, x: torch.Tensor) -> torch.Tensor:
        """The inputs' part of the gates [..., 4 H] of inputs [..., inputs], with all biases."""
        bias = self.cell.bias_ih + self.cell.bias_hh
        return F.linear(x, self.cell.weight_ih[:, : self.inputs], bias)

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Inputs [B, S, inputs] and memory [B, N, M] to states [B, S, H], contexts [B, S, M] and weights [B, S, N].

        In full precision whatever autocast says: errors of a recurrence add up, and its products are small.
        """
        with torch.autocast(x.device.type, enabled=False):
            memory = memory.float()
            p = self.prepare(memory, mask)
            gates = self.input_gates(x.float().transpose(0, 1))
            states, weights = AttentionLoop.apply(
                gates, p.gates, self.cell.weight_hh, self.query.weight, p.keys, p.kernel, self.score.weight[0],
                p.hidden, self.forward_attention,
            )  # fmt: skip
            weights = weights.transpose(0, 1)
            return states.transpose(0, 1), torch.bmm(weights, memory), weights

    def step(self, gates: torch.Tensor, p: Prepared, state: State) -> State:
        """One step, of inputs as :meth:`input_gates` [B, 4 H] gives them; without gradient in mind.

        The context is the state's ``weights`` times the memory.
        """
        # One memory may serve several states, those of a search.
        heard = torch.matmul(state.weights[:, None], p.gates)[:, 0]
        gates = gates + heard + F.linear(state.h, self.cell.weight_hh)
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * state.c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        near = located(state.weights, state.total, p.kernel)
        energies = torch.matmul(self.score.weight[0], (near + p.keys + self.query(h)[:, :, None]).tanh())
        weights, logs = focus(energies.masked_fill(p.hidden, NEVER), state.log_weights, self.forward_attention)
        return State(h, c, weights, state.total + weights, logs)
