#!/usr/bin/env python3
"""Time and peak memory of a training step of each preset, ours against the straightforward eager fp32 form, in one run.

The straightforward form: value and gate convolutions apart, every forward pass done anew for every update, gradients of
all networks in all updates, torch's default Adam. Ours: as evc2's trainer makes the step, with the precision that
``amp_dtype: auto`` gives on this machine. Times are interleaved in one process; peak memory (largest resident set
beyond the start, or CUDA's own count) is that of a process of its own for each. Prints two JSON lines a configuration.
"""

import argparse
from pathlib import Path

import torch
import yaml
from cyclegan_step import RATES, Published, adam_turns, on_pairs, unfuse
from side_by_side import Step, add_step_arguments, compare_steps
from torch.nn import functional as F

from evc2.systems import build
from evc2.systems.munit import MUNIT
from evc2.train.options import resolve_amp

CONF = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf"
PRESETS = [f"{path}train_{s}{end}.yaml" for s in ("cyclegan", "munit")
           for path, end in (("", ""), ("tuning/", "_repo"), ("tuning/", "_small"))]  # fmt: skip


class PublishedMUNIT:
    """The straightforward step of MUNIT: discriminators, then generators, each with forward passes of their own."""

    def __init__(self, model: MUNIT):
        self.m = unfuse(model)
        self.optimizers = {
            t: torch.optim.Adam(list(model.turn_parameters(t)), lr, betas=(0.5, 0.999)) for t, lr in RATES.items()
        }

    def update(self, turn: str, loss: torch.Tensor) -> float:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[turn].step()
        return loss.item()

    def step(self, a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
        m = self.m

        def dec(i: int, c: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
            return m.part("decoder", i)(c, m.part("mlp", i)(s))

        def codes() -> tuple[torch.Tensor, ...]:
            return tuple(m.part(p, i)(x) for p in ("content", "style") for i, x in enumerate((a, b)))

        c_a, c_b, s_a, s_b = codes()
        fakes = dec(0, c_b, s_a).detach(), dec(1, c_a, s_b).detach()
        loss_d = sum(
            (m.D[i](real)[0] - 1).square().mean() + m.D[i](fake)[0].square().mean()
            for i, (real, fake) in enumerate(zip((a, b), fakes, strict=True))
        )
        first = self.update("discriminator", m.lambda_g * loss_d)
        c_a, c_b, s_a, s_b = codes()
        x_ba, x_ab = dec(0, c_b, s_a), dec(1, c_a, s_b)
        codes_again = [m.part(p, i)(x) for p in ("content", "style") for i, x in enumerate((x_ba, x_ab))]
        targets = [x.detach() if m.fixed_targets else x for x in (c_b, c_a, s_a, s_b)]
        parts = [F.l1_loss(x, y) for x, y in zip(codes_again, targets, strict=True)]
        content, style = parts[0] + parts[1], parts[2] + parts[3]
        loss = m.lambda_x * (F.l1_loss(dec(0, c_a, s_a), a) + F.l1_loss(dec(1, c_b, s_b), b))
        loss = loss + m.lambda_s * style + m.lambda_c * content
        loss = loss + m.lambda_g * sum((m.D[i](x)[0] - 1).square().mean() for i, x in enumerate((x_ba, x_ab)))
        if m.lambda_cycle:
            x_aba, x_bab = dec(0, codes_again[1], s_a), dec(1, codes_again[0], s_b)
            loss = loss + m.lambda_cycle * (F.l1_loss(x_aba, a) + F.l1_loss(x_bab, b))
        return first, self.update("generator", loss)


def prepare(config: dict, form: str, device: str) -> Step:
    """The step of one form."""
    torch.manual_seed(0)
    conf = {**config["system_conf"], "power": "network", "lambda_cls": 0.0}  # the published forms have no classes
    if config["system"] == "munit":
        conf["style_draw"] = "encoded"  # no random draw, so that both forms have the same losses
    else:
        conf["identity_stop"] = None
    model = build(config["system"], conf).to(device)
    if form == "ours":
        return on_pairs(adam_turns(model, resolve_amp(config["amp_dtype"], int(device == "cuda")), False, device))
    return (PublishedMUNIT if config["system"] == "munit" else Published)(model).step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=PRESETS, help="below egs/TEMPLATE/evc1/conf")
    add_step_arguments(parser, steps=3, warmup=1)
    args = parser.parse_args()
    for path in args.configs:
        config = yaml.safe_load((CONF / path).read_text(encoding="utf-8"))
        shape = (config["batch_size"], 24, config["crop_frames"])
        forms = {f: lambda form=f, conf=config: prepare(conf, form, args.device) for f in ("plain", "ours")}
        draw = lambda shape=shape: tuple(torch.randn(shape, device=args.device) for _ in "ab")  # noqa: E731
        compare_steps("system_step", path, forms, draw, args, batch=config["batch_size"])


if __name__ == "__main__":
    main()
