#!/usr/bin/env python3
"""Seconds of speech that the two-stage seq2seq system makes in a second, without vocoder, of a recording and of a text.

The whole of convert(): of a recording the style encoder, the search for phones (as wide as the preset's), decoder and
postnet, of a text the text encoder instead of the search. Weights are random, but what ends a hypothesis or an
utterance is never chosen: the search is cut off at so many phones, the decoder at so many seconds, so that the work is
that of speech of this length. ``share`` is what the search, the decoder's loop and the postnet take of it. Prints a
JSON line for each; there is no plain form.

    OMP_NUM_THREADS=1 python test/perf/seq2seq_inference.py
"""

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import yaml
from seq2seq_step import CONF, build_model, preset
from side_by_side import alternate, median, report, wait_for_device

from evc2.feats.contract import FeatureContract
from evc2.nets.seq2seq.decoder import Limits
from evc2.nets.seq2seq.recognizer import EDGE
from evc2.systems.seq2seq import Seq2Seq
from evc2.train.abs_model import ConversionTarget

NEVER = -1e4


def ready_model(name: str, phones: int, seconds: float, device: str) -> Seq2Seq:
    """A preset's model that hears so many phones, says so many seconds, and knows its speakers' styles."""
    model = build_model(preset(name)).to(device).eval()
    config = yaml.safe_load((CONF / f"train_seq2seq_pretrain_{name}.yaml").read_text(encoding="utf-8"))
    model.contract = FeatureContract.load(CONF.parents[1] / config["feats_contract"])
    with torch.no_grad():
        model.recognizer.out.bias[EDGE] = NEVER
        model.decoder.stop.bias.fill_(NEVER)
        model.styles_mean.normal_()
        model.styles_count.fill_(1)
    steps = round(seconds / model.contract.frame_seconds / int(model.reduction))
    search = model.recognizer.search
    model.recognizer.search = lambda feats, table, width, *_: search(feats, table, width, phones)
    model.limits = lambda *_: Limits(most=steps, linger=steps)
    return model


class Shares:
    """Seconds that parts of a conversion take."""

    def __init__(self, model: Seq2Seq):
        self.seconds: dict[str, list[float]] = {"search": [], "decoder": [], "postnet": []}
        model.recognizer.search = self.timed("search", model.recognizer.search)
        model.decoder.generate = self.timed("decoder", model.decoder.generate)
        model.postnet.forward = self.timed("postnet", model.postnet.forward)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = self.now()
            made = function(*args, **kwargs)
            self.seconds[name].append(self.now() - start)
            return made

        return run

    def now(self) -> float:
        wait_for_device()
        return time.perf_counter()

    def read(self) -> dict[str, list[float]]:
        """What was noted since the last call."""
        found, self.seconds = self.seconds, {name: [] for name in self.seconds}
        return {name: seconds for name, seconds in found.items() if seconds}


def measure(
    model: Seq2Seq, shares: Shares, source: Mapping[str, Any], case: str, args: argparse.Namespace, **facts: Any
) -> None:
    """Report one conversion, repeated."""
    target = ConversionTarget(model.emotions[0], model.speakers[1])
    made = model.convert(source, target)
    speech = len(made["feats"]) * model.contract.frame_seconds
    assert len(made["phones"]) == args.phones and abs(speech / args.seconds - 1) < 0.02, "not the work that was asked"
    shares.read()
    times = alternate({"convert": lambda: model.convert(source, target)}, args.repeats, args.warmup)["convert"]
    middle, parts = median(times), shares.read()
    facts |= {"ms": round(1e3 * middle, 1), "rtf_by_least": round(min(times) / speech, 5)}
    facts["share"] = {name: round(median(values[-args.repeats :]) / middle, 3) for name, values in parts.items()}
    case = f"{case}, {len(made['phones'])} phones, {speech:.1f} s"
    report("seq2seq_inference", case, None, middle / speech, "RTF", device=args.device, **facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["repo", "small"], help="conf/tuning/train_seq2seq_pretrain_*")
    parser.add_argument("--phones", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=2.5, help="of speech, heard and made")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    for name in args.presets:
        model = ready_model(name, args.phones, args.seconds, args.device)
        shares = Shares(model)
        frames = round(args.seconds / model.contract.frame_seconds)
        feats = np.random.default_rng(0).standard_normal((frames, 80)).astype(np.float32)
        said = [model.tokens[2 + i % (len(model.tokens) - 2)] for i in range(args.phones)]
        facts = {"parameters": sum(p.numel() for p in model.parameters()), "width": model.width}
        for kind, source in (("recording", {"feats": feats, "speaker": "unheard"}), ("text", {"phones": said})):
            measure(model, shares, source, f"{name}, {kind}", args, **facts)


if __name__ == "__main__":
    main()
