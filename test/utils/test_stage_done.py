"""Marks of finished stages: what counts as unchanged, and what does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "utils" / "stage_done.py"


@pytest.fixture
def stage(tmp_path):
    """stage(action, *words) in tmp_path, with a table, a file, a folder and an output."""
    (tmp_path / "corpus" / "deep").mkdir(parents=True)
    (tmp_path / "corpus" / "deep" / "a.wav").write_bytes(b"sound")
    (tmp_path / "wav.scp").write_text("a corpus/deep/a.wav\nb cat x.wav |\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("a s\n")
    (tmp_path / "out").write_text("result")
    inputs = ["--inputs", "data", "absent", "--scp", "wav.scp", "--tree", "corpus"]

    def stage(action, *words, options="--trim true"):
        more = ["--outputs", "out", *words] if action == "write" else []
        command = [sys.executable, SCRIPT, action, "marks/.stage", f"--options={options}", *inputs, *more]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return stage


def test_unchanged_is_done(stage, tmp_path):
    assert stage("check").returncode == 1 and stage("check").stdout == ""
    assert stage("write").returncode == 0
    assert stage("check").returncode == 0
    (tmp_path / "data" / "utt2spk").write_text("a s\n")  # the same content, another time
    (tmp_path / "data" / "big.ark").write_text("x")
    assert stage("check").returncode == 0
    assert [path.name for path in (tmp_path / "marks").iterdir()] == [".stage"]


def _other_content(folder):
    (folder / "data" / "utt2spk").write_text("a t\n")


def _new_table(folder):
    (folder / "data" / "utt2emo").write_text("a sad\n")


def _appears(folder):
    (folder / "absent").write_text("x")


def _touched_audio(folder):
    os.utime(folder / "corpus" / "deep" / "a.wav", (1, 1))


def _more_audio(folder):
    (folder / "corpus" / "deep" / "b.wav").write_bytes(b"")


def _lost_output(folder):
    (folder / "out").unlink()


def _other_output(folder):
    (folder / "out").write_text("resulT")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_content, "data changed"),
        (_new_table, "data changed"),
        (_appears, "absent changed"),
        (_touched_audio, "changed"),
        (_more_audio, "corpus changed"),
        (_lost_output, "out is missing or changed"),
        (_other_output, "out is missing or changed"),
    ],
)
def test_a_change_is_seen_and_named(stage, tmp_path, change, said):
    assert stage("write").returncode == 0
    change(tmp_path)
    done = stage("check")
    assert done.returncode == 1 and said in done.stdout


def test_other_options_are_seen(stage):
    stage("write")
    done = stage("check", options="--trim false")
    assert done.returncode == 1 and "options changed" in done.stdout


@pytest.mark.parametrize("content", ["", "[]", '{"inputs": 3}', json.dumps({"inputs": {}})])
def test_a_broken_mark_is_none(stage, tmp_path, content):
    stage("write")
    (tmp_path / "marks" / ".stage").write_text(content)
    done = stage("check")
    assert done.returncode == 1 and "cannot be read" in done.stdout and "Traceback" not in done.stderr


def test_a_stage_without_its_output_is_not_done(stage, tmp_path):
    done = stage("write", "never_made")
    assert done.returncode == 1 and "never_made" in done.stderr
    assert not (tmp_path / "marks").exists()
