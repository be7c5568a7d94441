#!/usr/bin/env python3
"""Real-time factor of vocoders on recordings, a JSON line each: seconds of synthesis for a second of sound.

Features are made before the clock starts, and one utterance is synthesised first (it compiles, allocates, chooses
kernels). Numbers of threads take turns, so that another load on the machine meets all alike. The plain form is the
fewest threads.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from material import CONF, make_recordings
from side_by_side import alternate, report

from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.feats.world import analyze
from evc2.fileio.audio import read_audio
from evc2.vocoder import build_vocoder
from evc2.vocoder.abs_vocoder import AbsVocoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--wav", nargs="+", help="recordings; generated signals without it")
    parser.add_argument("--vocoders", nargs="+", default=["world", "griffin_lim", "hifigan_universal"])
    parser.add_argument("--contract", default=CONF / "feats_hifigan.yaml", help="for Griffin-Lim")
    parser.add_argument("--world", default=CONF / "feats_world.yaml", help="for WORLD")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2, help="the fastest of these counts")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = args.wav or make_recordings(Path(folder) / "data", (2.0, 4.0), FeatureContract.load(args.contract))
        measure(args, paths)


def measure(args: argparse.Namespace, paths: list) -> None:
    """Synthesise the recordings with every vocoder and number of threads."""
    for name in args.vocoders:
        vocoder = build_vocoder(
            name, FeatureContract.load(args.world if name == "world" else args.contract), device=args.device
        )
        rate = vocoder.contract.rate
        wavs = [read_audio(path, rate)[0] for path in paths]
        if name == "world":
            feats = [analyze(wav, vocoder.contract, with_envelope=True) for wav in wavs]
        else:
            feats = [extract(wav, vocoder.contract) for wav in wavs]
        sound = sum(map(len, wavs)) / rate
        vocoder(feats[0], contract=vocoder.contract)

        def run(threads: int, vocoder: AbsVocoder = vocoder, feats: list = feats) -> None:
            torch.set_num_threads(threads)
            for one in feats:
                vocoder(one, contract=vocoder.contract)

        seconds = alternate({str(n): lambda n=n, run=run: run(n) for n in args.threads}, args.rounds, warmup=0)
        least = {threads: min(times) / sound for threads, times in seconds.items()}
        (first, plain), *others = least.items()
        report("vocoders", f"{name}, {first} threads, {sound:.0f} s of sound", None, plain, "RTF", device=args.device)
        for threads, ours in others:
            label = f"{name}, {threads} threads against {first}, {sound:.0f} s of sound"
            report("vocoders", label, plain, ours, "RTF", device=args.device)


if __name__ == "__main__":
    main()
