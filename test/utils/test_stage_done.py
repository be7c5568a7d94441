"""Marks of finished stages: what counts as unchanged, and what does not."""

import json
import os
import subprocess
import sys
import zlib
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


def test_what_killed_runs_left_unfinished_goes_when_there_is_work(stage, tmp_path):
    done = subprocess.Popen(["true"])
    done.wait()
    host = f"{zlib.crc32(os.uname().nodename.encode()):08x}"
    rest = tmp_path / "marks" / "arks" / f".feats.1.{done.pid}-{host}-01234567.ark"
    rest.parent.mkdir(parents=True)
    for action in ("check", "write"):
        rest.write_text("half")
        stage(action)
        assert not rest.exists()
    rest.write_text("half")
    assert stage("check").returncode == 0 and rest.exists()  # nothing to do: nothing is searched


def test_files_that_an_output_table_names_count(tmp_path):
    def stage(action, mark, *words):
        return subprocess.run(
            [sys.executable, SCRIPT, action, mark, *words], cwd=tmp_path, capture_output=True, text=True
        )

    (tmp_path / "set").mkdir()
    ark, other = tmp_path / "set" / "a.ark", tmp_path / "set" / "b.ark"
    ark.write_bytes(b"12345678")
    other.write_bytes(b"")
    (tmp_path / "set" / "feats.scp").write_text("x set/a.ark:2\ny set/a.ark:5\nz set/b.ark:1\n")
    assert stage("write", "set/.stage3", "--outputs", "set/feats.scp").returncode == 0
    os.utime(ark, (1, 1))  # as a copy without times
    assert stage("check", "set/.stage3").returncode == 0
    assert stage("check", "exp/.stage5", "--scp", "set/feats.scp").returncode == 1
    ark.write_bytes(b"1234")
    assert "named in set/feats.scp are missing or changed" in stage("check", "set/.stage3").stdout
    assert stage("check", "exp/.stage5", "--scp", "set/feats.scp").returncode == 1  # its reader tells what is wrong
    ark.unlink()
    done = stage("check", "exp/.stage5", "--scp", "set/feats.scp")
    assert done.returncode == 3
    assert done.stdout.startswith("set/feats.scp names set/a.ark, missing now; stage 3 makes what it names")
    assert stage("check", "set/.stage3", "--inputs", "set/utt2spk").returncode == 1  # which mends it
    (tmp_path / "set" / ".stage3").unlink()  # nobody made it: a corpus, say
    assert stage("check", "exp/.stage5", "--scp", "set/feats.scp").returncode == 1
