"""utils/run.pl: jobs on this machine."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "utils" / "run.pl"


def ended(pid):
    """Wait until a process has ended; one that nobody has waited for yet (a zombie) counts as ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")


def run(folder, *words, **kwargs):
    return subprocess.run([RUN, *words], cwd=folder, capture_output=True, text=True, timeout=60, **kwargs)


def test_log_holds_command_output_and_status(tmp_path):
    done = run(tmp_path, "--mem", "4G", "--gpu", "0", "--num_threads", "2", "log/new/x.log", "echo", "hello")
    assert done.returncode == 0 and done.stdout == "" and done.stderr == ""
    lines = (tmp_path / "log/new/x.log").read_text().splitlines()
    assert lines[0] == "# echo hello" and lines[1].startswith("# Running on ") and lines[2].startswith("# Started at ")
    assert lines[4] == "hello" and lines[5] == "# Accounting: time=0 threads=2"
    assert lines[6].startswith("# Ended (code 0) at ")


def test_array(tmp_path):
    done = run(tmp_path, "JOB=2:4", "log/x.JOB.log", "echo", "part JOB of scp.JOB")
    assert done.returncode == 0
    assert sorted(os.listdir(tmp_path / "log")) == ["x.2.log", "x.3.log", "x.4.log"]
    assert "\npart 3 of scp.3\n" in (tmp_path / "log/x.3.log").read_text()


@pytest.mark.parametrize(
    "word", ["it's", 'a "b"', "$HOME", "`ls`", "*", "a b", "", "<blank>", "a\nb", "#x", "~", "a;b"]
)
def test_words_reach_the_command_as_they_are(tmp_path, word):
    code = "import sys; open('out', 'w').write(sys.argv[1])"
    assert run(tmp_path, "x.log", sys.executable, "-c", code, word).returncode == 0
    assert (tmp_path / "out").read_text() == word


def test_shell_syntax_as_words(tmp_path):
    done = run(tmp_path, "JOB=1:2", "x.JOB.log", "printf", "b\\na\\n", "|", "sort", ">", "out JOB", "&&", "echo", "ok")
    assert done.returncode == 0
    assert (tmp_path / "out 2").read_text() == "a\nb\n"
    assert "\nok\n" in (tmp_path / "x.1.log").read_text()
    assert run(tmp_path, "x.log", "false", "|", "cat").returncode == 1  # any part of a pipeline counts


def test_failing_jobs_are_named_and_the_others_still_run(tmp_path):
    script = "echo line JOB; test JOB != 2 || exit 3; test JOB != 3 || exit 7; touch ok.JOB"
    done = run(tmp_path, "--max-jobs-run", "1", "JOB=1:4", "log/x.JOB.log", "bash", "-c", script)
    assert done.returncode == 7
    assert "job 2 failed with status 3, log is in log/x.2.log" in done.stderr
    assert "    | line 3\n" in done.stderr and "line 1" not in done.stderr
    assert "2 / 4 failed: log/x.2.log log/x.3.log" in done.stderr
    assert (tmp_path / "ok.1").exists() and (tmp_path / "ok.4").exists()
    assert "# Ended (code 7)" in (tmp_path / "log/x.3.log").read_text()


def test_killed_job_and_missing_command(tmp_path):
    done = run(tmp_path, "x.log", "bash", "-c", "kill -9 $$")
    assert done.returncode == 137 and "job was killed by signal 9" in done.stderr
    assert "killed by signal 9" in (tmp_path / "x.log").read_text()
    done = run(tmp_path, "x.log", "no-such-command")
    assert done.returncode == 127 and "no-such-command: command not found" in done.stderr


def test_max_jobs_run(tmp_path):
    script = "touch run.JOB; set -- run.*; echo $#; sleep 0.2; rm run.JOB"  # ls would look for files that are gone
    assert run(tmp_path, "--max-jobs-run", "2", "JOB=1:6", "x.JOB.log", "bash", "-c", script).returncode == 0
    seen = [int((tmp_path / f"x.{i}.log").read_text().splitlines()[4]) for i in range(1, 7)]
    assert max(seen) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["JOB=1:4", "x.log", "true"], "put JOB into its name"),
        (["JOB=0:4", "x.JOB.log", "true"], "bad job range JOB=0:4"),
        (["JOB=5:4", "x.JOB.log", "true"], "bad job range JOB=5:4"),
        (["JOB=1:-4", "x.JOB.log", "true"], "bad job range JOB=1:-4"),
        (["x.log"], "expected a log file and a command"),
        (["--mem"], "option --mem has no value"),
        (["--num_nodes", "2", "x.log", "true"], "use slurm.pl"),
        (["--max-jobs-run", "x", "x.log", "true"], "expected a positive number, found 'x'"),
    ],
)
def test_mistakes(tmp_path, words, message):
    done = run(tmp_path, *words)
    assert done.returncode == 1 and message in done.stderr and os.listdir(tmp_path) == []


def test_log_that_cannot_be_written(tmp_path):
    (tmp_path / "log").write_text("a file")
    done = run(tmp_path, "log/x.log", "touch", "ran")
    assert done.returncode == 1 and "log: cannot be made" in done.stderr and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_jobs_and_their_children(tmp_path, number):
    # Each job leaves a word when it gets SIGTERM, and has a child of its own that must not survive.
    script = "trap 'echo saved > saved.JOB; exit 3' TERM; sleep 98765 & echo $! > child.JOB; touch up.JOB; wait"
    words = [RUN, "--max-jobs-run", "2", "JOB=1:3", "x.JOB.log", "bash", "-c", script]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not all((tmp_path / f"up.{i}").exists() for i in (1, 2)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 128 + number and "stopped by a signal" in error
    for i in (1, 2):
        assert (tmp_path / f"saved.{i}").read_text() == "saved\n"
        ended(int((tmp_path / f"child.{i}").read_text()))
    assert not (tmp_path / "up.3").exists()  # nothing new was started


def test_second_signal_kills(tmp_path):
    script = "trap '' TERM; touch up; while true; do sleep 0.1; done"
    with subprocess.Popen([RUN, "x.log", "bash", "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
        process.terminate()
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=10) == 143


def test_a_log_that_cannot_be_written_is_told_outside_it(tmp_path):
    def little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that write() fails, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))

    done = run(tmp_path, "x.log", "true", preexec_fn=little_room)
    assert done.returncode == 1
    assert "run.pl: x.log: cannot be written to its end: File too large" in done.stderr.splitlines()


def test_espnet_launcher(tmp_path):
    pytest.importorskip("espnet2")
    words = ["--cmd", f"{RUN} --name x", "--log", "exp/train.log", "--ngpu", "0", "--num_nodes", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "espnet2.bin.launch", *words, "--", "echo", "it's"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "it's --ngpu 0" in (tmp_path / "exp/train.log").read_text()


def test_works_through_a_link(tmp_path):
    # Recipes link to utils/.
    (tmp_path / "utils").symlink_to(RUN.parent)
    done = subprocess.run(["utils/run.pl", "x.log", "true"], cwd=tmp_path)
    assert done.returncode == 0
