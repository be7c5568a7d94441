"""What a recipe's row asserts about what it left, by name. Each gets the row's run and raises AssertionError."""

import csv
import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import yaml

from evc2.fileio.ark import ScpReader
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir, read_table
from evc2.fileio.trials import read_trials


@dataclass
class Row:
    """One row of test/recipes/*.csv with the folder where it runs: a copy of the recipe's."""

    folder: Path
    config: str
    options: list[str]
    stages: tuple[int, int]
    limit: float

    @property
    def phase(self) -> str:
        """The name of the configuration's phase: conf/debug/train_x.yaml -> debug_train_x."""
        return self.config.removeprefix("conf/").removesuffix(".yaml").replace("/", "_")

    @property
    def exp(self) -> Path:
        """The experiment's folder, which --evc_tag names."""
        if "--evc_tag" in self.options:
            return self.folder / "exp" / self.options[self.options.index("--evc_tag") + 1]
        return next(self.folder.glob(f"exp/{self.phase}_*"))

    def dump(self, name: str) -> Path:
        """A folder below dump/, such as "test" for dump/<contract>/<split>_test."""
        return next(p for p in self.folder.glob(f"dump/*/*_{name}") if p.is_dir() and "_anchors_" not in p.name)

    def run(self, *more: str) -> str:
        """Call run.sh with the row's options and `more`; return what it printed. A failure is an AssertionError."""
        first, last = self.stages
        words = ["--stage", str(first), "--stop_stage", str(last), "--train_config", self.config, *self.options, *more]
        return call(["./run.sh", *words], self.folder, self.limit)


