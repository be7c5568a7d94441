#!/usr/bin/env python3
"""Time of WaveRNN's folded, prepared and compiled generation against the eager loop, sample by sample, in one run.

The eager loop is the plain step (GRU cells) without folds. It is timed on a stretch, in parts around the others' runs,
so that another load on the machine meets all alike, and scaled to the whole length: its time is proportional to the
samples. Processor time is given too, which suffers less from other loads. With --model and --wav the waveforms of the
utterance are compared too: the mean absolute difference of their mels from the given mel, with and without folds.
Prints a JSON line for each form.

    OMP_NUM_THREADS=2 python test/perf/wavernn.py --model exp/voc_wavernn --wav FILE
"""

import argparse
import time

import numpy as np
import torch
from side_by_side import report, wait_for_device

from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.fileio.audio import read_audio
from evc2.nets.wavernn import WaveRNN
from evc2.nets.wavernn_generation import WaveRNNGenerator
from evc2.vocoder import build_vocoder


def read_mel(path: str, contract: FeatureContract, seconds: float) -> np.ndarray:
    """Mel [T, n_mels] of the beginning of a recording."""
    wav, _ = read_audio(path, rate=contract.rate)
    return log_mel(wav[: int(seconds * contract.rate)], contract)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of voc_train or checkpoint; otherwise random weights at hop 256")
    parser.add_argument("--wav", help="recording whose mel is spoken; otherwise random mels")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--target", type=int, default=2500)
    parser.add_argument("--overlap", type=int, default=550)
    parser.add_argument("--stretch", type=int, default=20480, help="samples of the eager loop in all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no_compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.model:
        vocoder = build_vocoder(args.model, device=args.device)
        net, contract, rate = vocoder.net, vocoder.contract, vocoder.contract.rate
    else:
        net, contract, rate = WaveRNN(hop=256, upsample_scales=(4, 8, 8)).eval().to(args.device), None, 22050
    given = None
    if args.wav and contract is not None:
        given = read_mel(args.wav, contract, args.seconds)
        frames = torch.from_numpy(np.pad(given, ((net.pad, net.pad), (0, 0)), mode="edge").T.copy()).to(args.device)
    else:
        frames = torch.randn(net.n_mels, round(args.seconds * rate / net.hop) + 2 * net.pad, device=args.device)
    samples = (frames.shape[1] - 2 * net.pad) * net.hop
    eager = WaveRNNGenerator(net, fast=False)
    runs = {"folded_fast": WaveRNNGenerator(net)}
    begin = time.perf_counter()
    if not args.no_compile:
        runs["folded_fast_compiled"] = WaveRNNGenerator(net, compiled=True)
    compiling = time.perf_counter() - begin
    parts = args.rounds * (len(runs) + 1)
    part = frames[:, : -(-args.stretch // parts // net.hop) + 2 * net.pad]
    timed = parts * (part.shape[1] - 2 * net.pad) * net.hop
    folds = {"target": args.target, "overlap": args.overlap}
    for generator in (eager, *runs.values()):
        generator([frames[:, : 1 + 2 * net.pad]], **folds)
    wall, cpu, wavs = dict.fromkeys(["eager_loop", *runs], 0.0), dict.fromkeys(["eager_loop", *runs], 0.0), {}

    def clocked(name: str, generator: WaveRNNGenerator, mel: torch.Tensor, share: float, **how) -> None:
        wait_for_device()
        begin, processor = time.perf_counter(), time.process_time()
        wavs[name] = generator([mel], **how)[0]  # ends on the host
        wall[name] += (time.perf_counter() - begin) * share
        cpu[name] += (time.process_time() - processor) * share

    for _ in range(args.rounds):
        clocked("eager_loop", eager, part, samples / timed, folded=False)
        for name, generator in runs.items():
            clocked(name, generator, frames, 1 / args.rounds, **folds)
            clocked("eager_loop", eager, part, samples / timed, folded=False)
    del wavs["eager_loop"]
    facts = {"rounds": args.rounds, "eager_loop_timed_on": timed, "seconds_to_compile": round(compiling, 1)}
    if given is not None:
        wavs["unfolded"] = runs["folded_fast"]([frames], folded=False)[0]
        distance = {
            name: np.abs(log_mel(wav.numpy(), contract)[: len(given)] - given).mean() for name, wav in wavs.items()
        }
        facts["mel_l1"] = {name: round(float(value), 4) for name, value in distance.items()}
        facts["mel_l1_to_unfolded"] = {name: round(float(v / distance["unfolded"]), 4) for name, v in distance.items()}
    seconds = samples / rate
    for name in runs:
        label = f"{name}, {seconds:.1f} s of sound, folds of {args.target}"
        less = round(cpu["eager_loop"] / cpu[name], 2)
        figures = {"device": args.device, "times_less_processor": less, **facts}
        report("wavernn", label, wall["eager_loop"] / seconds, wall[name] / seconds, "RTF", **figures)


if __name__ == "__main__":
    main()
