"""Recipes on a real SLURM: arrays, training on two nodes, jobs that are cancelled, nodes that fail, preemption."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from evc2.fileio.ark import ScpReader
from evc2.train import checkpoint

SLURM = Path(__file__).resolve().parents[2] / "utils" / "slurm.pl"
TRAIN = "--stage 5 --stop_stage 5 --inference_model latest.pth".split()
SHORT = "--max_epoch 2 --num_iters_per_epoch 4 --num_valid_trials 0 --media_interval 0"
#: Long enough to be disturbed, with a checkpoint each half second.
LONG = "--max_epoch 2 --num_iters_per_epoch 100 --num_valid_trials 0 --media_interval 0 --checkpoint_interval 0.01"


def slurm_pl(folder: Path, *words: object, **more) -> subprocess.Popen:
    return subprocess.Popen([SLURM, *map(str, words)], cwd=folder, stderr=subprocess.PIPE, text=True, **more)


def model_of(recipe, tag: str) -> Path:
    return recipe.folder / "exp" / tag / "debug_train_cyclegan"


def two_nodes(tag: str, arguments: str = LONG) -> list[str]:
    return [*TRAIN, "--num_nodes", "2", "--evc_tag", tag, "--train_args", arguments]


def assert_equal_models(recipe, *tags: str, **tolerance: float) -> None:
    one, two = (checkpoint.load(model_of(recipe, tag) / "checkpoint.pth") for tag in tags)
    assert one["step"] == two["step"] > 0
    for name, value in one["model"].items():
        if tolerance and name.endswith("conv.bias"):
            continue  # before a norm: their gradients are rounding noise, which Adam scales up
        torch.testing.assert_close(two["model"][name], value, **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.fixture(scope="session")
def undisturbed(features, _cluster) -> str:
    """The tag of a training on two nodes that nothing happened to."""
    _cluster.ready()
    features.run(*two_nodes("undisturbed"))
    return "undisturbed"


def train_until_saved(cluster, recipe, tag: str) -> tuple[subprocess.Popen, str]:
    """A training on two nodes that has saved a checkpoint within its first epoch; also the number of its job."""
    process = recipe.start(*two_nodes(tag))
    path = model_of(recipe, tag) / "checkpoint.pth"
    cluster.wait_for(lambda: path.exists() or process.poll() is not None, "a checkpoint")
    assert process.poll() is None, recipe.said
    return process, cluster.jobs()[0].split()[0]


def test_features_by_job_arrays(cluster, recipe, features, monkeypatch):
    recipe.run("--stage", "2", "--stop_stage", "4", "--dumpdir", "dump_slurm")
    logs = list(recipe.folder.glob("dump_slurm/*/toy_train/log/extract_feats.[12].log"))
    assert len(logs) == 2
    for log in logs:
        text = log.read_text()
        assert re.search(rf"^# Running on n[12], SLURM job \d+ \(task {log.suffixes[0][1:]}\)$", text, re.MULTILINE)
        assert "# Ended (code 0)" in text and not list(log.parent.glob("q/*"))
    monkeypatch.chdir(recipe.folder)  # tables name files from there
    compared = 0
    for ours in recipe.folder.glob("dump_slurm/*/toy_*/*.scp"):
        if ours.name == "wav.scp":
            continue
        mine, theirs = ScpReader(ours), ScpReader(str(ours).replace("dump_slurm", "dump"))
        assert set(mine) == set(theirs)
        for utt in mine:
            np.testing.assert_array_equal(mine[utt], theirs[utt])
            compared += 1
    assert compared > 100


def test_two_nodes_train_as_one_process_does(cluster, features):
    features.run(*TRAIN, "--evc_tag", "one", "--train_args", SHORT, backend="local")
    features.run(*two_nodes("two", SHORT))
    log = (model_of(features, "two") / "train.log").read_text()
    assert "# Running on n[1-2], SLURM job " in log
    # Both processes say how they were called, then only the first speaks, as one of two.
    assert log.count("/evc_train.py --config ") == 2 and re.search(r"^\[\S+:0/2\] ", log, re.MULTILINE)
    assert_equal_models(features, "one", "two", rtol=1e-3, atol=5e-4)


def test_statuses_are_handed_on_and_nothing_runs_twice(cluster, tmp_path):
    words = ["JOB=1:3", "log/x.JOB.log", "bash", "-c", "echo run >> runs.JOB; echo why JOB; test JOB != 2 || exit 5"]
    process = slurm_pl(tmp_path, *words)
    _, said = process.communicate(timeout=cluster.limit(100))
    assert process.returncode == 5
    assert re.search(
        r"job 2 failed with status 5 \(SLURM job \d+_2: FAILED on n[12] after [\d:]+, time limit \S+\)", said
    )
    assert "    | why 2\n" in said and "1 / 3 failed: log/x.2.log" in said
    assert [(tmp_path / f"runs.{i}").read_text() for i in (1, 2, 3)] == ["run\n"] * 3


def test_one_task_of_an_array_is_started_again_alone(cluster, tmp_path):
    script = "echo run >> runs.JOB; [ JOB != 1 ] || [ $(wc -l < runs.1) -gt 1 ] || exec sleep 300"
    process = slurm_pl(tmp_path, "--requeue", "true", "JOB=1:2", "log/x.JOB.log", "bash", "-c", script)
    cluster.wait_for(
        lambda: cluster.do("squeue", "-h", "-r", "-t", "R", "-o", "%F_%K").endswith("_1\n"), "task 1 alone"
    )
    array = cluster.do("squeue", "-h", "-r", "-o", "%F").strip()
    cluster.do("scancel", "--batch", "--signal=USR1", f"{array}_1")
    _, said = process.communicate(timeout=cluster.limit(150))
    assert process.returncode == 0, said
    assert f"SLURM job {array} (task 1) is started again, number 1: it was told to end by SIGUSR1" in said
    assert [(tmp_path / f"runs.{i}").read_text() for i in (1, 2)] == ["run\nrun\n", "run\n"]


def test_processes_that_fail_are_not_started_again(cluster, tmp_path):
    """What one process fails of, such as a file that its node lacks, is there the next time, too."""
    script = 'echo run >> "runs.$SLURM_PROCID"; [ "$SLURM_PROCID" = 0 ] || exit 3; exec sleep 300'
    words = ["--requeue", "true", "--num_nodes", "2", "log/x.log", "srun", "bash", "-c", script]
    process = slurm_pl(tmp_path, *words)
    _, said = process.communicate(timeout=cluster.limit(100))
    assert process.returncode not in (0, None) and "started again" not in said
    assert "FAILED on n[1-2]" in said and (tmp_path / "runs.0").read_text() == "run\n"


def test_a_job_cancelled_by_somebody(cluster, features):
    process, job = train_until_saved(cluster, features, "cancelled")
    cluster.do("scancel", job)
    assert process.wait(cluster.limit(100)) != 0
    assert f"was cancelled (SLURM job {job}: CANCELLED on n[1-2]" in features.said
    assert "stage 5 failed" in features.said
    assert "signal 15: saved" in (model_of(features, "cancelled") / "train.log").read_text()


def test_ctrl_c_cancels_the_jobs(cluster, features):
    process, job = train_until_saved(cluster, features, "stopped")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(cluster.limit(100)) == 130
    assert f"job {job} was cancelled" in features.said and cluster.jobs() == []
    assert checkpoint.is_whole(model_of(features, "stopped") / "checkpoint.pth")


def test_a_job_whose_node_fails_is_not_run_again_unasked(cluster, tmp_path):
    process = slurm_pl(
        tmp_path, "-w", "n2", "JOB=1:2", "log/x.JOB.log", "bash", "-c", "echo run >> runs.JOB; sleep 300"
    )
    cluster.wait_for(lambda: len(list(tmp_path.glob("runs.*"))) == 2, "the jobs")
    cluster.control("kill", "n2")
    try:
        start = time.monotonic()
        _, said = process.communicate(timeout=cluster.limit(200))
        # SLURM's own time-out, the time between two of its looks, and ours.
        assert time.monotonic() - start < cluster.limit(3 * cluster.slurmd_timeout + 45)
    finally:
        cluster.control("up", "n2")
    assert process.returncode == 1
    assert re.search(
        r"job 1 lost a node: node n2 is down\*? \(Not responding\) \(SLURM job \d+_1: NODE_FAIL on n2", said
    )
    assert (tmp_path / "runs.1").read_text() == "run\n"


def test_training_goes_on_after_a_node_failed(cluster, features, undisturbed):
    process, job = train_until_saved(cluster, features, "failed")
    cluster.control("kill", "n2")
    try:
        cluster.wait_for(lambda: "is started again" in features.said or process.poll() is not None, "the requeue", 100)
    finally:
        cluster.control("up", "n2")
    assert process.wait(cluster.limit(300)) == 0, features.said
    assert re.search(rf"SLURM job {job} is started again, number 1: .*node n2 ", features.said)
    log = (model_of(features, "failed") / "train.log").read_text()
    assert "# Started again, number 1" in log and "continuing at epoch" in log
    assert_equal_models(features, undisturbed, "failed")


def test_training_makes_room_and_goes_on(cluster, features, undisturbed, tmp_path):
    process, job = train_until_saved(cluster, features, "preempted")
    urgent = slurm_pl(tmp_path, "-p", "urgent", "-N", "2", "-n", "2", "-c", "2", "log/urgent.log", "sleep", "1")
    assert urgent.wait(cluster.limit(200)) == 0
    assert process.wait(cluster.limit(300)) == 0, features.said
    assert f"SLURM job {job} is started again, number 1: it was told to end by SIGTERM" in features.said
    log = (model_of(features, "preempted") / "train.log").read_text()
    assert "signal 15: saved" in log and "continuing at epoch" in log
    assert_equal_models(features, undisturbed, "preempted")


def test_training_whose_time_is_nearly_over_goes_on_in_another_job(cluster, features, undisturbed):
    """What `--signal B:USR1@120` of conf/slurm.conf does two minutes before the limit."""
    process, job = train_until_saved(cluster, features, "usr1")
    cluster.do("scancel", "--batch", "--signal=USR1", job)
    assert process.wait(cluster.limit(300)) == 0, features.said
    assert f"SLURM job {job} is started again, number 1: it was told to end by SIGUSR1" in features.said
    log = (model_of(features, "usr1") / "train.log").read_text()
    assert "signal 10: saved" in log and "continuing at epoch" in log
    assert_equal_models(features, undisturbed, "usr1")


@pytest.mark.long
def test_a_time_limit_is_named(cluster, tmp_path):
    process = slurm_pl(tmp_path, "--time", "0:01", "log/x.log", "sleep", "200")  # limits are checked each half minute
    _, said = process.communicate(timeout=cluster.limit(200))
    assert process.returncode == 143
    assert "was stopped at its time limit of 00:01:00 (--time)" in said and "TIMEOUT on n" in said
