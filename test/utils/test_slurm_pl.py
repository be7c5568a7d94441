"""utils/slurm.pl against small stand-ins for the programs of SLURM that it calls, which this test puts into PATH.

These are unit tests of our script: what it asks of SLURM and what it makes of the answers. They do not show that a real
SLURM understands it; test/slurm does.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SLURM = Path(__file__).resolve().parents[2] / "utils" / "slurm.pl"

SBATCH = r"""#!/usr/bin/env bash
# Runs each task in the background; STATE/pid.N tells which are alive.
printf '%s\n' "$@" > "$STATE/args"
[ -z "${FAIL_SUBMIT-}" ] || { echo "sbatch: error: invalid partition specified: gpu" >&2; exit 1; }
first=0 last=0
for arg in "$@"; do
  case $arg in --array=*) arg=${arg#--array=}; arg=${arg%\%*}; first=${arg%-*} last=${arg#*-} ;; esac
done
script=${!#}
for ((i = first; i <= last; i++)); do
  (
    export SLURM_JOB_ID=4711
    [ "$last" -eq 0 ] || export SLURM_ARRAY_TASK_ID=$i
    [ "${VANISH-}" = "$i" ] || exec setsid bash "$script"
  ) > "$STATE/out.$i" 2>&1 < /dev/null &
  echo $! > "$STATE/pid.$i"
done
echo "4711;cluster"
"""
SQUEUE = r"""#!/usr/bin/env bash
echo "$@" >> "$STATE/squeue"
for file in "$STATE"/pid.*; do
  number=${file##*.}
  read -r _ _ state _ 2> /dev/null < "/proc/$(cat "$file")/stat" || continue
  [ "$state" = Z ] || echo "    ${number/#0/N/A}   RUNNING   0   n1"  # a zombie has ended
done
exit 0
"""
SCANCEL = r"""#!/usr/bin/env bash
echo "$@" > "$STATE/scancel"
for file in "$STATE"/pid.*; do pkill -TERM -s "$(cat "$file")"; done
"""
SACCT = r"""#!/usr/bin/env bash
echo "$SACCT_SAYS"
"""
NO_ANSWER = r"""#!/usr/bin/env bash
exit 1
"""
#: All of them, so that a real cluster on this machine is never asked.
STAND_INS = {
    "sbatch": SBATCH,
    "squeue": SQUEUE,
    "scancel": SCANCEL,
    "sacct": SACCT,
    "scontrol": NO_ANSWER,
    "sinfo": NO_ANSWER,
}


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


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Return a function that calls slurm.pl in tmp_path/work, and the folder where the stand-ins leave traces."""
    for name, text in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "state").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path / "state"))

    def call(*words):
        return subprocess.run([SLURM, *words], cwd=tmp_path / "work", capture_output=True, text=True, timeout=100)

    call.work, call.state = tmp_path / "work", tmp_path / "state"
    call.args = lambda: (call.state / "args").read_text().splitlines()
    return call


def test_single_job(slurm):
    done = slurm("--mem", "4G", "--num-threads", "2", "log/x.log", "echo", "it's $HOME", "|", "cat")
    assert done.returncode == 0, done.stderr
    lines = (slurm.work / "log/x.log").read_text().splitlines()
    assert lines[0] == "# echo 'it'\\''s $HOME' | cat" and "SLURM job 4711" in lines[1] and lines[4] == "it's $HOME"
    assert lines[-2].endswith("threads=2") and lines[-1].startswith("# Ended (code 0) at ")
    args = slurm.args()
    assert args[:5] == ["--mem", "4G", "--cpus-per-task", "2", "--no-requeue"]
    assert not any(arg.startswith("--array") for arg in args)
    assert os.listdir(slurm.work / "log/q") == []


def test_array(slurm):
    done = slurm("--max-jobs-run", "2", "JOB=1:3", "log/x.JOB.log", "bash", "-c", "echo part JOB 'of' $0", "a b.JOB")
    assert done.returncode == 0, done.stderr
    assert "--array=1-3%2" in slurm.args()
    for job in (1, 2, 3):
        assert f"\npart {job} of a b.{job}\n" in (slurm.work / f"log/x.{job}.log").read_text()


def test_failing_task_gives_its_status_and_is_not_run_again(slurm):
    script = "echo run >> runs.JOB; test JOB != 2 || exit 5"
    done = slurm("JOB=1:3", "log/x.JOB.log", "bash", "-c", script)
    assert done.returncode == 5
    assert "job 2 failed with status 5" in done.stderr and "1 / 3 failed" in done.stderr
    assert (slurm.work / "runs.2").read_text() == "run\n"


def test_array_that_may_be_started_again(slurm, monkeypatch):
    monkeypatch.setenv("EVC2_SLURM_PATIENCE", "1")
    script = "echo run >> runs.JOB; test JOB != 2 || exit 5"
    done = slurm("--requeue", "true", "JOB=1:2", "log/x.JOB.log", "bash", "-c", script)
    args = slurm.args()
    assert "--requeue" in args and "--no-requeue" not in args and "--array=1-2" in args
    # The job is gone from the queue, so SLURM did not start it again, and its status stands.
    assert done.returncode == 5 and "job 2 failed with status 5" in done.stderr and "1 / 2 failed" in done.stderr
    assert [(slurm.work / f"runs.{i}").read_text() for i in (1, 2)] == ["run\n"] * 2


