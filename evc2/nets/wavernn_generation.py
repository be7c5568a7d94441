"""Generation with WaveRNN: plainly sample by sample, or fast, many stretches at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.nets.layers.sample_codes import draw, expand_mu_law
from evc2.nets.wavernn import WaveRNN
from evc2.nets.wavernn_compiled import CompiledStepper, compiled_step
from evc2.nets.wavernn_fast import FastStepper, FastWeights
from evc2.nets.wavernn_folds import fold_starts, join

#: Steps whose conditioning is prepared at once; bounds the memory.
CHUNK = 64
#: Rows that run as one batch; more give nothing on a CPU.
MAX_ROWS = {"cpu": 64, "cuda": 512}


@dataclass(frozen=True)
class Row:
    """A stretch of one utterance: samples start ... start + length - 1, and its random numbers [length, 1 or 2]."""

    utterance: int
    start: int
    length: int
    uniform: torch.Tensor


class Conditioning:
    """Conditioning of several utterances, end to end: stretched mels for each sample, frame features for each frame."""

    def __init__(self, net: WaveRNN, mels: Sequence[torch.Tensor]):
        pairs = [net.conditioning(mel.unsqueeze(0)) for mel in mels]
        self.lengths = [stretched.shape[1] for stretched, _ in pairs]
        self.offsets = [sum(self.lengths[:i]) for i in range(len(pairs))]
        self.mels = torch.cat([stretched[0] for stretched, _ in pairs])
        self.frames = torch.cat([aux[0, :: net.hop] for _, aux in pairs])

    def positions(self, rows: Sequence[Row], begin: int, end: int) -> torch.Tensor:
        """Indices into ``mels`` [end - begin, rows]; a row that is over repeats its last one."""
        first = torch.tensor([self.offsets[row.utterance] + row.start for row in rows])
        last = first + torch.tensor([row.length - 1 for row in rows])
        return torch.minimum(first + torch.arange(begin, end).unsqueeze(1), last).to(self.mels.device)


class PlainStepper:
    """One step at a time with the network's own layers: slow, and equal to GRU cells bit by bit."""

    def __init__(self, net: WaveRNN, given: Conditioning, rows: int, temperature: float):
        self.net, self.given, self.temperature = net, given, temperature
        self.h1, self.h2 = torch.zeros(2, rows, net.rnn_dims, device=given.mels.device)
        self.sample = torch.zeros(rows, 1, device=given.mels.device)
        self.weights1, self.weights2 = (list(gru.parameters()) for gru in (net.rnn1, net.rnn2))

    def run(self, positions: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Positions [K, B] and random numbers [K, B, 1 or 2] to samples [K, B]; the state carries over."""
        net, made = self.net, []
        for where, u in zip(positions, uniform, strict=True):
            aux1, aux2, aux3, aux4 = self.given.frames[where // net.hop].split(net.aux_dims, dim=1)
            x = net.input(torch.cat([self.sample, self.given.mels[where], aux1], dim=1))
            self.h1 = torch.gru_cell(x, self.h1, *self.weights1)
            x = x + self.h1
            self.h2 = torch.gru_cell(torch.cat([x, aux2], dim=1), self.h2, *self.weights2)
            x = x + self.h2
            x = F.relu(net.hidden1(torch.cat([x, aux3], dim=1)))
            x = F.relu(net.hidden2(torch.cat([x, aux4], dim=1)))
            self.sample = draw(net.output(x), u, net.mode, net.bits, self.temperature)
            made.append(self.sample[:, 0])
        return torch.stack(made)


class WaveRNNGenerator:
    """Mels to waveforms.

    Args:
        net: the network; with ``fast``, its weights are copied now.
        fast: prepared weights and conditioning (:mod:`evc2.nets.wavernn_fast`): the same arithmetic in another order.
            Samples agree with the plain step's until a rounding difference lets one draw fall otherwise.
        compiled: with ``fast``, compile the step: a graph on CUDA; torch.compile on the CPU, which takes about ten
            seconds once and needs a C++ compiler.
        temperature: below 1 sharpens the distributions; above 0.

    Raises:
        UserError: impossible temperature.
    """

    def __init__(self, net: WaveRNN, fast: bool = True, compiled: bool = False, temperature: float = 1.0):
        if temperature <= 0:
            raise UserError(f"WaveRNN temperature: expected above 0, found {temperature}")
        self.net, self.temperature = net, temperature
        on_cuda = next(net.parameters()).device.type == "cuda"
        self.graph = compiled and on_cuda
        with torch.no_grad():
            self.weights = FastWeights(net, temperature) if fast else None
            self.program = compiled_step(self.weights) if self.weights and compiled and not on_cuda else None

    @torch.no_grad()
    def __call__(
        self,
        mels: Sequence[torch.Tensor],
        folded: bool = True,
        target: int = 11000,
        overlap: int = 550,
        seed: int = 0,
    ) -> list[torch.Tensor]:
        """Waveforms of several utterances.

        Args:
            mels: [n_mels, F + 2 pad] each, on the network's device.
            folded: cut utterances into folds that run as one batch; otherwise each is generated in one go.
            target: samples of a fold between its overlaps.
            overlap: samples that neighbouring folds share.
            seed: of the random numbers, which are drawn on the CPU and for each utterance on its own.

        Returns:
            Amplitudes [F * hop] on the CPU, one tensor an utterance: the same ones for equal arguments, threads and
            device. Company in the batch changes rounding only (matrix products of another size); where that lets a
            draw fall otherwise, the waveform is another one from there on.

        Raises:
            UserError: impossible options, or an utterance without frames.
        """
        net = self.net
        if target < 1 or overlap < 0:
            raise UserError(
                f"WaveRNN folds: expected target of 1 and overlap of 0 or more, found {target} and {overlap}"
            )
        if any(mel.shape[1] <= 2 * net.pad for mel in mels):
            raise UserError("WaveRNN: an utterance without frames")
        if not mels:
            return []
        training = net.training
        net.eval()  # statistics of batch norm, and no update of them
        given = Conditioning(net, mels)
        net.train(training)
        size = (target, overlap) if folded else None
        rows = [
            row for u, n in enumerate(given.lengths) for row in _rows(u, n, size, seed, 2 if net.mode == "mol" else 1)
        ]
        most = MAX_ROWS.get(given.mels.device.type, MAX_ROWS["cpu"])
        order = sorted(range(len(rows)), key=lambda i: -rows[i].length)  # a batch runs as long as its longest row
        pieces: dict[int, torch.Tensor] = {}
        for at in range(0, len(order), most):
            chosen = order[at : at + most]
            pieces.update(zip(chosen, self._run(given, [rows[i] for i in chosen]), strict=True))
        return [
            join([pieces[i] for i, row in enumerate(rows) if row.utterance == u], overlap) for u in range(len(mels))
        ]

    def _run(self, given: Conditioning, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Amplitudes of each row; one batch."""
        stepper: PlainStepper | FastStepper
        if self.weights is None:
            stepper = PlainStepper(self.net, given, len(rows), self.temperature)
        elif self.program is not None:
            stepper = CompiledStepper(self.weights, given, len(rows), CHUNK, self.program)
        else:
            stepper = FastStepper(self.weights, given, len(rows), CHUNK, self.graph)
        longest, made = max(row.length for row in rows), []
        uniform = torch.nn.utils.rnn.pad_sequence([row.uniform for row in rows])  # [longest, rows, 1 or 2]
        for begin in range(0, longest, CHUNK):
            end = min(begin + CHUNK, longest)
            made.append(stepper.run(given.positions(rows, begin, end), uniform[begin:end].to(given.mels.device)).cpu())
        samples = torch.cat(made)
        if self.net.mode == "raw":
            samples = expand_mu_law(samples, self.net.bits)
        return [samples[: row.length, i] for i, row in enumerate(rows)]


def _rows(utterance: int, length: int, folds: tuple[int, int] | None, seed: int, numbers: int) -> list[Row]:
    """Rows of one utterance; its random numbers come from a generator of its own, whatever the company."""
    generator = torch.Generator().manual_seed(seed)
    size, starts = length, [0]
    if folds:
        target, overlap = folds
        size, starts = target + 2 * overlap, fold_starts(length, target, overlap)
    cuts = [(start, min(size, length - start)) for start in starts]
    return [Row(utterance, start, n, torch.rand(n, numbers, generator=generator)) for start, n in cuts]
