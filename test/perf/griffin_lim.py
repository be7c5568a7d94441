#!/usr/bin/env python3
"""Time and result of Griffin-Lim against torchaudio's on the same magnitudes, in one run.

Both take turns, so that another load on the machine meets them alike. "off" is the spectral convergence: the distance
of the result's magnitudes from the wanted ones, divided by their size. Prints one JSON line.

    OMP_NUM_THREADS=2 python test/perf/griffin_lim.py --audio DIR
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchaudio
from feats import RATE, speech_like
from side_by_side import report, wait_for_device

from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel, spectrum
from evc2.feats.mel_conversion import expand
from evc2.fileio.audio import read_audio
from evc2.vocoder.mel_inversion import magnitude
from evc2.vocoder.phases import griffin_lim

CONTRACT = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of recordings; without, a made signal")
    parser.add_argument("--files", type=int, default=4, help="how many of them")
    parser.add_argument("--n_iter", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="of each file; the medians count")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    c = FeatureContract.from_dict({**FeatureContract.load(CONTRACT).to_dict(), "center": True})
    if args.audio:
        paths = sorted(p for p in args.audio.rglob("*") if p.suffix in (".wav", ".flac"))[: args.files]
        wavs = [read_audio(p, c.rate)[0] for p in paths]
    else:
        wavs = [speech_like((4.0 + i) * c.rate / RATE, np.random.default_rng(i)) for i in range(args.files)]
    theirs = torchaudio.transforms.GriffinLim(c.n_fft, args.n_iter, hop_length=c.hop, power=1.0, momentum=0.99)
    theirs = theirs.to(args.device)
    seconds: dict[str, list[float]] = {"evc2": [], "torchaudio": [], "inversion": []}
    off: dict[str, list[float]] = {"evc2": [], "torchaudio": []}

    def timed(name: str, function: Callable[[], torch.Tensor]) -> torch.Tensor:
        wait_for_device()
        start = time.perf_counter()
        result = function()
        wait_for_device()
        seconds[name].append(time.perf_counter() - start)
        return result

    with torch.inference_mode():
        for i, wav in enumerate([wavs[0], *wavs]):
            true = spectrum(wav, c)
            wanted = torch.tensor(true, dtype=torch.float32, device=args.device)
            turned = wanted.T.contiguous()
            mel = torch.tensor(expand(log_mel(wav, c), c), dtype=torch.float32, device=args.device)
            found = {name: [] for name in seconds}
            for seed in range(args.repeats):
                torch.manual_seed(seed)
                one = timed("evc2", lambda wanted=wanted, s=seed: griffin_lim([wanted], c, args.n_iter, 0.99, s)[0])
                other = timed("torchaudio", lambda turned=turned: theirs(turned))
                timed("inversion", lambda mel=mel: magnitude(mel, c))
                for name, result in (("evc2", one[: len(other)]), ("torchaudio", other)):
                    again = spectrum(result.double().cpu().numpy(), c)
                    off[name].append(float(np.linalg.norm(again - true[: len(again)]) / np.linalg.norm(true)))
            for name, times in seconds.items():
                found[name] = statistics.median(times[-args.repeats :])
                times[-args.repeats :] = [found[name]]
            if i == 0:  # the first round only warms up
                for values in (*seconds.values(), *off.values()):
                    values.clear()
    total = {name: sum(values) for name, values in seconds.items()}
    duration = sum(len(wav) for wav in wavs) / c.rate
    report(
        "griffin_lim",
        f"{args.n_iter} iterations, {duration:.0f} s of sound",
        1e3 * total["torchaudio"],
        1e3 * total["evc2"],
        device=args.device,
        rtf=round((total["evc2"] + total["inversion"]) / duration, 4),
        off={name: round(float(np.mean(values)), 5) for name, values in off.items()},
    )


if __name__ == "__main__":
    main()
