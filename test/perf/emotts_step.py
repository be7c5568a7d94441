#!/usr/bin/env python3
"""Time of a training step of the emotion-transfer TTS against its plain eager form, in one run.

Plain: the same graph module by module: attention with separate projections and masks, lightweight convolution by a
matrix of bands (as fairseq does on a CPU; its DropConnect drops entries of that matrix), norms by mean and deviation,
one copy per phone in the length regulator, Adam in a loop. Ours: evc2's networks, system and fused Adam, also with
bfloat16 autocast and compiled, as the trainer's --amp_dtype and --compile do. A step is forward pass, loss, backward
pass, clipping and Adam. Losses with equal weights are compared first, without dropout. Steps alternate; medians count.
Prints a JSON line for the time and one for the peak memory of each form.

    OMP_NUM_THREADS=1 python test/perf/emotts_step.py --compile
"""

import argparse
import copy
import math
from pathlib import Path
from typing import Any

import torch
import yaml
from side_by_side import add_step_arguments, compare_steps
from torch import nn
from torch.nn import functional as F
from turns import Turns

from evc2.nets import emotts as nets
from evc2.nets.layers.dropout import Dropout
from evc2.nets.layers.lightconv import LightConv
from evc2.nets.layers.scln import SCLN
from evc2.nets.layers.transformer import FFTBlock
from evc2.systems.emotts import EmoTTS

CONF = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf"
ADAM = {"lr": 1e-4, "betas": (0.9, 0.98), "eps": 1e-9}
Batch = dict[str, torch.Tensor]


def preset(name: str) -> dict[str, Any]:
    """system_conf of ``default`` or another preset's file, with the losses that the plain form has."""
    path = CONF / ("train_emotts.yaml" if name == "default" else f"tuning/train_emotts_{name}.yaml")
    conf = yaml.safe_load(path.read_text(encoding="utf-8"))["system_conf"]
    return {**conf, "mel_loss": "mean", "emotion_loss": "ce"}


def build_model(conf: dict[str, Any]) -> EmoTTS:
    """A model of 24 speakers and 8 emotions with random weights."""
    torch.manual_seed(0)
    names = {"tokens": ["<pad>", "<unk>", *(f"p{i}" for i in range(70))], "emotions": [f"e{i}" for i in range(8)]}
    model = EmoTTS(speakers=[f"s{i}" for i in range(24)], **names, **conf)
    if conf.get("spk_embed_dim"):
        model.spembs.copy_(F.normalize(torch.randn(model.spembs.shape), dim=1))
    return model


def make_batch(size: int, phones: int, frames: int, device: str) -> Batch:
    """Utterances of up to so many phones and frames: the first has all of them, the last three quarters."""
    text_lengths = torch.linspace(phones, 0.75 * phones, size).long()
    lengths = torch.linspace(frames, 0.75 * frames, size).long()
    durations, text = torch.zeros(size, phones, dtype=torch.long), torch.zeros(size, phones, dtype=torch.long)
    for i, (n, t) in enumerate(zip(text_lengths.tolist(), lengths.tolist(), strict=True)):
        durations[i, :n] = torch.linspace(0, t, n + 1).long().diff()
        text[i, :n] = torch.randint(2, 72, (n,))
    feats = torch.randn(size, frames, 80) * 2 - 5
    feats[torch.arange(frames) >= lengths[:, None]] = 0
    batch = {"feats": feats, "feats_lengths": lengths, "text": text, "text_lengths": text_lengths}
    batch |= {"durations": durations, "sids": torch.randint(0, 24, (size,)), "eids": torch.randint(0, 8, (size,))}
    return {key: value.to(device) for key, value in batch.items()}