def test_configuration(slurm):
    (slurm.work / "conf").mkdir()
    (slurm.work / "conf/slurm.conf").write_text(
        "# Kaldi's style\ncommand sbatch --export=PATH\noption time=* --time $0\noption mem=* --mem-per-cpu $0\n"
        "option mem=0          # nothing to add\noption num_threads=* --cpus-per-task $0\ndefault gpu=0\n"
        "option gpu=0 -p cpu\noption gpu=* -p gpu --gres=gpu:$0 -c $0  # comment\n"
    )
    assert slurm("--mem", "0", "--time", "1-00:00:00", "x.log", "true").returncode == 0
    assert slurm.args()[:6] == ["--export=PATH", "-p", "cpu", "--time", "1-00:00:00", "--no-requeue"]
    assert slurm("--gpu", "2", "-A", "account", "x.log", "true").returncode == 0
    assert slurm.args()[1:8] == ["-p", "gpu", "--gres=gpu:2", "-c", "2", "-A", "account"]
    done = slurm("--disk", "3", "x.log", "true")
    assert done.returncode == 1 and "unknown option --disk 3; conf/slurm.conf has: --gpu --mem" in done.stderr
    (slurm.work / "other.conf").write_text("command sbatch --requeue\nnonsense\n")
    assert "other.conf:2: expected `command" in slurm("--config", "other.conf", "x.log", "true").stderr
    (slurm.work / "other.conf").write_text("command sbatch --requeue\n")
    assert slurm("--config", "other.conf", "x.log", "true").returncode == 0
    assert "--no-requeue" not in slurm.args()


def test_what_espnet_launch_passes(slurm):
    words = ["--gpu", "0", "--num_threads", "1", "--num_nodes", "2", "exp/train.log", "echo", "--export=ALL", "python"]
    assert slurm(*words).returncode == 0
    assert slurm.args()[:6] == ["--nodes", "2", "--ntasks-per-node", "1", "--cpus-per-task", "1"]
    assert "\n--export=ALL python\n" in (slurm.work / "exp/train.log").read_text()


def test_path_sh_is_sourced(slurm):
    (slurm.work / "path.sh").write_text("set -eu\nexport WORD=found\n")
    assert slurm("x.log", "bash", "-c", "echo $WORD; exit 4").returncode == 4
    text = (slurm.work / "x.log").read_text()
    assert "\nfound\n" in text and "# Ended (code 4)" in text


def test_refused_submission(slurm, monkeypatch):
    monkeypatch.setenv("FAIL_SUBMIT", "1")
    done = slurm("x.log", "true")
    assert done.returncode == 1 and "submission failed (status 1)" in done.stderr and "invalid partition" in done.stderr


def test_no_slurm_here(slurm, monkeypatch):
    (slurm.work / "c").write_text("command no-such-sbatch\n")
    done = slurm("--config", "c", "x.log", "true")
    assert done.returncode == 1 and "no-such-sbatch: No such file" in done.stderr


@pytest.mark.parametrize(
    ("says", "status", "message"),
    [
        ("TIMEOUT|0:0|n1|01:00:03|01:00:00", 1, "job 2 was stopped at its time limit of 01:00:00 (--time)"),
        ("FAILED|7:0|n1", 7, "job 2 left no status; SLURM says: FAILED, exit code 7 (SLURM job 4711_2: FAILED on n1)"),
        (
            "OUT_OF_MEMORY|0:125|n1|00:05:00|1-00:00:00",
            1,
            "more memory than it had asked for (--mem) (SLURM job 4711_2",
        ),
        ("CANCELLED by 1000|0:0|n1", 1, "job 2 was cancelled"),
        ("COMPLETED|0:0|n1", 0, ""),
    ],
)
def test_task_that_leaves_no_status(slurm, monkeypatch, says, status, message):
    monkeypatch.setenv("VANISH", "2")
    monkeypatch.setenv("SACCT_SAYS", says)
    monkeypatch.setenv("EVC2_SLURM_PATIENCE", "1")
    done = slurm("JOB=1:2", "x.JOB.log", "true")
    assert done.returncode == status and message in done.stderr


def test_signal_cancels(slurm):
    words = [SLURM, "JOB=1:2", "x.JOB.log", "bash", "-c", "touch up.JOB; sleep 54321"]
    with subprocess.Popen(words, cwd=slurm.work, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not all((slurm.work / f"up.{i}").exists() for i in (1, 2)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 130 and "job 4711 was cancelled" in error
    assert (slurm.state / "scancel").read_text() == "4711\n"
    for i in (1, 2):
        ended(int((slurm.state / f"pid.{i}").read_text()))
