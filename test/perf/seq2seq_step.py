#!/usr/bin/env python3
"""Time of a training step of the two-stage seq2seq system against its plain eager form, in one run.

A step is the main turn and the classifier's: forward passes, losses, backward passes, clipping and Adam; it renders the
text's vectors and the recording's by turns. Plain: as published code has it, cells step by step with a graph of single
steps (queries, location features, normalisation, both LSTM cells and all projections within the loops), packed
bidirectional LSTMs, norms over padded batches, clipping and Adam in loops. Ours: evc2's networks as the trainer runs
them, also with bfloat16 autocast, as its --amp_dtype does; losses are one code. Losses and gradient norms of both turns
with equal weights are compared first, without dropout and with utterances of one length, for which norms over padded
batches have the statistics of ours. Steps alternate; medians count. ``loop`` is the part of recogniser and decoder
whose steps follow one another (from memory and inputs to scores and frames, forward and backward): its milliseconds,
its share in the step. Utterances of one length (--shortest 1) favour the plain form: torch then has a fast way for
packed sequences, too. Compiled, ours takes minutes to begin and is no faster. Prints a JSON line for the
time and one for the peak memory of each form, and one for each loop.

    OMP_NUM_THREADS=1 python test/perf/seq2seq_step.py --bf16
"""

import argparse
import contextlib
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from side_by_side import add_step_arguments, compare_steps, median, report
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.bilstm import BiLSTM
from evc2.nets.layers.dropout import Dropout
from evc2.nets.layers.masked_norm import MaskedBatchNorm
from evc2.nets.seq2seq.decoder import Decoder, Prenet
from evc2.nets.seq2seq.recognizer import Recognizer
from evc2.systems.seq2seq import Seq2Seq
from evc2.train.turns import Owners

CONF = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/tuning"
SPEAKERS, PHONES = 99, 42  # of the published first stage
CLIP, ADAM = 5.0, {"lr": 1e-3, "weight_decay": 1e-6}
Batch = dict[str, torch.Tensor]


def preset(name: str) -> dict[str, Any]:
    """system_conf of ``repo`` (the published sizes), ``small`` or another preset of the first stage."""
    path = CONF / f"train_seq2seq_pretrain_{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["system_conf"]


def build_model(conf: dict[str, Any]) -> Seq2Seq:
    """A model of 99 speakers with random weights."""
    torch.manual_seed(0)
    tokens = ["<pad>", "<unk>", *(f"p{i}" for i in range(PHONES - 2))]
    return Seq2Seq([f"s{i}" for i in range(SPEAKERS)], ["other"], tokens, **conf)


def make_batch(size: int, phones: int, frames: int, shortest: float, device: str) -> Batch:
    """Utterances of so many phones and frames: the first has all of them, the last the share ``shortest``."""
    text_lengths = torch.linspace(phones, shortest * phones, size).long()
    lengths = torch.linspace(frames, shortest * frames, size).long()
    text, feats = torch.randint(2, PHONES, (size, phones)), torch.randn(size, frames, 80)
    text[torch.arange(phones) >= text_lengths[:, None]] = 0
    feats[torch.arange(frames) >= lengths[:, None]] = 0
    batch = {"feats": feats, "feats_lengths": lengths, "text": text, "text_lengths": text_lengths}
    batch |= {"sids": torch.randint(0, SPEAKERS, (size,)), "eids": torch.zeros(size, dtype=torch.long)}
    return {key: value.to(device) for key, value in batch.items()}


