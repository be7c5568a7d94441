"""The WaveRNN step, prepared for speed.

Three things make it fast: all that depends on the conditioning alone is computed for many steps at once (the input
side of the first GRU collapses into it, up to one value a row); weights lie transposed in memory, which doubles the
speed of matrix products of few rows; and every result goes to a buffer that already exists. On CUDA the steps of a
chunk can be captured as one graph, because no step allocates outside the graph's own pool or asks the host.
"""

from __future__ import annotations

from typing import Protocol

import torch

from evc2.nets.layers.sample_codes import draw
from evc2.nets.wavernn import WaveRNN


class Conditions(Protocol):
    """Of all utterances, end to end: mels [samples, n_mels], frames [samples / hop, res_out_dims]."""

    mels: torch.Tensor
    frames: torch.Tensor


class FastWeights:
    """A copy of the network's weights as the step wants them: [inputs, outputs], conditioning apart, biases summed."""

    def __init__(self, net: WaveRNN, temperature: float = 1.0):
        self.mode, self.bits, self.hop, self.temperature = net.mode, net.bits, net.hop, temperature
        self.wide = wide = net.rnn_dims
        self.aux_dims = net.aux_dims
        sample, mel, aux1 = net.input.weight.t().split([1, net.n_mels, net.aux_dims])
        inner1, inner2 = net.rnn1.weight_ih_l0.t(), net.rnn2.weight_ih_l0.t()
        # Reset and update gates add both biases; the candidate's recurrent bias stays with its weights.
        bias1, bias2 = (gru.bias_ih_l0.clone() for gru in (net.rnn1, net.rnn2))
        bias1[: 2 * wide] += net.rnn1.bias_hh_l0[: 2 * wide]
        bias2[: 2 * wide] += net.rnn2.bias_hh_l0[: 2 * wide]

        def through(w: torch.Tensor) -> torch.Tensor:  # an input's way to x and to the gates of the first GRU
            return torch.cat([w, w @ inner1], dim=-1)

        self.sample, self.mel = through(sample), through(mel).contiguous()
        bias_x = torch.cat([net.input.bias, net.input.bias @ inner1 + bias1])
        layers = (net.hidden1, net.hidden2)
        inputs = [layer.in_features - net.aux_dims for layer in layers]
        # Inputs from frame features, with the bias: to x and the first GRU, the second GRU, the two hidden layers.
        self.from_aux = [(through(aux1), bias_x), (inner2[wide:], bias2)]
        self.from_aux += [(layer.weight.t()[n:], layer.bias) for n, layer in zip(inputs, layers, strict=True)]
        self.inner2 = inner2[:wide].contiguous()
        self.hidden = [layer.weight.t()[:n].contiguous() for n, layer in zip(inputs, layers, strict=True)]
        self.recurrent = []  # of each GRU: to reset and update, to the candidate, the candidate's bias
        for gru in (net.rnn1, net.rnn2):
            w = gru.weight_hh_l0.t()
            gates, new = w[:, : 2 * wide].contiguous(), w[:, 2 * wide :].contiguous()
            self.recurrent.append((gates, new, gru.bias_hh_l0[2 * wide :].clone()))
        self.output = (net.output.weight.t().contiguous(), net.output.bias.clone())

    def sizes(self) -> tuple[int, int, int]:
        """Columns of what a frame adds: second GRU, hidden layers."""
        return 3 * self.wide, self.hidden[0].shape[1], self.hidden[1].shape[1]

    def tables(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What each frame adds to x and the first GRU, [F, 4 H], and to the rest, [F, sum of sizes]."""
        parts = frames.split(self.aux_dims, dim=1)
        first, *rest = (torch.addmm(b, a, w) for a, (w, b) in zip(parts, self.from_aux, strict=True))
        return first, torch.cat(rest, dim=1)


class FastStepper:
    """Steps of a batch of rows; same interface as the plain stepper.

    Args:
        weights: of the network.
        given: conditioning of all utterances.
        rows: in the batch.
        chunk: most steps of one call of :meth:`run`.
        graph: capture the steps as one graph (CUDA only).
    """

    def __init__(self, weights: FastWeights, given: Conditions, rows: int, chunk: int, graph: bool = False):
        self.weights, self.given = weights, given
        self.table_x, self.table_rest = weights.tables(given.frames)
        device, wide = given.mels.device, weights.wide

        def buffer(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, device=device)

        self.by_sample, self.by_frame = buffer(chunk, rows, 4 * wide), buffer(chunk, rows, sum(weights.sizes()))
        self.uniform, self.made = buffer(chunk, rows, 2 if weights.mode == "mol" else 1), buffer(chunk, rows)
        self.h1, self.h2, self.sample = buffer(rows, wide), buffer(rows, wide), buffer(rows, 1)
        self.x_gates, self.gates = buffer(rows, 4 * wide), buffer(rows, 3 * wide)
        self.x, self.new = buffer(rows, wide), buffer(rows, wide)
        self.hidden = [buffer(rows, size) for size in weights.sizes()[1:]]
        self.out = buffer(rows, weights.output[0].shape[1])
        self.graph = self._capture() if graph else None

    def run(self, positions: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Positions [K, B] and random numbers [K, B, 1 or 2] to samples [K, B]; the state carries over."""
        steps, rows = positions.shape
        flat = positions.flatten()
        frames = flat // self.weights.hop
        by_sample = self.by_sample[:steps].view(steps * rows, -1)
        torch.index_select(self.table_x, 0, frames, out=by_sample)
        by_sample.addmm_(self.given.mels[flat], self.weights.mel)
        torch.index_select(self.table_rest, 0, frames, out=self.by_frame[:steps].view(steps * rows, -1))
        self.uniform[:steps] = uniform
        if self.graph is not None:
            self.graph.replay()  # always a full chunk; in the last one, steps beyond the end are not read
        else:
            for i in range(steps):
                self._step(i)
        return self.made[:steps].clone()

    def _step(self, i: int) -> None:
        w = self.weights
        torch.addcmul(self.by_sample[i], self.sample, w.sample, out=self.x_gates)
        self._gru(self.x_gates[:, w.wide :], self.h1, w.recurrent[0])
        torch.add(self.x_gates[:, : w.wide], self.h1, out=self.x)
        gates, extra1, extra2 = self.by_frame[i].split(w.sizes(), dim=1)
        torch.addmm(gates, self.x, w.inner2, out=self.gates)
        self._gru(self.gates, self.h2, w.recurrent[1])
        self.x += self.h2
        torch.addmm(extra1, self.x, w.hidden[0], out=self.hidden[0]).relu_()
        torch.addmm(extra2, self.hidden[0], w.hidden[1], out=self.hidden[1]).relu_()
        torch.addmm(w.output[1], self.hidden[1], w.output[0], out=self.out)
        self.sample.copy_(draw(self.out, self.uniform[i], w.mode, w.bits, w.temperature))
        self.made[i] = self.sample[:, 0]

    def _gru(
        self, gates: torch.Tensor, h: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> None:
        """Update h [B, H] in place from its input side ``gates`` [B, 3 H] (reset, update, new), which are used up."""
        w_gates, w_new, b_new = weights
        wide = h.shape[1]
        both, candidate = gates[:, : 2 * wide], gates[:, 2 * wide :]
        both.addmm_(h, w_gates).sigmoid_()
        torch.addmm(b_new, h, w_new, out=self.new)
        candidate.addcmul_(both[:, :wide], self.new).tanh_()
        torch.lerp(candidate, h, both[:, wide:], out=h)

    def _capture(self):
        """One graph of a full chunk."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries must have set themselves up before a capture
            self._step(0)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for i in range(len(self.made)):
                self._step(i)
        for state in (self.h1, self.h2, self.sample):
            state.zero_()
        return graph
