"""Throughput of feature extraction: jobs of extract_feats against a plain loop with Harvest, and two jobs against one.

The plain loop reads each file, runs Harvest, CheapTrick and the coding, and keeps the arrays; the jobs are the command
itself, with its start, its arks and the joining. Utterances repeat until they last --minutes. One and two jobs take
turns --rounds times. What two processes can gain on this machine at most is measured between them: pure computation
(the analysis of waveforms in memory, and Python's own arithmetic) in one process, and in two that each do half of it.
"ratio_by_processor" is what two free CPUs would give, by the processor time of a job. CPUs that are siblings, threads
of one core, give less than separate cores do; a virtual machine may hide that they are.

    OMP_NUM_THREADS=1 python test/perf/feats.py --minutes 20
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import side_by_side
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


class Clock:
    """Seconds since its making, by the wall and by the processor in ended child processes, which other loads on the
    machine do not lengthen.
    """

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), self._cpu()

    @staticmethod
    def _cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def __call__(self, share: int = 1) -> np.ndarray:
        """Both; processor seconds are divided among `share` processes."""
        return np.array([time.perf_counter() - self.wall, (self._cpu() - self.cpu) / share])


def jobs(data: Path, out: Path, nj: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that nj processes of the command take, and the joining of what they made."""
    command = [sys.executable, "-m", "evc2.bin.extract_feats", "--data_dir", data, "--contract", CONTRACT, "--out", out]
    command = [str(word) for word in (*command, "--njobs", nj)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"env": env, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    clock = Clock()
    running = [subprocess.Popen([*command, "--job", str(job)], **options) for job in range(1, nj + 1)]
    if any([process.wait() for process in running]):
        sys.exit("a job failed")
    seconds, clock = clock(nj), Clock()
    subprocess.run([*command, "--merge", "true"], check=True, **options)
    return seconds, clock()


def analysis(times: int) -> None:
    """What a job computes, `times` times, on a waveform in memory."""
    from evc2.feats.contract import FeatureContract
    from evc2.feats.extract import extract

    wav, contract = speech_like(4.0, np.random.default_rng(0)), FeatureContract.load(CONTRACT)
    for _ in range(times):
        extract(wav, contract)


def arithmetic(times: int) -> None:
    """Sums of integers: no memory, no library."""
    for _ in range(times):
        total = 0
        for i in range(400_000):
            total += i * i


def _wait_and_work(work: Callable[[int], None], times: int, ready: multiprocessing.Barrier) -> None:
    work(1)
    ready.wait()
    work(times)


def computing(work: Callable[[int], None], times: int, processes: int) -> np.ndarray:
    """Seconds until `processes` have done `times` pieces of work between them; their start is not in the wall's."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(processes + 1)
    running = [context.Process(target=_wait_and_work, args=(work, times // processes, ready)) for _ in range(processes)]
    for process in running:
        process.start()
    ready.wait()
    clock = Clock()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        sys.exit("a process failed")
    return clock(processes)


def in_turns(data: Path, folder: Path, rounds: int, pieces: int) -> dict[str, np.ndarray]:
    """Seconds [one and two processes, rounds, wall and processor] of jobs with their joining, of the joining alone, and
    of computation.
    """
    found: dict[str, list[list[np.ndarray]]] = {}
    for _ in range(rounds):
        for n in (1, 2):
            seconds, joining = jobs(data, folder / f"nj{n}", n)
            computed = {work.__name__: computing(work, pieces, n) for work in (analysis, arithmetic)}
            for name, value in {"jobs": seconds + joining, "joining": joining, **computed}.items():
                found.setdefault(name, [[], []])[n - 1].append(value)
    return {name: np.array(values) for name, values in found.items()}


def report_two(case: str, seconds: np.ndarray, **facts: object) -> None:
    """The line of two processes against one: medians, and what the quickest turns and the processor time say."""
    wall, cpu = np.moveaxis(seconds, -1, 0)
    least, middle = wall.min(axis=1), [side_by_side.median(list(turns)) for turns in wall]
    facts["ratio_by_least"] = round(least[0] / least[1], 3)
    facts["ratio_by_processor"] = round(np.median(cpu[0]) / np.median(cpu[1]), 3)
    side_by_side.report("feats", case, *map(float, middle), "s", **facts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of .wav or .flac; generated signals without it")
    parser.add_argument("--minutes", type=float, default=20.0, help="length of the material (20)")
    parser.add_argument(
        "--baseline_minutes", type=float, default=1.0, help="stop the plain loop after that much of it (1)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of one job and two (5)")
    parser.add_argument(
        "--pieces", type=int, default=100, help="pieces of pure computation, four seconds of audio each (100)"
    )
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, seconds = make_data(args.audio, args.minutes, folder)
        paths = [line.split(maxsplit=1)[1] for line in (data / "wav.scp").read_text().splitlines()]
        # The plain loop before and after the jobs, half each: other work on the machine then disturbs both alike.
        budget, half = 30 * min(args.baseline_minutes, args.minutes), len(paths) // 2
        before = plain_loop(paths[:half] or paths, budget)
        found = in_turns(data, folder, args.rounds, args.pieces)
        plain = (before + plain_loop(paths[half:], budget)) / 2
    siblings = [side_by_side.siblings(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    facts = {"audio": "real" if args.audio else "generated", "minutes": round(seconds / 60, 2), "rounds": args.rounds}
    for n in (1, 2):
        rtf = side_by_side.median(list(found["jobs"][n - 1, :, 0])) / seconds
        side_by_side.report("feats", f"nj={n} over a loop with Harvest", plain, float(rtf), "RTF", **facts)
    facts["siblings"] = siblings
    report_two("nj=2 over nj=1", found.pop("jobs"), **facts)
    report_two("nj=2 over nj=1, joining", found.pop("joining"), **facts)
    for name, values in found.items():
        report_two(f"two processes over one, {name} alone", values, **facts)


if __name__ == "__main__":
    main()
