"""utils/stages.sh: what is skipped and redone, and that a signal ends the jobs with the pipeline."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[2] / "utils"


@pytest.fixture
def pipeline(tmp_path):
    """pipeline(TEXT, *WORDS) -> command that runs TEXT as a pipeline of stages 1 to 9 with `force` as given."""
    (tmp_path / "utils").symlink_to(UTILS)

    def pipeline(text, force="false", stage=1):
        script = tmp_path / "run.sh"
        head = (
            f"set -euo pipefail\npython={sys.executable} stage={stage} stop_stage=9 force={force}\n. utils/stages.sh\n"
        )
        script.write_text(f"{head}watch_signals\n{text}\n")
        return ["bash", str(script)]

    return pipeline


WORK = """
if begins 1 "work"; then
    if todo out/.stage1 --inputs in --options="$(cat opt)"; then
        mkdir -p out && job utils/run.pl out/log cp in out/result
        finished out/.stage1 out/result
    fi
fi
"""


def test_work_is_done_once_for_the_same_inputs(pipeline, tmp_path):
    def output(**options):
        done = subprocess.run(pipeline(WORK, **options), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "in").write_text("1")
    (tmp_path / "opt").write_text("--a b")
    assert "up to date" not in output()
    assert "up to date" in output()
    assert "up to date" not in output(force="true")
    (tmp_path / "in").write_text("2")
    assert "done again, for in changed" in output()
    assert (tmp_path / "out" / "result").read_text() == "2"
    (tmp_path / "opt").write_text("--a c")
    assert "options changed" in output()
    assert "work" not in output(stage=2)


def test_a_failure_stops_names_log_and_stage_and_leaves_no_mark(pipeline, tmp_path):
    (tmp_path / "opt").write_text("")
    done = subprocess.run(pipeline(WORK + "echo went on"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "went on" not in done.stdout
    assert "out/log" in done.stderr and "stage 1 failed" in done.stderr and "--stage 1" in done.stderr
    assert not (tmp_path / "out" / ".stage1").exists()


@pytest.mark.parametrize(
    "ask", ["if todo out/deep/.stage1 --inputs in; then", "todo out/deep/.stage1 || true; if true; then"]
)
def test_a_folder_that_cannot_be_written_is_not_up_to_date(pipeline, tmp_path, ask):
    # What [ -w ] finds of a read-only disk, also for root.
    text = (
        f'begins 1 x; [() {{ test "$*" != "-w out ]" && builtin [ "$@"; }}; mkdir out; {ask} touch worked; fi; touch on'
    )
    done = subprocess.run(pipeline(text), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / "worked").exists() and not (tmp_path / "on").exists()
    assert "stage 1: there is work to do in out/deep, but out cannot be written" in done.stderr


def test_a_missing_input_names_the_stage_that_makes_it(pipeline, tmp_path):
    text = 'if begins 3 "x"; then need data/wav.scp 1; fi'
    done = subprocess.run(pipeline(text), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "data/wav.scp, which stage 1 makes" in done.stderr


def test_a_missing_file_of_an_earlier_table_stops(pipeline, tmp_path):
    text = """
        mkdir dump; echo a dump/a.ark > dump/feats.scp; echo 1 > dump/a.ark
        begins 3 x; ! todo dump/.stage3 || finished dump/.stage3 dump/feats.scp
        rm dump/a.ark
        if begins 4 x; then if todo out/.stage4 --scp dump/feats.scp; then echo worked; fi; fi"""
    done = subprocess.run(pipeline(text), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "worked" not in done.stdout
    assert "error: stage 4: dump/feats.scp names dump/a.ark, missing now; stage 3 makes" in done.stderr


def test_words_of_an_option_may_be_quoted(pipeline, tmp_path):
    text = """
        words x "--a 'b c' --d"; printf '<%s>' "${extra[@]}"; words x ""; echo "${#extra[@]}"
        words x "--e ''"; echo "${#extra[@]}"; words x "'a" """
    done = subprocess.run(pipeline(text), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "<--a><b c><--d>0\n2\n"
    assert done.returncode == 1 and "--x: a quote is not closed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_jobs(pipeline, tmp_path, number):
    text = (
        'if begins 1 "wait"; then job utils/run.pl JOB=1:2 log.JOB bash -c "echo \\$\\$ > pid.JOB; exec sleep 60"; fi'
    )
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as path.sh sets it: the jobs run side by side all the same
    process = subprocess.Popen(
        pipeline(text), cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=one_thread,
        # Ignored where the tests themselves run in the background, and a shell cannot trap what it was told to ignore.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    names = [tmp_path / "pid.1", tmp_path / "pid.2"]
    until = time.monotonic() + 20
    while not all(name.exists() and name.read_text().strip() for name in names):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    pids = [int(name.read_text()) for name in names]
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number, errors
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_value_among_the_options_of_another_script(pipeline, tmp_path):
    (tmp_path / "out.txt").unlink(missing_ok=True)
    text = """
    for name in expdir test_sets train_args nj; do value_of "${name}" none "$@"; done > out.txt
    """
    words = ["--expdir", "a", "--test-sets=x y", "--train_args", "--nj 3", "--expdir", "b"]
    done = subprocess.run([*pipeline(text), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_text().splitlines() == ["b", "x y", "--nj 3", "none"]