def call(words: Sequence[str], folder: Path, limit: float) -> str:
    """Run a command with this test's Python first on PATH; after `limit` seconds it is ended, with all it started."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "cmd_backend": "local"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(words, cwd=folder, env=environment, text=True, start_new_session=True, **pipes)
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # run.sh and evc.sh end their jobs
        os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate()
        raise AssertionError(f"{shlex.join(words)}: not done after {limit} s\n{output[-3000:]}") from None
    assert process.returncode == 0, f"{shlex.join(words)}: status {process.returncode}\n{output[-6000:]}"
    return output


def arks_readable(row: Row) -> None:
    """Every utterance has finite features of one width, and as many frames as utt2num_frames says."""
    for name in ("train", "dev", "test"):
        folder = row.dump(name)
        frames = read_table(folder / "utt2num_frames")
        with_all = ScpReader(folder / "feats.scp")
        assert sorted(with_all) == sorted(DataDir(folder).utts) != []
        widths = set()
        for utt in with_all:
            value = with_all[utt]
            assert value.dtype == np.float32 and np.isfinite(value).all(), utt
            assert len(value) == int(frames[utt]), utt
            widths.add(value.shape[1])
        assert len(widths) == 1


def rerun_skips(row: Row) -> None:
    """The same command again finds every stage up to date and changes no table."""
    before = {path: path.stat().st_mtime_ns for path in row.folder.glob("dump/**/*.scp")}
    output = row.run()
    assert "up to date" in output and "done again" not in output, output
    assert before == {path: path.stat().st_mtime_ns for path in row.folder.glob("dump/**/*.scp")}


def scores_finite(row: Row) -> None:
    """Every trial has a finite MCD for the trained system, and the table names it."""
    decode = row.exp / "decode_test"
    content = (decode / "scores.tsv").read_text(encoding="utf-8")
    rows = [r for r in csv.DictReader(io.StringIO(content), delimiter="\t") if r["system"] == row.phase]
    assert len(rows) == len(read_trials(row.dump("test") / "trials")) > 0
    assert all(math.isfinite(float(r["mcd"])) and float(r["mcd"]) > 0 for r in rows)
    assert any(float(r["distance_to_source"]) > 0.1 for r in rows), "the output is the source"
    assert row.phase in (decode / "RESULTS.md").read_text(encoding="utf-8")
    json.loads((decode / "scores.json").read_text(encoding="utf-8"))


def means(path: Path, metric: str) -> dict[str, float]:
    """System -> mean of a metric over the trials of a scores.tsv; every value must be finite."""
    values: dict[str, list[float]] = {}
    for r in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t"):
        values.setdefault(r["system"], []).append(float(r[metric]))
    assert all(math.isfinite(v) for v in chain.from_iterable(values.values())), (path, metric)
    return {system: float(np.mean(v)) for system, v in values.items()}


def ablation_table(row: Row) -> None:
    """local/ablation.sh: all rows in one table, each part converted alone; a second call has nothing to do."""
    words = ["local/ablation.sh", "--train_config", row.config, *row.options]
    call(words, row.folder, row.limit)
    found = means(row.exp / "ablation_test" / "scores.tsv", "distance_to_source")
    parts = ("f0_only", "mcep_only", "power_only", "all")
    assert list(found) == ["natural", "zero_effort", "analysis_synthesis", *parts]
    assert found["zero_effort"] == 0
    # The spectrum is the source's but for what synthesis costs, unless the network made it.
    assert max(found["f0_only"], found["power_only"]) < min(found["mcep_only"], found["all"])
    asked = ("--spectrum keep --power keep", "--f0 keep --power keep", "--f0 keep --spectrum keep --power gaussian", "")
    for name, words_of in zip(parts, asked, strict=True):
        mark = row.exp / f"decode_test{'' if name == 'all' else f'_{name}'}" / ".stage6"
        assert json.loads(mark.read_text(encoding="utf-8"))["inputs"]["options"] == f"--plot false {words_of}".strip()
    output = call(words, row.folder, row.limit)
    assert "ablation_test: up to date" in output and "done again" not in output, output


def all_pairs_table(row: Row) -> None:
    """local/all_pairs.sh: a model a pair, all directions in one table; a second call trains and converts nothing."""
    words = ["local/all_pairs.sh", "neutral:angry", "neutral:sad", "--train_config", row.config, *row.options]
    call(words, row.folder, row.limit)
    trials = read_trials(row.dump("test") / "trials")
    emotions = DataDir(row.dump("test")).table("utt2emo")
    directions = {f"{emotions[t.source]}:{t.emotion}" for t in trials}
    assert sorted(directions) == ["angry:neutral", "neutral:angry", "neutral:sad", "sad:neutral"]
    name = row.exp.name
    assert list(means(row.exp / "all_pairs_test" / "scores.tsv", "mcd")) == ["natural", "zero_effort", name]
    converted = read_table(row.exp / "decode_test" / "wav.scp")
    assert list(converted) == sorted(t.id for t in trials)
    for trial in trials:
        pair = "neutral_angry" if "angry" in (emotions[trial.source], trial.emotion) else "neutral_sad"
        assert f"exp/{name}_{pair}/" in converted[trial.id]
    output = call(words, row.folder, row.limit)
    assert "all_pairs_test: up to date" in output and "done again" not in output, output


def judges_judge(row: Row) -> None:
    """Both judges (the SVM one where its packages are) give every emotion a score, and say how good they are."""
    from evc2.evaluate.judge import KINDS, get_judge, kind_of, own_accuracy
    from evc2.evaluate.settings import Settings, settings, use

    folders = [str(path.parent) for path in row.folder.glob("exp/**/judge.json")]
    assert str(row.folder / "exp" / row.phase / "neural") in folders
    before = settings()
    use(Settings(judges=tuple(folders)))
    try:
        wav, _ = read_audio(str(next(row.folder.glob("dump/natural/wav/*.wav"))), rate=16000)
        for name in (name for name, (_, kind, _) in KINDS.items() if kind in map(kind_of, folders)):
            judge = get_judge(name)
            scores, embedding = judge.judge(wav, next(iter(judge.folds)))
            assert scores.shape == (4,) and abs(scores.sum() - 1) < 1e-6 and np.isfinite(embedding).all()
            assert "natural:" in own_accuracy(name) and "world:" in own_accuracy(name)
    finally:
        use(before)


def copies_scored(row: Row) -> None:
    """Every vocoder has finite distances in the table: natural speech 0, Griffin-Lim less than an untrained one."""
    for name in ("mel_l1", "mr_stft"):
        found = means(row.exp / "copy_test" / "scores.tsv", name)
        assert found["natural"] == 0 < found["griffin_lim"] < found[row.phase]


def units_scored(row: Row) -> None:
    """Units have a bitrate and an ABX error, that of spectra is that of right times, and the submission is whole."""
    decode = row.exp / "decode_test"
    found = json.loads((decode / "zerospeech.json").read_text(encoding="utf-8"))["embeddings"]
    assert found["units"]["bitrate"]["bits_per_second"] > 0 and not found["units"]["bitrate"]["missing"]
    errors = {name: parts["abx"]["abx"]["cosine"]["error"] for name, parts in found.items()}
    assert set(errors) == {"units", "dense", "mel"} and errors["mel"] < 25 and 0 < errors["units"] < 100
    with zipfile.ZipFile(decode / "submission.zip") as archive:
        names = archive.namelist()
    test, trials = DataDir(row.dump("test")), read_trials(row.dump("test") / "trials")
    assert sum(name.startswith("2019/english/test/S") for name in names) == len(test.utts)
    assert sum(name.endswith(".wav") for name in names) == len(trials) > 0


def five_anchors(row: Row) -> None:
    """All anchors stand in the table of scores."""
    found = set(means(row.exp / "decode_test" / "scores.tsv", "mcd"))
    assert found >= {"zero_effort", "analysis_synthesis", "f0", "f0_power", "f0_power_mcep"}


def wav_lengths_equal(row: Row) -> None:
    """A conversion of each trial, finite, not silent, exactly as long as its source."""
    converted = read_table(row.exp / "decode_test" / "wav.scp")
    test = DataDir(row.dump("test"))
    trials = read_trials(row.dump("test") / "trials")
    assert sorted(converted) == sorted(trial.id for trial in trials)
    for trial in trials:
        wav, rate = read_audio(str(row.folder / converted[trial.id]))
        source, source_rate = read_audio(str(row.folder / test.table("wav.scp")[trial.source]))
        assert (len(wav), rate) == (len(source), source_rate), trial.id
        assert np.abs(wav).max() > 0.01, trial.id


def pack_converts(row: Row) -> None:
    """The pack alone converts a recording that is in no data directory, from the last of its emotions to the first."""
    pack = next(row.exp.glob("*.zip"))
    source = next(iter(DataDir(row.dump("test")).table("wav.scp").values()))
    config = yaml.safe_load((row.exp / row.phase / "config.yaml").read_text(encoding="utf-8"))
    conf = config["system_conf"]
    domains = conf.get("domains") or conf["emotions"]
    words = ["-m", "evc2.bin.convert", "--model", str(pack), "--source_emotion", domains[-1], "--emotion", domains[0]]
    root = row.folder.parents[2]
    command = ["env", f"PYTHONPATH={root}", sys.executable, *words, str(row.folder / source), "out.wav"]
    call(command, row.folder, row.limit)
    wav, _ = read_audio(str(row.folder / "out.wav"))
    assert np.abs(wav).max() > 0.01


def pack_speaks(row: Row) -> None:
    """The pack alone says a sentence that no data directory has, with a hard token, and again as a recording sounds."""
    pack = next(row.exp.glob("*.zip"))
    source = next(iter(DataDir(row.dump("test")).table("wav.scp").values()))
    conf = yaml.safe_load((row.exp / row.phase / "config.yaml").read_text(encoding="utf-8"))["system_conf"]
    root = row.folder.parents[2]
    words = ["env", f"PYTHONPATH={root}", sys.executable, "-m", "evc2.bin.synthesize", "--model", str(pack)]
    words += ["--text", "She rode 7 zebras, quickly!", "--speaker", conf["speakers"][0], "--vocoder", "griffin_lim"]
    said = {}
    for name, how in (
        ("hard", ["--emotion", conf["emotions"][0]]),
        ("soft", ["--ref_audio", str(row.folder / source)]),
    ):
        call([*words, *how, "--out", f"{name}.wav"], row.folder, row.limit)
        said[name], rate = read_audio(str(row.folder / f"{name}.wav"))
        assert np.isfinite(said[name]).all() and np.abs(said[name]).max() > 1e-4
        assert len(said[name]) > 0.3 * rate
    hard, soft = said.values()
    assert len(hard) != len(soft) or np.abs(hard - soft).max() > 1e-4


def resumes(row: Row) -> None:
    """With a larger max_epoch, training goes on from its checkpoint instead of starting anew."""
    config = yaml.safe_load((row.exp / row.phase / "config.yaml").read_text(encoding="utf-8"))
    epochs = int(config["max_epoch"])
    before = json.loads((row.exp / row.phase / "train_summary.json").read_text(encoding="utf-8"))
    longer = Row(row.folder, row.config, row.options, (5, 5), row.limit)
    longer.run("--evc_exp", str(row.exp.relative_to(row.folder)), "--train_args", f"--max_epoch {epochs + 1}")
    after = json.loads((row.exp / row.phase / "train_summary.json").read_text(encoding="utf-8"))
    assert after["epochs"] == before["epochs"] + 1
    assert after["steps"] == before["steps"] // before["epochs"] * after["epochs"]


CHECKS = {
    function.__name__: function
    for function in (
        arks_readable,
        rerun_skips,
        scores_finite,
        five_anchors,
        units_scored,
        wav_lengths_equal,
        pack_converts,
        resumes,
        judges_judge,
        copies_scored,
        pack_speaks,
        ablation_table,
        all_pairs_table,
    )
}
