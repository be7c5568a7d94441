#!/usr/bin/env python3
"""Real-time factor of vocoders on recordings, a JSON line each: seconds of synthesis for a second of sound.

Features are made before the clock starts, and one utterance is synthesised first (it compiles, allocates, chooses
kernels). Numbers of threads take turns, so that another load on the machine meets all alike.
"""

import argparse
import json
import os
import platform
import time

import torch

from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.feats.world import analyze
from evc2.fileio.audio import read_audio
from evc2.vocoder import build_vocoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--wav", nargs="+", required=True, help="recordings")
    parser.add_argument("--vocoders", nargs="+", default=["world", "griffin_lim", "hifigan_universal"])
    parser.add_argument("--contract", default="egs/TEMPLATE/evc1/conf/feats_hifigan.yaml", help="for Griffin-Lim")
    parser.add_argument("--world", default="egs/TEMPLATE/evc1/conf/feats_world.yaml", help="for WORLD")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2, help="the fastest of these counts")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "")
    for name in args.vocoders:
        vocoder = build_vocoder(
            name, FeatureContract.load(args.world if name == "world" else args.contract), device=args.device
        )
        rate = vocoder.contract.rate
        wavs = [read_audio(path, rate)[0] for path in args.wav]
        if name == "world":
            feats = [analyze(wav, vocoder.contract, with_envelope=True) for wav in wavs]
        else:
            feats = [extract(wav, vocoder.contract) for wav in wavs]
        sound = sum(map(len, wavs)) / rate
        vocoder(feats[0], contract=vocoder.contract)
        best = dict.fromkeys(args.threads, float("inf"))
        for _ in range(args.rounds):
            for threads in args.threads:
                torch.set_num_threads(threads)
                clock = time.perf_counter()
                for one in feats:
                    vocoder(one, contract=vocoder.contract)
                best[threads] = min(best[threads], time.perf_counter() - clock)
        device = torch.cuda.get_device_name() if args.device.startswith("cuda") else cpu or platform.processor()
        rtf = {threads: round(seconds / sound, 4) for threads, seconds in best.items()}
        print(
            json.dumps(
                {
                    "what": "vocoder_rtf",
                    "vocoder": name,
                    "seconds_of_sound": round(sound, 1),
                    "rtf_by_threads": rtf,
                    "device": device,
                    "load": os.getloadavg()[0],
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