class PlainNorm(nn.BatchNorm1d):
    """Statistics over padding, too."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class PlainPrenet(Prenet):
    """torch's dropout."""

    def forward(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        for layer in self.layers:
            x = F.dropout(F.relu(layer(x)), self.dropout, self.training or self.always)
        return x


class PlainBiLSTM(nn.Module):
    """nn.LSTM on a packed sequence."""

    def __init__(self, ours: BiLSTM):
        super().__init__()
        first, layers = ours.ahead[0], len(ours.ahead)
        self.lstm = nn.LSTM(
            first.input_size, first.hidden_size, layers, batch_first=True, dropout=ours.dropout.p, bidirectional=True
        )
        for number, pair in enumerate(zip(ours.ahead, ours.back, strict=True)):
            for one, end in zip(pair, ("", "_reverse"), strict=True):
                for name, values in one.named_parameters():
                    getattr(self.lstm, name[:-1] + str(number) + end).data.copy_(values.data)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def energies(rnn: nn.Module, h: torch.Tensor, keys: torch.Tensor, seen: list[torch.Tensor]) -> torch.Tensor:
    """Energies [B, N] of a step, of its state [B, H], keys [B, N, A], the last weights and their sum [B, N]."""
    near = rnn.location_out(rnn.location(torch.stack(seen, 1)).transpose(1, 2))
    return rnn.score(torch.tanh(rnn.query(h)[:, None] + near + keys))[..., 0]


class PlainRecognizer(Recognizer):
    """Step by step."""

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor, embedded: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        memory, mask = self.encode(feats, lengths)
        rnn, keys = self.rnn, self.rnn.key(memory)
        h = c = memory.new_zeros(len(memory), rnn.cell.hidden_size)
        context, weights, total = torch.zeros_like(memory[:, 0]), *torch.zeros_like(memory[:, :, :2]).unbind(2)
        made: list[tuple[torch.Tensor, ...]] = []
        for x in embedded.unbind(1):
            h, c = rnn.cell(torch.cat((x, context), 1), (h, c))
            weights = energies(rnn, h, keys, [weights, total]).masked_fill(~mask, -torch.inf).softmax(1)
            total = total + weights
            context = torch.bmm(weights[:, None], memory)[:, 0]
            hidden = torch.tanh(self.hidden(torch.cat((h, context), 1)))
            made.append((hidden, self.out(self.dropout(hidden)), weights))
        hidden, logits, weights = (torch.stack(x, 1) for x in zip(*made, strict=True))
        return hidden, logits, weights


class PlainDecoder(Decoder):
    """Step by step, with both cells and the projections."""

    def forward(
        self, memory: torch.Tensor, mask: torch.Tensor, feats: torch.Tensor, reduction: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        known = self.prenet(F.pad(feats[:, reduction - 1 : -1 : reduction], (0, 0, 1, 0)))
        rnn, keys = self.rnn, self.rnn.key(memory)
        h = c = h2 = c2 = memory.new_zeros(len(memory), rnn.cell.hidden_size)
        context, weights, total = torch.zeros_like(memory[:, 0]), *torch.zeros_like(memory[:, :, :2]).unbind(2)
        logs = torch.full_like(weights, -1e20).index_fill(1, torch.tensor([0], device=weights.device), 0.0)
        made: list[tuple[torch.Tensor, ...]] = []
        for x in known.unbind(1):
            h, c = rnn.cell(torch.cat((x, context), 1), (h, c))
            moved = F.pad(logs[:, :-1], (1, 0), value=-1e20)
            energy = energies(rnn, h, keys, [weights, total]).masked_fill(~mask, -1e20)
            logs = torch.logsumexp(torch.stack((logs, moved), 2), 2) + energy
            weights = logs.softmax(1)
            total = total + weights
            context = torch.bmm(weights[:, None], memory)[:, 0]
            h2, c2 = self.cell(torch.cat((h, context), 1), (h2, c2))
            out = torch.cat((h2, context), 1)
            made.append((self.mel(out), self.stop(out), weights))
        mel, stop, weights = (torch.stack(x, 1) for x in zip(*made, strict=True))
        return mel.reshape(len(mel), -1, self.n_mels), stop[..., 0], weights


def as_cell(lstm: nn.LSTM) -> nn.LSTMCell:
    """A cell with the weights of an LSTM of one layer."""
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): values for name, values in lstm.state_dict().items()})
    return cell


def make_plain(net: nn.Module) -> nn.Module:
    """Put plain modules in the places of ours, with copies of their weights."""
    forms = {Recognizer: PlainRecognizer, Decoder: PlainDecoder, Prenet: PlainPrenet}
    forms |= {MaskedBatchNorm: PlainNorm, Dropout: nn.Dropout}
    for name, child in net.named_children():
        child.__class__ = forms.get(type(child), type(child))
        if isinstance(child, PlainDecoder):
            child.cell = as_cell(child.cell)
        setattr(net, name, PlainBiLSTM(child) if isinstance(child, BiLSTM) else make_plain(child))
    return net


