"""The data-directory scripts under their Kaldi names, and the state of all scripts in utils/."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[2] / "utils"


@pytest.fixture
def call(tmp_path):
    def call(name, *words):
        environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": ""}
        return subprocess.run([UTILS / name, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return call


def test_a_data_directory_by_kaldi_names(call, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "utt2spk").write_text("s2-a s2\ns1-a s1\ns1-b s1\n")
    (data / "wav.scp").write_text("s1-a a.wav\ns1-b b.wav\ns2-a c.wav\n")
    done = call("validate_data_dir.sh", "--no-text", "--no-feats", "data")
    assert done.returncode == 1 and "spk2utt is missing" in done.stderr and "Traceback" not in done.stderr
    assert "fix_data_dir.sh data" in done.stderr
    assert call("fix_data_dir.sh", "data").returncode == 0
    done = call("validate_data_dir.sh", "--no-text", "--no-feats", "data")
    assert done.returncode == 0 and "3 utterances, 2 speakers" in done.stdout
    assert call("subset_data_dir.sh", "--first", "data", "2", "part").returncode == 0
    (tmp_path / "list").write_text("s2-a\n")
    assert call("subset_data_dir.sh", "--utt-list", "list", "data", "rest").returncode == 0
    assert call("combine_data.sh", "again", "part", "rest").returncode == 0
    assert (tmp_path / "again/utt2spk").read_bytes() == (data / "utt2spk").read_bytes()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck():
    done = subprocess.run(["shellcheck", "-x", *sorted(UTILS.glob("*.sh"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted([*UTILS.glob("*.pl"), *UTILS.glob("*.sh")]), ids=lambda path: path.name)
def test_syntax_and_mode(path):
    command = ["perl", "-wc"] if path.suffix == ".pl" else ["bash", "-n"]
    done = subprocess.run([*command, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.access(path, os.X_OK)
