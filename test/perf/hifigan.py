"""HiFi-GAN V1 on CPU: the vocoder's forms of the network against the plain eager module. Prints a JSON line a form.

Plain: espnet2's generator as published, weight norm in place, eval, no_grad, float32. All forms take turns on the same
mel and the same number of threads. Real-time factors and `ratio` are of the fastest rounds, `ratio_median` is over all
rounds. On a busy machine compare `ratio_cpu` (1 thread), of processor time, which other jobs disturb less.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from side_by_side import report

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.nets.fast_hifigan import FastHiFiGAN
from evc2.nets.hifigan import build_generator
from evc2.vocoder.formats import read_checkpoint
from evc2.vocoder.formats.hifigan import SPECTROGRAM, published_names
from evc2.vocoder.hifigan import ready_made

RATE, HOP = 22050, 256


def speech(seconds: float, wav: str | None) -> torch.Tensor:
    """Mel [1, 80, T] of a recording at 22.05 kHz (repeated to that length), or of a voice-like buzz."""
    n = int(seconds * RATE) // HOP * HOP
    if wav:
        import soundfile

        x, rate = soundfile.read(wav)
        if rate != RATE:
            raise SystemExit(f"{wav}: expected {RATE} Hz, found {rate}")
        x = np.resize(x, n)
    else:
        t = np.arange(n) / RATE
        x = sum(np.sin(2 * np.pi * k * (120 * t + 3 * np.sin(4 * t))) / k for k in range(1, 30)) * 0.1
    return torch.from_numpy(log_mel(x, FeatureContract.from_dict(SPECTROGRAM)).T.copy())[None]


def generators() -> tuple[torch.nn.Module, torch.nn.Module, str]:
    """The generator as published, and the same with its weight norm folded."""
    plain, folded = build_generator({"version": "v1"}).eval(), build_generator({"version": "v1"}).eval()
    try:
        plain.load_state_dict(published_names(read_checkpoint(ready_made())["generator"]))
        weights = "universal"
    except UserError:
        weights = "random"
    folded.load_state_dict(plain.state_dict())
    folded.remove_weight_norm()
    return plain, folded, weights


def measure(forms: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Wall and processor seconds of each form, round after round, after one warm-up each."""
    for form in forms.values():
        form()
    taken: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            wall, cpu = time.perf_counter(), time.process_time()
            form()
            taken[name]["wall"].append(time.perf_counter() - wall)
            taken[name]["cpu"].append(time.process_time() - cpu)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="speech in each call")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--wav", help="recording at 22.05 kHz to take the mel of")
    parser.add_argument("--torch_compile", action="store_true", help="also torch.compile with frozen weights (minutes)")
    args = parser.parse_args()
    mel, (plain, folded, weights) = speech(args.seconds, args.wav), generators()
    audio = mel.shape[2] * HOP / RATE
    nets: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"plain": plain, "folded": folded}
    nets["fast"] = FastHiFiGAN(folded)
    try:
        nets["fast_compiled"] = FastHiFiGAN(folded, compile=True)
    except OSError as error:
        print(error, file=sys.stderr)
    for threads in args.threads:
        torch.set_num_threads(threads)
        with torch.no_grad():
            if args.torch_compile:
                import torch._inductor.config as inductor

                inductor.freezing = True
                torch._dynamo.reset()
                nets["torch_compile"] = torch.compile(folded)
            waves = {name: net(mel) for name, net in nets.items()}
            taken = measure({name: lambda net=net: net(mel) for name, net in nets.items()}, args.rounds)
        plain_taken = taken.pop("plain")
        for name, times in taken.items():
            pairs = {k: zip(plain_taken[k], times[k], strict=True) for k in ("wall", "cpu")}
            ratios = {k: round(statistics.median(a / b for a, b in both), 2) for k, both in pairs.items()}
            report(
                "hifigan",
                f"{name}, {audio:.1f} s of sound, {threads} threads",
                min(plain_taken["wall"]) / audio,
                min(times["wall"]) / audio,
                "RTF",
                ratio_median=ratios["wall"],
                ratio_cpu=ratios["cpu"],
                difference=float(f"{(waves[name] - waves['plain']).abs().max():.1e}"),
                weights=weights,
                rounds=args.rounds,
            )


if __name__ == "__main__":
    main()
