#!/usr/bin/env python3
"""What stages 2 to 4 and the start of training cost as the corpus grows.

Corpora of --counts utterances (2 s each, --speakers speakers in four emotions) go through the commands of the recipes
one after the other: the checks of a data directory, the marks of the stages, the jobs and the joining of stages 2 and
3, the statistics, and the loader of training up to its first batches. A line for each says what it used. Then, from
each size to the next, lines compare memory, open files and seconds per utterance: "plain" is the smaller corpus, "ours"
the larger one, so a ratio of 1 is memory that is flat and time that is linear, and one below 1 is growth. The time that
a command needs for --speakers x 4 utterances, mostly its start, is taken off first; where less than 0.1 s is left of
the smaller corpus's time there is no ratio. At last, for an hour of audio of the largest corpus: processor seconds of
every command, and how many files and MiB stages 2 and 3 make of it.

    python test/perf/corpus_growth.py --counts 100 1000
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import side_by_side
import usage

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "egs/TEMPLATE/evc1"
EMOTIONS = ("angry", "happy", "neutral", "sad")
RATE = 16000
MEASURABLE = 0.1  # seconds


def write_corpus(folder: Path, count: int, seconds: float, speakers: int, voices: int = 200) -> None:
    """A data directory of 16 kHz files: `voices` waveforms under as many names as are asked for, each a file."""
    import numpy as np
    import soundfile
    from feats import speech_like

    from evc2.fileio.datadir import utts_by_speaker, write_table

    rng = np.random.default_rng(0)
    sounds = []
    for number in range(min(voices, count)):
        path = folder / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech_like(seconds * rng.uniform(0.7, 1.3), rng), RATE)
        sounds.append(path.read_bytes())
        path.unlink()
    (folder / "wav").mkdir()
    wavs, spk, emo = {}, {}, {}
    for number in range(count):
        speaker = f"s{number % speakers:03d}"
        utt = f"{speaker}-{number:06d}"
        wavs[utt], spk[utt] = folder / "wav" / f"{utt}.wav", speaker
        emo[utt] = EMOTIONS[number // speakers % len(EMOTIONS)]
        wavs[utt].write_bytes(sounds[number % len(sounds)])
    text = {utt: f"the words of sentence {int(utt[-6:]) // speakers}" for utt in wavs}
    tables = {"wav.scp": wavs, "utt2spk": spk, "utt2emo": emo, "text": text, "spk2utt": utts_by_speaker(spk)}
    for name, table in tables.items():
        write_table(folder / name, table)


def steps(folder: Path, contract: Path, nj: int) -> list[tuple[str, list[str]]]:
    """The commands of stages 1 to 5, by name, as the recipes give them for a corpus below `folder`."""
    data, dump, stats = folder / "data", folder / "dump/train", folder / "dump/stats.npz"
    evc2 = [sys.executable, "-m"]
    run_pl = [ROOT / "utils/run.pl", "--max-jobs-run", nj, f"JOB=1:{nj}", dump / "log/job.JOB.log"]
    parts = ["--njobs", nj, "--job", "JOB"]
    joined = ["--njobs", nj, "--merge", "true"]
    prepare = [*evc2, "evc2.bin.format_wav", "--data_dir", data, "--contract", contract, "--out", dump]
    extract = [*evc2, "evc2.bin.extract_feats", "--data_dir", dump, "--contract", contract, "--out", dump]
    mark = [sys.executable, ROOT / "utils/stage_done.py"]
    of_audio = [dump / ".stage2", "--inputs", data, contract, "--scp", data / "wav.scp"]
    of_feats = [dump / ".stage3", "--inputs", dump / "utt2spk", contract, "--scp", dump / "wav.scp"]
    found = [
        ("validate", [ROOT / "utils/validate_data_dir.sh", "--no-text", "--no-feats", data, "--need", "utt2emo"]),
        ("fix", [ROOT / "utils/fix_data_dir.sh", data]),
        ("stage 2, jobs", [*run_pl, *prepare, *parts]),
        ("stage 2, joining", [*prepare, *joined]),
        ("stage 2, mark", [*mark, "write", *of_audio, "--outputs", dump / "wav.scp"]),
        ("stage 2, check", [*mark, "check", *of_audio]),
        ("stage 3, jobs", [*run_pl, *extract, *parts]),
        ("stage 3, joining", [*extract, *joined]),
        ("stage 3, mark", [*mark, "write", *of_feats, "--outputs", dump / "feats.scp"]),
        ("stage 3, check", [*mark, "check", *of_feats]),
        ("stage 4", [*evc2, "evc2.bin.stats", "--data_dir", dump, "--out", stats]),
        ("stage 5, start", [sys.executable, __file__, "--loader", folder, "--contract", contract]),
    ]
    return [(name, [str(word) for word in command]) for name, command in found]


def load(folder: Path, contract: Path, batches: int = 500) -> None:
    """Build the training iterators of the CycleGAN on a prepared corpus and take the first batches."""
    from evc2.tasks.data import build_factory
    from evc2.tasks.evc import EVCTask

    dump = str(folder / "dump/train")
    words = ["--config", TEMPLATE / "conf/train_cyclegan.yaml", "--feats_contract", contract, "--train_dir", dump]
    words += ["--valid_dir", dump, "--stats", folder / "dump/stats.npz", "--output_dir", folder / "exp"]
    args = EVCTask.get_parser().parse_args([str(word) for word in (*words, "--num_iters_per_epoch", batches)])
    EVCTask.prepare(args)
    options = EVCTask.build_iter_options(args, distributed_option=_Alone(), mode="train")
    for _ in build_factory(args, options, "train").build_iter(1):
        pass


class _Alone:
    """What espnet2 asks about processes, for a single one."""

    distributed = False


def measure(folder: Path, count: int, args: argparse.Namespace) -> tuple[dict[str, usage.Usage], dict[str, float]]:
    """Make a corpus and run everything on it; what every step used, and what there is then. Nothing of it stays."""
    write_corpus(folder / "data", count, args.seconds, args.speakers)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    found = {}
    for name, command in steps(folder, args.contract, min(args.nj, count))[: -1 if args.no_training else None]:
        log = folder / "log" / name.replace(", ", "_").replace(" ", "")
        log.parent.mkdir(exist_ok=True)
        with open(log, "wb") as stream:
            try:
                found[name] = usage.watch(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)
            except subprocess.CalledProcessError:
                sys.exit(f"{name} failed: {' '.join(command)}\n{log.read_text(errors='replace')}")
        facts = {key: round(value, 3) for key, value in asdict(found[name]).items()}
        seconds = facts.pop("seconds")
        case = f"{name}, {count} utterances"
        side_by_side.report("corpus_growth", case, None, seconds, "s", step=name, utterances=count, **facts)
    made = contents(folder / "dump/train", args.contract)
    shutil.rmtree(folder)
    return found, made


def contents(dump: Path, contract: Path) -> dict[str, float]:
    """Hours of audio of a feature dir, and files and MiB of its kinds."""
    from evc2.feats.contract import FeatureContract
    from evc2.fileio.tables import read_table

    samples = sum(map(int, read_table(dump / "utt2num_samples").values()))
    kinds = {"audio": list((dump / "wav").iterdir()), "arks": list((dump / "arks").glob("*.ark"))}
    kinds["tables"] = [path for path in (*dump.iterdir(), *(dump / "arks").glob("*.scp")) if path.is_file()]
    found = {f"{kind}, MiB": sum(path.stat().st_size for path in paths) / 2**20 for kind, paths in kinds.items()}
    hours = samples / FeatureContract.load(contract).rate / 3600
    return {"hours": hours, "audio, files": len(kinds["audio"]), **found}


def of_an_hour(found: dict[str, usage.Usage], start: dict[str, usage.Usage], made: dict[str, float]) -> None:
    """Print what an hour of audio costs and what it becomes."""
    for name, used in found.items():
        seconds = max(used.cpu_seconds - start[name].cpu_seconds, 0.0) / made["hours"]
        side_by_side.report("corpus_growth", f"{name}, an hour of audio", None, seconds, "CPU s")
    for name, number in made.items():
        if name != "hours":
            kind, unit = name.split(", ")
            side_by_side.report("corpus_growth", f"{kind}, an hour of audio", None, number / made["hours"], unit)


def compare(found: dict[int, dict[str, usage.Usage]], least: dict[str, usage.Usage]) -> None:
    """Print what becomes of memory and of time per utterance from each size to the next."""
    for small, large in pairwise(sorted(found)):
        for name, before in found[small].items():
            after, start = found[large][name], least[name]
            case = f"{name}, {large} over {small} utterances"
            side_by_side.report("corpus_growth", f"{case}: memory", before.peak_mb, after.peak_mb, "MiB")
            side_by_side.report("corpus_growth", f"{case}: open files", before.open_files, after.open_files, "files")
            for what in ("seconds", "cpu_seconds"):
                one, two = (getattr(used, what) - getattr(start, what) for used in (before, after))
                each = (1e3 * one / small if one > MEASURABLE else None, 1e3 * max(two, 0.0) / large)
                side_by_side.report("corpus_growth", f"{case}: {what} an utterance", *each, "ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000], help="sizes (100 1000 10000)")
    parser.add_argument("--seconds", type=float, default=2.0, help="mean length of an utterance (2)")
    parser.add_argument("--speakers", type=int, default=10, help="how many (10)")
    parser.add_argument("--nj", type=int, default=2, help="jobs (2)")
    parser.add_argument("--contract", type=Path, default=TEMPLATE / "conf/feats_world.yaml")
    parser.add_argument("--work", type=Path, help="folder to work below, with place for the corpora (a temporary one)")
    parser.add_argument("--no_training", action="store_true", help="leave out the start of training")
    parser.add_argument("--loader", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.loader:
        load(args.loader, args.contract)
        return
    least = len(EMOTIONS) * args.speakers
    if min(args.counts) <= least:
        parser.error(f"--counts: expected numbers over {least}, one utterance of each speaker in each emotion")
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        all_of = {n: measure(Path(name) / str(n), n, args) for n in (least, *sorted(args.counts))}
    found = {n: used for n, (used, _) in all_of.items()}
    start, largest = found.pop(least), max(found)
    compare(found, start)
    of_an_hour(found[largest], start, all_of[largest][1])


if __name__ == "__main__":
    main()
