#!/usr/bin/env python3
"""Seconds of speech that the emotion-transfer TTS makes in a second, without vocoder, of a short and a long text.

The whole of convert(): phones to numbers, predicted durations, spectrogram. Weights are random, but for the last layer
of the duration predictor, which gives five frames (58 ms) to every phone. The short text has as many phones as a
sentence of RAVDESS. Prints a JSON line for each preset and text; there is no plain form.

    OMP_NUM_THREADS=1 python test/perf/emotts_synthesis.py
"""

import argparse
import math

import torch
from emotts_step import build_model, preset
from side_by_side import alternate, median, report

from evc2.systems.emotts import EmoTTS
from evc2.train.abs_model import ConversionTarget

RATE, HOP, FRAMES = 22050, 256, 5  # of the hifigan contract; frames of a phone


def set_durations(model: EmoTTS) -> None:
    """Let the predictor answer the same duration for every phone, after all its work."""
    norm, out = model.predictor.norms[-1], model.predictor.out
    norm.weight.zero_()
    norm.bias.fill_(1.0)
    out.weight.fill_(math.log(FRAMES + 1) / out.in_features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["repo", "default"])
    parser.add_argument("--phones", nargs="+", type=int, default=[20, 400])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    for name in args.presets:
        model = build_model(preset(name)).to(args.device).eval()
        with torch.no_grad():
            set_durations(model)
        target = ConversionTarget(model.emotions[0], model.speakers[0])
        for phones in args.phones:
            source = {"phones": [model.tokens[2 + i % (len(model.tokens) - 2)] for i in range(phones)]}
            made = model.convert(source, target)["feats"]
            assert len(made) == phones * FRAMES, f"{phones} phones gave {len(made)} frames"
            runs = {"convert": lambda m=model, s=source, t=target: m.convert(s, t)}  # ends on the host
            seconds = alternate(runs, args.repeats, 3)["convert"]
            speech = len(made) * HOP / RATE
            case = f"{name}, {phones} phones, {speech:.1f} s"
            facts = {"ms": round(1e3 * median(seconds), 2), "rtf_by_least": round(min(seconds) / speech, 5)}
            facts["parameters"] = sum(p.numel() for p in model.parameters())
            report("emotts_synthesis", case, None, median(seconds) / speech, "RTF", device=args.device, **facts)


if __name__ == "__main__":
    main()