class PlainFFT(nn.Module):
    """Attention with three projections, convolution layers; the weights of a block of ours."""

    def __init__(self, block: FFTBlock):
        super().__init__()
        size = block.qkv.in_features
        self.heads = block.heads
        self.q, self.k, self.v = (nn.Linear(size, size, bias=False) for _ in "qkv")
        for layer, weight in zip((self.q, self.k, self.v), block.qkv.weight.data.chunk(3), strict=True):
            layer.weight.data.copy_(weight)
        self.out, self.norm1, self.norm2 = (copy.deepcopy(x) for x in (block.out, block.norm1, block.norm2))
        self.wide, self.narrow, self.dropout = (copy.deepcopy(x) for x in (block.wide, block.narrow, block.dropout))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, size = x.shape

        def split(y: torch.Tensor) -> torch.Tensor:
            y = y.view(batch, length, self.heads, -1).permute(2, 0, 1, 3).contiguous()
            return y.view(batch * self.heads, length, -1)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(size // self.heads)
        hidden = ~mask[:, None, :].expand(-1, length, -1).repeat(self.heads, 1, 1)
        y = torch.bmm(scores.masked_fill(hidden, -math.inf).softmax(-1), v).view(self.heads, batch, length, -1)
        y = self.out(y.permute(1, 2, 0, 3).contiguous().view(batch, length, -1))
        x = self.norm1(self.dropout(y) + x).masked_fill(~mask[..., None], 0)
        y = self.narrow(F.relu(self.wide(x.transpose(1, 2)))).transpose(1, 2)
        return self.norm2(self.dropout(y) + x).masked_fill(~mask[..., None], 0)


class PlainLight(nn.Module):
    """Lightweight convolution as a product with a matrix of bands for every item and head."""

    def __init__(self, conv: LightConv):
        super().__init__()
        self.weight, self.heads, self.kernel = copy.deepcopy(conv.weight), conv.heads, conv.kernel
        self.dropout = conv.dropout

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x.masked_fill(~mask[..., None], 0).transpose(0, 1)
        (frames, batch, channels), kernel = x.shape, self.kernel
        rows = batch * self.heads
        x = x.contiguous().view(frames, rows, channels // self.heads).transpose(0, 1)
        weight = self.weight.view(self.heads, kernel).softmax(-1)
        weight = weight.view(1, self.heads, kernel).expand(frames * batch, self.heads, kernel).contiguous()
        weight = weight.view(frames, rows, kernel).transpose(0, 1)
        band = weight.new_zeros(rows, frames, frames + kernel - 1)
        band.as_strided((rows, frames, kernel), (frames * (frames + kernel - 1), frames + kernel, 1)).copy_(weight)
        band = F.dropout(band.narrow(2, kernel // 2, frames), self.dropout, self.training)
        y = torch.bmm(band, x).transpose(0, 1).contiguous().view(frames, batch, channels)
        return y.transpose(0, 1).masked_fill(~mask[..., None], 0)


class PlainNorm(nn.Module):
    """Speaker-condition layer norm as its formula says."""

    def __init__(self, norm: SCLN):
        super().__init__()
        self.affine, self.offset = copy.deepcopy(norm.affine), norm.gain_offset

    def forward(self, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        y = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-8)
        bias, gain = self.affine(s).unsqueeze(1).chunk(2, dim=-1)
        return (gain + self.offset) * y + bias


class PlainReference(nets.ReferenceEncoder):
    """Convolutions, norms and GRU as they come."""

    def forward(self, feats: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        def masked(x: torch.Tensor) -> torch.Tensor:
            frames = torch.arange(x.shape[2], device=x.device)
            return x.masked_fill((frames >= lengths[:, None])[:, None, :, None], 0)

        x = masked((feats - self.silence).unsqueeze(1))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            lengths = (lengths + 1) // 2
            x = masked(F.relu(norm(conv(x))))
        x = x.transpose(1, 2).contiguous()
        states, _ = self.gru(x.view(x.shape[0], x.shape[1], -1))
        return torch.stack([states[i, n - 1] for i, n in enumerate(lengths.tolist())])


class PlainFeedForward(nets.FeedForward):
    """Linear, ReLU, linear, dropout, sum."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.narrow(F.relu(self.wide(x)))) + x


class PlainGated(nets.GatedLightConv):
    """Linear, gate, convolution, dropout, sum."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.conv(F.glu(self.gate(x), dim=-1), mask)) + x


class PlainDecoder(nets.Decoder):
    """Block by block, each with its own functions of the voice."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor, voice: torch.Tensor) -> list[torch.Tensor]:
        made = []
        for conv, norm, ff, norm2, head in zip(
            self.convs, self.conv_norms, self.ffs, self.ff_norms, self.heads, strict=True
        ):
            x = norm2(ff(norm(conv(x, mask), voice)), voice).masked_fill(~mask[..., None], 0)
            made.append(head(x).masked_fill(~mask[..., None], 0))
        return made


def plain_regulate(x: torch.Tensor, durations: torch.Tensor, frames: int) -> torch.Tensor:
    """Repeat phones, one by one."""
    items = []
    for item, counts in zip(x, durations.tolist(), strict=True):
        rows = torch.cat([row.expand(n, -1) for row, n in zip(item, counts, strict=True)])
        items.append(F.pad(rows, (0, 0, 0, frames - len(rows))))
    return torch.stack(items)


def make_plain(net: nn.Module) -> nn.Module:
    """Put plain modules in the places of ours, with copies of their weights."""
    forms = {nets.ReferenceEncoder: PlainReference, nets.FeedForward: PlainFeedForward, Dropout: nn.Dropout}
    forms |= {nets.GatedLightConv: PlainGated, nets.Decoder: PlainDecoder}
    for name, child in net.named_children():
        for kind, plain in ((FFTBlock, PlainFFT), (LightConv, PlainLight), (SCLN, PlainNorm)):
            if isinstance(child, kind):
                setattr(net, name, plain(child))
        child.__class__ = forms.get(type(child), type(child))
        make_plain(getattr(net, name))
    return net


class Plain:
    """The plain step."""

    def __init__(self, model: EmoTTS):
        self.m = make_plain(copy.deepcopy(model))
        self.parameters = [p for p in self.m.parameters() if p.requires_grad]
        self.adam = torch.optim.Adam(self.parameters, **ADAM, foreach=False, fused=False)

    def loss(self, batch: Batch) -> torch.Tensor:
        m, feats, frames = self.m, batch["feats"], batch["feats_lengths"]
        text_mask = torch.arange(batch["text"].shape[1], device=feats.device) < batch["text_lengths"][:, None]
        mask = torch.arange(feats.shape[1], device=feats.device) < frames[:, None]
        tokens = torch.tanh(m.emotion_tokens.tokens).unsqueeze(0).expand(len(feats), -1, -1)
        query = m.emotion_tokens.query(m.reference(feats, frames)).unsqueeze(1)
        keys, values = m.emotion_tokens.key(tokens), m.emotion_tokens.value(tokens)
        logits = torch.bmm(query, keys.transpose(1, 2)).squeeze(1) / math.sqrt(keys.shape[-1])
        hard = F.one_hot(batch["eids"], logits.shape[1]).float()
        emotion = torch.bmm(hard.unsqueeze(1), values)
        voice = m.voice(m.spembs[batch["sids"]]) if hasattr(m, "spembs") else m.voice(batch["sids"])
        x = m.encoder(batch["text"], text_mask)
        x = x + emotion.expand(-1, x.shape[1], -1).masked_fill(~text_mask[..., None], 0)
        fused, predicted = m.predictor(x, text_mask, voice)
        made = m.decoder(plain_regulate(fused, batch["durations"], feats.shape[1]), mask, voice)
        picked = mask.unsqueeze(-1).expand_as(feats)
        mel = sum(F.l1_loss(y.masked_select(picked), feats.masked_select(picked)) for y in made) / len(made)
        target = torch.log(batch["durations"].float() + 1)
        duration = F.mse_loss(predicted.masked_select(text_mask), target.masked_select(text_mask))
        return mel + 0.1 * F.cross_entropy(logits, batch["eids"]) + 0.1 * duration

    def __call__(self, batch: Batch) -> tuple[float]:
        self.adam.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=False)
        self.adam.step()
        return (loss.item(),)


class Ours(Turns):
    """The step as evc2's trainer makes it."""

    def __init__(self, model: EmoTTS, dtype: str, compiled: bool, device: str):
        model = copy.deepcopy(model)
        adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], **ADAM, fused=True)
        super().__init__(model, [adam], dtype, compiled, device, {"main": 1.0})

    def loss(self, batch: Batch) -> torch.Tensor:
        return self.m(turn="main", step=0, cache=self.m.begin_batch(0, batch), **batch)[0]


def gradient_norms(form: Plain | Ours, batch: Batch) -> tuple[float, float]:
    """Loss, and the norm of all gradients."""
    loss = form.loss(batch)
    loss.backward()
    return loss.item(), math.sqrt(sum(float(p.grad.square().sum()) for p in form.parameters if p.grad is not None))


def check_equal(conf: dict[str, Any], batch: Batch, device: str) -> dict[str, float]:
    """Relative differences of loss and gradient norm, without dropout; AssertionError where they are no rounding."""
    nets = ("encoder", "reference", "predictor", "decoder")
    still = {**conf, **{key: {**conf.get(key, {}), "dropout": 0.0} for key in nets}}
    still["reference"]["augment"] = None
    model = build_model(still).to(device).train()
    ours, plain = gradient_norms(Ours(model, "none", False, device), batch), gradient_norms(Plain(model), batch)
    loss, norm = (abs(a / b - 1) for a, b in zip(ours, plain, strict=True))
    assert loss < 1e-5 and norm < 1e-3, f"not the same graph: losses differ by {loss:.2g}, gradients by {norm:.2g}"
    return {"loss": float(f"{loss:.2g}"), "gradient_norm": float(f"{norm:.2g}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="repo", help="default, or another of conf/tuning/train_emotts_*.yaml")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--phones", type=int, default=20)
    parser.add_argument("--frames", type=int, default=85)
    parser.add_argument("--compile", action="store_true", help="also ours compiled")
    parser.add_argument("--bf16", action="store_true", help="also ours with bfloat16 autocast")
    add_step_arguments(parser, steps=25, warmup=3)
    args = parser.parse_args()
    conf = preset(args.preset)
    batch = make_batch(args.batch, args.phones, args.frames, args.device)
    difference = None if args.peak_of else check_equal(conf, batch, args.device)
    model = build_model(conf).to(args.device).train()
    forms: dict[str, Any] = {"plain": lambda: Plain(model)}
    for dtype in ("none", "bfloat16") if args.bf16 else ("none",):
        for compiled in (False, True) if args.compile else (False,):
            name = "ours" + ("_bf16" if dtype != "none" else "") + ("_compile" if compiled else "")
            forms[name] = lambda d=dtype, c=compiled: Ours(model, d, c, args.device)
    case = f"{args.preset}, batch {args.batch}, {args.phones} phones, {args.frames} frames"
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "relative_difference_without_dropout": difference,
    }
    compare_steps("emotts_step", case, forms, lambda: (batch,), args, same_losses=False, **facts)


if __name__ == "__main__":
    main()
