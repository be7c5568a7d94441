"""Throughput of feature extraction: jobs of extract_feats against a plain loop with Harvest, as ratios.

Prints one JSON line. The baseline reads each file, runs Harvest, CheapTrick and the coding, and keeps the arrays; the
jobs are the command itself, with its start, its arks and the joining. Utterances repeat until they last --minutes.

    OMP_NUM_THREADS=1 python test/perf/feats.py --audio DIR --minutes 60
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about pkg_resources
    import pyworld

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "egs/TEMPLATE/evc1/conf/feats_world.yaml"
RATE = 16000


def speech_like(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Voiced syllables of gliding pitch and resonance between hisses and pauses: about 60 % voiced, as in speech."""
    parts, total = [], 0
    while total < seconds * RATE:
        n = int(rng.uniform(0.08, 0.3) * RATE)
        kind = rng.choice(3, p=(0.65, 0.2, 0.15))
        if kind == 0:
            f0 = np.geomspace(*rng.uniform(90, 280, 2), n)
            phase = 2 * np.pi * np.cumsum(f0) / RATE
            peak = rng.uniform(400, 2500)
            wav = sum(np.cos(k * phase) / (1 + ((k * f0 - peak) / 300) ** 2) / k for k in range(1, 26))
        else:
            wav = np.diff(rng.standard_normal(n + 1)) * (0.2 if kind == 1 else 1e-3)
        parts.append(0.3 * wav * np.hanning(n))
        total += n
    return np.concatenate(parts)[: int(seconds * RATE)]


def make_data(audio: Path | None, minutes: float, folder: Path) -> tuple[Path, float]:
    """A data directory of 16 kHz files that lasts `minutes`; returns it and its seconds."""
    from evc2.fileio.audio import read_audio
    from evc2.fileio.datadir import write_table

    rng = np.random.default_rng(0)
    lengths: list[tuple[Path, float]] = []
    sources = sorted(p for p in audio.rglob("*") if p.suffix in (".wav", ".flac")) if audio else range(40)
    if audio and not sources:
        sys.exit(f"{audio}: no .wav or .flac below it")
    for number, source in enumerate(sources):
        wav = read_audio(source, RATE)[0] if audio else speech_like(rng.uniform(2, 6), rng)
        path = folder / "wav" / f"{number:05d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, wav, RATE)
        lengths.append((path, len(wav) / RATE))
        if sum(s for _, s in lengths) >= 60 * minutes:
            break
    wavs, seconds = {}, 0.0
    while seconds < 60 * minutes:
        path, length = lengths[len(wavs) % len(lengths)]
        wavs[f"s-{len(wavs):06d}"] = path
        seconds += length
    data = folder / "data"
    write_table(data / "wav.scp", wavs)
    write_table(data / "utt2spk", dict.fromkeys(wavs, "s"))
    return data, seconds


def plain_loop(paths: list[str], budget: float) -> float:
    """Seconds of computation for a second of audio; stops after `budget` seconds of audio."""
    begin, audio, kept = time.perf_counter(), 0.0, []
    for path in paths:
        wav, rate = soundfile.read(path)
        f0, times = pyworld.harvest(wav, rate, f0_floor=71.0, f0_ceil=800.0, frame_period=5.0)
        sp = pyworld.cheaptrick(wav, f0, times, rate, fft_size=1024)
        kept.append((f0, pyworld.code_spectral_envelope(sp, rate, 24), np.log(sp.sum(axis=1))))
        audio += len(wav) / rate
        if audio >= budget:
            break
    return (time.perf_counter() - begin) / audio


def jobs(data: Path, out: Path, nj: int) -> float:
    """Seconds that nj processes of the command and the joining take."""
    command = [sys.executable, "-m", "evc2.bin.extract_feats", "--data_dir", data, "--contract", CONTRACT, "--out", out]
    command = [str(word) for word in (*command, "--njobs", nj)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"env": env, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    begin = time.perf_counter()
    running = [subprocess.Popen([*command, "--job", str(job)], **options) for job in range(1, nj + 1)]
    if any([process.wait() for process in running]):
        sys.exit("a job failed")
    subprocess.run([*command, "--merge", "true"], check=True, **options)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of .wav or .flac; generated signals without it")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the material (60)")
    parser.add_argument("--baseline_minutes", type=float, help="stop the plain loop after that much of it")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, seconds = make_data(args.audio, args.minutes, folder)
        paths = [line.split(maxsplit=1)[1] for line in (data / "wav.scp").read_text().splitlines()]
        # The plain loop before and after the jobs, half each: other work on the machine then disturbs both alike.
        budget, half = 30 * (args.baseline_minutes or args.minutes), len(paths) // 2
        before = plain_loop(paths[:half] or paths, budget)
        one, two = (jobs(data, folder / f"nj{nj}", nj) / seconds for nj in (1, 2))
        plain = (before + plain_loop(paths[half:], budget)) / 2
    result = {
        "what": "feature extraction",
        "audio": "real" if args.audio else "generated",
        "minutes": round(seconds / 60, 2),
        "cores": len(os.sched_getaffinity(0)),
        "rtf_plain_harvest": round(plain, 5),
        "rtf_nj1": round(one, 5),
        "rtf_nj2": round(two, 5),
        "times_faster_nj1": round(plain / one, 2),
        "times_faster_nj2": round(plain / two, 2),
        "nj2_over_nj1": round(one / two, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
