"""Throughput of the evaluation with one and two processes, and whether its memory grows with the number of trials.

Prints one JSON line a measurement. The wavs are generated, short, and of one voice; the metrics need no weights. Memory
is the sum of the resident sizes of the command's processes, sampled five times a second; the largest value counts.

    OMP_NUM_THREADS=1 python test/perf/evaluate.py --utterances 100 1000
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from side_by_side import report

ROOT = Path(__file__).parents[2]
RATE = 16000
METRICS = "mcd,mcd_nodtw,gv,mcd_gv,lf0_rmse,lf0_corr,vuv,energy_corr,ddur,rate,rate_ratio,fd_mel,distance_to_source"
PAGE = os.sysconf("SC_PAGE_SIZE")


def voice(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Syllables on a gliding pitch: float32 [n]."""
    t = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(np.geomspace(*rng.uniform(100, 200, 2), len(t))) / RATE
    peak = rng.uniform(500, 2000)
    wav = sum(np.cos(k * phase) / (1 + ((150 * k - peak) / 400) ** 2) for k in range(1, 30))
    swell = 0.03 + np.sin(np.pi * 5 * t) ** 2
    return (0.2 * wav * swell / np.abs(wav).max() + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)


def make_data(folder: Path, count: int, seconds: float) -> None:
    """`count` trials with a source, a reference and an output of their own each (three wavs)."""
    rng = np.random.default_rng(0)
    tables: dict[str, list[str]] = {"data/wav.scp": [], "data/utt2emo": [], "data/utt2spk": [], "trials": [], "scp": []}
    for name in ("wav", "data"):
        (folder / name).mkdir(parents=True)
    for k in range(count):
        for kind in ("angry", "neutral", "out"):
            utt = f"s-{kind}-{k:05d}"
            path = folder / "wav" / f"{utt}.wav"
            soundfile.write(path, voice(rng, seconds * rng.uniform(0.9, 1.1)), RATE)
            if kind == "out":
                tables["scp"].append(f"t-{k:05d} {path}")
            else:
                tables["data/wav.scp"].append(f"{utt} {path}")
                tables["data/utt2emo"].append(f"{utt} {kind}")
                tables["data/utt2spk"].append(f"{utt} s")
        tables["trials"].append(f"t-{k:05d} s-neutral-{k:05d} s angry s-angry-{k:05d}")
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(sorted(lines)) + "\n")


def tree_size(root: int) -> int:
    """Resident bytes of a process and its descendants (Linux)."""
    parents, sizes = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                sizes[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * PAGE
            except (OSError, ValueError, IndexError):
                continue  # it ended meanwhile
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        total += sizes.get(process, 0)
        waiting += [child for child, parent in parents.items() if parent == process]
    return total


def cpu_seconds() -> float:
    """Processor time of all processes that this one has waited for, and of those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def evaluate(folder: Path, nj: int) -> tuple[float, float, int]:
    """Seconds that the command takes, its start included, its processor time, and its most memory in bytes."""
    words = [sys.executable, "-m", "evc2.bin.evaluate", "--trials", "trials", "--data_dir", "data", "--out", f"out{nj}"]
    words += ["--system", "out=scp", "--metrics", METRICS, "--nj", str(nj), "--bootstrap", "200", "--verbose", "0"]
    words += ["--report", "false"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begin, used, peak = time.perf_counter(), cpu_seconds(), 0
    process = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, tree_size(process.pid))
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"the command failed with status {process.returncode}")
    return time.perf_counter() - begin, cpu_seconds() - used, peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, nargs=2, default=(100, 1000), help="few and many (100 1000)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a wav (1.0)")
    args = parser.parse_args()
    few, many = args.utterances
    with tempfile.TemporaryDirectory() as name:
        seconds, cpu, size = {}, {}, {}
        for count in (few, many):
            make_data(Path(name) / str(count), count, args.seconds)
        for nj in (1, 2):
            for count in (few, many):
                seconds[count, nj], cpu[count, nj], size[count, nj] = evaluate(Path(name) / str(count), nj)
    about = {"utterances": [few, many], "wav_s": args.seconds}
    for nj in (1, 2):
        sizes = (size[count, nj] / 2**20 for count in (few, many))
        report("evaluate", f"memory of {many} trials against {few}, nj {nj}", *sizes, "MiB", **about)
    # The difference of the two counts leaves the start of the command out. Processor time tells what an utterance costs
    # on a machine that does other work as well; the rates are worth reading on an idle one only.
    speed = [(many - few) / (seconds[many, nj] - seconds[few, nj]) for nj in (1, 2)]
    cost = {f"cpu_ms_nj{nj}": round(1000 * (cpu[many, nj] - cpu[few, nj]) / (many - few), 1) for nj in (1, 2)}
    report("evaluate", "nj 2 against nj 1", *speed, "utterances/s", more_is_better=True, **cost, **about)


if __name__ == "__main__":
    main()
