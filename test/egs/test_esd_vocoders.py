"""The recipe for the vocoders of the seq2seq conversion: its options and its stage 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evc2.fileio.datadir import DataDir, validate

RECIPE = Path(__file__).parents[2] / "egs/esd/voc1"


def run(script, *options):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([script, *options], cwd=RECIPE, env=environment, capture_output=True, text=True, timeout=100)


def shown(*options):
    """Option -> its line in --help."""
    done = run("./run.sh", *options, "--help")
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line for line in done.stdout.splitlines() if line.strip().startswith("--")}


@pytest.fixture
def corpora(tmp_path):
    """Two speakers of each; of ESD a sentence of every set and two for training, in two emotions."""
    files = {}
    for speaker in ("p225", "p226"):
        for i in range(10):
            files[f"vctk/wav48/{speaker}/{speaker}_{i:03d}.wav"] = "x"
            files[f"vctk/txt/{speaker}/{speaker}_{i:03d}.txt"] = f"Number {i}."
    for speaker in ("0013", "0014"):
        numbers = {"Neutral": (1, 21, 51, 52), "Angry": (351, 371, 401, 402)}
        lines = []
        for emotion, each in numbers.items():
            for number in each:
                files[f"esd/{speaker}/{emotion}/{speaker}_{number:06d}.wav"] = "x"
                lines.append(f"{speaker}_{number:06d}\tSay it.\t{emotion}\n")
        files[f"esd/{speaker}/{speaker}.txt"] = "".join(lines)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def sets(folder):
    found = {name: DataDir(folder / name) for name in ("train", "dev", "test")}
    for data in found.values():
        validate(data.path, need=("wav.scp", "utt2spk", "spk2utt", "text"))
        assert not (data.path / "trials").exists()  # there is nothing to convert
    return {name: sorted(data.utts) for name, data in found.items()}


def test_both_corpora(corpora):
    for corpus, speakers, counts in (("vctk", "", [16, 2, 2]), ("esd", "0013", [4, 2, 2])):
        options = ["--corpus", corpus, "--db_root", corpora / corpus, "--speakers", speakers, "--max_seconds", "0"]
        done = run("local/data.sh", *options, "--out", corpora / f"data_{corpus}")
        assert done.returncode == 0, done.stderr
        assert [len(utts) for utts in sets(corpora / f"data_{corpus}").values()] == counts
    assert sets(corpora / "data_esd")["test"] == ["0013_000021", "0013_000371"]  # ESD's own


def test_the_sets_of_a_system_are_kept(corpora):
    """However they were drawn, no test utterance of the system trains its vocoder."""
    given = {"train": [51, 351], "dev": [52, 371], "test": [1, 401, 402]}
    for name, numbers in given.items():
        (corpora / "evc" / name).mkdir(parents=True)
        lines = [f"0013_{number:06d} 0013\n" for number in numbers]
        (corpora / "evc" / name / "utt2spk").write_text("".join(lines))
    options = ["--corpus", "esd", "--db_root", corpora / "esd", "--max_seconds", "0", "--out", corpora / "data"]
    done = run("local/data.sh", *options, "--sets_of", corpora / "evc")
    assert done.returncode == 0, done.stderr
    assert sets(corpora / "data") == {name: [f"0013_{n:06d}" for n in numbers] for name, numbers in given.items()}
    for more, message in (
        (["--sets_of", corpora / "esd"], "expected " + str(corpora / "esd/train/utt2spk")),
        (["--download", "true"], "nothing is fetched here"),
        (["--speakers", "0020"], "no utterance is of '0020'"),
    ):
        done = run("local/data.sh", *options, *more)
        assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr


def test_corpus_and_speakers_name_the_split():
    lines = shown("--corpus", "esd", "--speakers=0013 0014", "--local_data_opts", "--max_seconds 9", "--nj", "3")
    assert "(default: esd_0013_0014)" in lines["--split"] and "(default: 3)" in lines["--nj"]
    assert "(default: --corpus esd --speakers '0013 0014' --max_seconds 9)" in lines["--local_data_opts"]
    assert "feats_seq2seq.yaml" in lines["--feats_conf"] and "train_wavernn_wa1.yaml" in lines["--train_config"]
    lines = shown("--split", "mine")
    assert "(default: mine)" in lines["--split"] and "--corpus vctk" in lines["--local_data_opts"]
    done = run("./run.sh", "--nj", "3", "--speakers")
    assert done.returncode == 1 and "--speakers needs a value" in done.stderr
