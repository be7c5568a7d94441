"""The recipe for text to speech on any corpus: its stage 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evc2.bin.text_corpus import main as text_corpus
from evc2.fileio.datadir import DataDir, validate
from evc2.fileio.manifest import read_manifest

RECIPE = Path(__file__).parents[2] / "egs/tts/evc1"


def run(script, *options):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([script, *options], cwd=RECIPE, env=environment, capture_output=True, text=True, timeout=100)


@pytest.fixture
def vctk(tmp_path):
    """Two speakers, ten sentences, of which one is common; audio is not opened in stage 1 unless it has a header."""
    for speaker in ("p225", "p226"):
        for i in range(10):
            for path, content in (
                (f"wav48/{speaker}/{speaker}_{i:03d}.wav", "x"),
                (f"txt/{speaker}/{speaker}_{i:03d}.txt", f"{speaker if i else 'both'} says {i}."),
            ):
                (tmp_path / "db" / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "db" / path).write_text(content)
    return tmp_path


def test_stage_1(vctk):
    done = run("local/data.sh", "--db_root", vctk / "db", "--out", vctk / "data", "--corpus", "vctk")
    assert done.returncode == 0, done.stderr
    sets = {name: DataDir(vctk / "data" / name) for name in ("train", "dev", "test")}
    for data in sets.values():
        validate(data.path, need=("wav.scp", "utt2spk", "spk2utt", "text", "utt2emo"))
        assert {utt[:4] for utt in data.utts} == {"p225", "p226"} and set(data.table("utt2emo").values()) == {"other"}
        assert not (data.path / "trials").exists()
    assert [len(data.utts) for data in sets.values()] == [16, 2, 2]


def test_some_speakers_and_limits(vctk):
    options = ["--corpus", "vctk", "--db_root", vctk / "db", "--out", vctk / "data"]
    done = run("local/data.sh", *options, "--speakers", "p226", "--max_per_speaker", "5", "--dev_fraction", "0.4")
    assert done.returncode == 0, done.stderr
    assert [len(DataDir(vctk / "data" / name).utts) for name in ("train", "dev", "test")] == [2, 2, 1]
    for more, message in (
        (["--download", "true"], "nothing is fetched here"),
        (["--corpus", "ljspeech"], "LJSpeech: "),
        (["--speakers", "p227"], "no utterance is of 'p227'"),
    ):
        done = run("local/data.sh", *options, *more)
        assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr


def test_the_corpus_is_an_option_of_the_recipe():
    """--corpus names the split, too; other options go on to the pipeline."""
    done = run("./run.sh", "--corpus", "vctk", "--local_data_opts=--max_seconds 9", "--nj", "3", "--help")
    assert done.returncode == 0, done.stderr
    shown = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip().startswith("--")}
    assert "(default: vctk)" in shown["--split"] and "(default: 3)" in shown["--nj"]
    assert "(default: --corpus vctk --max_seconds 9)" in shown["--local_data_opts"]
    assert "(default: true)" in shown["--skip_eval"] and "(default: none)" in shown["--directions"]
    done = run("./run.sh", "--nj", "3", "--corpus")
    assert done.returncode == 1 and "--corpus needs a value" in done.stderr


def test_real_files(real_data, tmp_path):
    root = real_data("librispeech_sub")
    options = ["--corpus", "librispeech", "--db_root", str(root), "--max_seconds", "0"]
    text_corpus([*options, "--manifest", str(tmp_path / "m.tsv")])
    rows = read_manifest(tmp_path / "m.tsv")
    assert len(rows) == 351 and all(row.text and row.gender for row in rows)