class Mark(torch.autograd.Function):
    """Passes values and gradients on, and notes when."""

    @staticmethod
    def forward(ctx: Any, forward: Callable[[], None], backward: Callable[[], None], *x: torch.Tensor) -> Any:
        ctx.backward_note = backward
        forward()
        return tuple(value.view_as(value) for value in x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        ctx.backward_note()
        return None, None, *gradients


class Loops:
    """Seconds that the loops of a model take in a step, ``recognizer`` and ``decoder``.

    Gradients come back in the order opposite to that of the forward pass, so what lies between the marks forward lies
    between them backward.
    """

    def __init__(self, model: Seq2Seq):
        self.seconds = {"recognizer": 0.0, "decoder": 0.0}
        encode, hear, speak = model.recognizer.encode, model.recognizer.forward, model.decoder.forward

        def encoded(*args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            memory, mask = encode(*args)
            return self.begin("recognizer", memory), mask

        def spoken(memory: torch.Tensor, *args: Any) -> tuple[torch.Tensor, ...]:
            return self.end("decoder", *speak(self.begin("decoder", memory), *args))

        model.recognizer.encode, model.decoder.forward = encoded, spoken
        model.recognizer.forward = lambda *args: self.end("recognizer", *hear(*args))

    def note(self, name: str, sign: int) -> Callable[[], None]:
        def add() -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds[name] += sign * time.perf_counter()

        return add

    def begin(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return Mark.apply(self.note(name, -1), self.note(name, 1), x)[0]

    def end(self, name: str, *x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return Mark.apply(self.note(name, 1), self.note(name, -1), *x)

    def read(self) -> dict[str, float]:
        """Seconds since the last call."""
        found, self.seconds = self.seconds, dict.fromkeys(self.seconds, 0.0)
        return found


class Form:
    """A model's step: ``plain``, or as evc2's trainer makes it."""

    def __init__(self, model: Seq2Seq, plain: bool, dtype: str, device: str):
        self.m, self.plain, self.dtype, self.device = copy.deepcopy(model), plain, dtype, device
        if plain:
            make_plain(self.m).to(device)
        self.owned = {turn: list(self.m.turn_parameters(turn)) for turn in self.m.turns}
        how = {"foreach": False, "fused": False} if plain else {"fused": True}
        self.optimizers = {turn: torch.optim.Adam(owned, **ADAM, **how) for turn, owned in self.owned.items()}
        self.loops, self.times, self.steps = Loops(self.m), [], 0

    def autocast(self) -> contextlib.AbstractContextManager:
        on = self.dtype != "none"
        return torch.autocast(self.device, getattr(torch, self.dtype)) if on else contextlib.nullcontext()

    def __call__(self, batch: Batch) -> list[float]:
        """Loss and gradient norm of the main turn and of the classifier's."""
        cache, found = self.m.begin_batch(self.steps, batch), []
        for turn, optimizer in self.optimizers.items():
            Owners(self.m).only(turn)
            optimizer.zero_grad(set_to_none=not self.plain)
            with self.autocast():
                loss = self.m(turn=turn, step=self.steps, cache=cache, **batch)[0]
            loss.backward()
            owned = [p for p in self.owned[turn] if p.grad is not None]
            norm = nn.utils.clip_grad_norm_(owned, CLIP, foreach=False if self.plain else None)
            optimizer.step()
            found += [loss.item(), norm.item()]
        self.times.append(self.loops.read())
        self.steps += 1
        return found

    def loop_ms(self, repeats: int) -> dict[str, float]:
        """Medians of the loops over the last so many steps."""
        return {name: 1e3 * median([row[name] for row in self.times[-repeats:]]) for name in self.times[0]}


def check_equal(conf: dict[str, Any], batch: Batch, device: str) -> dict[str, float]:
    """Largest relative differences of losses and gradient norms; AssertionError where they are no rounding."""
    nets = ("text", "recognizer", "style", "decoder", "postnet")
    still = {**conf, **{key: {**conf[key], "dropout": 0.0} for key in nets}}
    still["decoder"]["drop_frames"] = 0.0
    model = build_model(still).to(device).train()
    differences: list[list[float]] = [[], []]
    for step in (0, 1):  # what is rendered: text, recording
        forms = [Form(model, plain, "none", device) for plain in (True, False)]
        for form in forms:
            form.steps = step
        for k, (a, b) in enumerate(zip(*(form(batch) for form in forms), strict=True)):
            differences[k % 2].append(abs(a / b - 1))
    loss, norm = (max(values) for values in differences)
    assert loss < 1e-5 and norm < 1e-3, f"not the same graph: losses differ by {loss:.2g}, gradients by {norm:.2g}"
    return {"loss": float(f"{loss:.2g}"), "gradient_norm": float(f"{norm:.2g}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="repo", help="of conf/tuning/train_seq2seq_pretrain_*.yaml")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--phones", type=int, default=30)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--shortest", type=float, default=0.75, help="share of all in the last utterance")
    parser.add_argument("--bf16", action="store_true", help="also ours with bfloat16 autocast")
    add_step_arguments(parser, steps=10)
    args = parser.parse_args()
    conf, sizes = preset(args.preset), (args.batch, args.phones, args.frames)
    difference = None if args.peak_of else check_equal(conf, make_batch(*sizes, 1.0, args.device), args.device)
    model, batch = build_model(conf).to(args.device).train(), make_batch(*sizes, args.shortest, args.device)
    kinds = {"plain": (True, "none"), "ours": (False, "none"), "ours_bf16": (False, "bfloat16")}
    forms = {
        name: lambda kind=kind: Form(model, *kind, args.device)
        for name, kind in kinds.items()
        if args.bf16 or name != "ours_bf16"
    }
    case = f"{args.preset}, batch {args.batch}, {args.phones} phones, {args.frames} frames"
    facts = {"parameters": sum(p.numel() for p in model.parameters()), "shortest": args.shortest}
    facts["relative_difference_without_dropout"] = difference
    steps = compare_steps("seq2seq_step", case, forms, lambda: (batch,), args, same_losses=False, **facts)
    loops = {name: form.loop_ms(args.steps) for name, form in steps.items()}
    for name in loops:
        for loop, ours in loops[name].items() if name != "plain" else ():
            label = f"{case}, loop of the {loop}" + f", {name}" * (name != "ours")
            report("seq2seq_step", label, loops["plain"][loop], ours, device=args.device)


if __name__ == "__main__":
    main()
