"""A run that is stopped at any moment and started again ends with the same weights, bit by bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from evc2.bin.evc_train import locked, main
from evc2.errors import UserError
from evc2.train import checkpoint
from evc2.train.monitor import StatsBuffer, TrialSet


class Killed(BaseException):
    """Stands for the end of the process: nothing in the trainer catches it."""


@pytest.fixture(scope="module")
def undisturbed(corpus, tmp_path_factory):
    """Weights of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("undisturbed")
    paths = ("train", "dev", "stats.npz", "feats.yaml", "conf.yaml")
    assert all((corpus / p).exists() for p in paths)
    main(arguments(corpus, out))
    return state(out)


def arguments(corpus: Path, out: Path, *more: str) -> list[str]:
    options = {
        "config": corpus / "conf.yaml",
        "output_dir": out,
        "resume": "true",
        "feats_contract": corpus / "feats.yaml",
        "stats": corpus / "stats.npz",
        "train_dir": corpus / "train",
        "valid_dir": corpus / "dev",
        "valid_trials": corpus / "dev/trials",
    }
    return [str(x) for k, v in options.items() for x in (f"--{k}", v)] + list(more)


def state(out: Path) -> dict:
    loaded = checkpoint.load(out / "checkpoint.pth")
    loaded.pop("seconds")
    return loaded


def assert_same(a: dict, b: dict) -> None:
    for part in ("model", "ema"):
        x, y = (s[part] if part == "model" else s[part]["shadow"] for s in (a, b))
        assert x.keys() == y.keys()
        for name in x:
            assert torch.equal(x[name], y[name]), f"{part} {name} differs"
    assert (a["epoch"], a["iteration"], a["step"]) == (b["epoch"], b["iteration"], b["step"])
    for e, phases in a["reporter"]["stats"].items():
        for key, value in phases["train"].items():
            if not key.endswith("time"):
                assert value == pytest.approx(b["reporter"]["stats"][e]["train"][key], abs=1e-6), key


@pytest.mark.parametrize("stop_at", [1, 3, 4, 7, 11])
def test_stopped_at_a_batch(corpus, undisturbed, tmp_path, monkeypatch, stop_at):
    seen = []
    add = StatsBuffer.add

    def failing(self, stats, weight):
        seen.append("lr_generator" in stats)
        if sum(seen) == stop_at + 1 and seen[-1]:
            raise Killed
        add(self, stats, weight)

    monkeypatch.setattr(StatsBuffer, "add", failing)
    with pytest.raises(Killed):
        main(arguments(corpus, tmp_path))
    monkeypatch.undo()
    kept = checkpoint.load(tmp_path / "checkpoint.pth")
    assert kept["step"] >= stop_at - 1  # at most one interval (here one step) is lost
    main(arguments(corpus, tmp_path))
    assert_same(state(tmp_path), undisturbed)


def test_a_signal_in_the_middle_of_validation(corpus, undisturbed, tmp_path, monkeypatch):
    """The checkpoint is of the end of the epoch's steps: a validation may take longer than a cluster waits."""
    real = TrialSet.features
    calls = []

    def interrupting(self, utt):
        calls.append(utt)
        if len(calls) == 6:  # in the second epoch: two features a trial, two trials
            os.kill(os.getpid(), signal.SIGUSR1)
        return real(self, utt)

    monkeypatch.setattr(TrialSet, "features", interrupting)
    with pytest.raises(SystemExit) as left:
        main(arguments(corpus, tmp_path, "--checkpoint_interval", "0"))
    monkeypatch.undo()
    kept = checkpoint.load(tmp_path / "checkpoint.pth")
    assert left.value.code == 128 + signal.SIGUSR1 and len(calls) == 6
    assert (kept["epoch"], kept["iteration"], kept["step"]) == (2, 4, 8)
    main(arguments(corpus, tmp_path))
    assert_same(state(tmp_path), undisturbed)


def test_a_job_started_again_goes_on_though_it_was_told_to_begin_anew(corpus, undisturbed, tmp_path, monkeypatch):
    anew = ["--resume", "false"]
    main(arguments(corpus, tmp_path, "--max_epoch", "2"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    main(arguments(corpus, tmp_path, *anew))
    assert len(list(tmp_path.glob("*epoch.pth"))) == 3 and state(tmp_path)["step"] == 12
    assert_same(state(tmp_path), undisturbed)
    # The first start removes what is there before it trains: the second would take that for its own.
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")

    def killed(*_):
        raise Killed

    monkeypatch.setattr(StatsBuffer, "add", killed)
    with pytest.raises(Killed):
        main(arguments(corpus, tmp_path, *anew, "--checkpoint_interval", "0"))
    assert not list(tmp_path.glob("checkpoint*.pth"))


def test_killed_while_saving(corpus, undisturbed, tmp_path, monkeypatch):
    real = torch.save
    calls = []

    def half(value, file, *args, **kwargs):
        calls.append(isinstance(file, checkpoint.HashingFile))
        if calls[-1] and sum(calls) == 4:
            file.write(b"half a checkpoint")
            raise Killed
        return real(value, file, *args, **kwargs)

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Killed):
        main(arguments(corpus, tmp_path))
    monkeypatch.undo()
    assert checkpoint.is_whole(tmp_path / "checkpoint.pth")
    main(arguments(corpus, tmp_path))
    assert_same(state(tmp_path), undisturbed)


def test_damaged_checkpoint_falls_back(corpus, undisturbed, tmp_path):
    main(arguments(corpus, tmp_path, "--max_epoch", "2"))
    path = tmp_path / "checkpoint.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    main(arguments(corpus, tmp_path))
    assert_same(state(tmp_path), undisturbed)


def test_no_whole_checkpoint_is_said(corpus, tmp_path):
    (tmp_path / "checkpoint.pth").write_bytes(b"x" * 500)
    with pytest.raises(UserError, match="no whole checkpoint"):
        main(arguments(corpus, tmp_path))


def test_accumulation_equals_the_same_turn_order(corpus, tmp_path):
    main(arguments(corpus, tmp_path, "--accum_grad", "2"))
    assert state(tmp_path)["step"] == 6  # 12 batches


def test_second_run_in_one_folder_refuses(tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match="in use by another run"), locked(tmp_path):
        pass


def test_a_job_started_again_does_not_wait_for_a_lock_for_ever(tmp_path, caplog):
    with locked(tmp_path), locked(tmp_path, patience=0.01):
        pass
    assert "still locked" in caplog.text


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_whole_one_before(tmp_path):
    path, previous = tmp_path / "checkpoint.pth", tmp_path / "checkpoint.prev.pth"
    for step in (1, 2):
        checkpoint.save({"step": step}, path)
    assert checkpoint.load(previous) == {"step": 1}
    path.write_bytes(b"x" * 500)
    checkpoint.remove_damaged(path)
    assert not path.exists() and checkpoint.load(path) == {"step": 1}
    checkpoint.save({"step": 3}, path)
    checkpoint.remove_damaged(path)
    assert checkpoint.load(path) == {"step": 3} and checkpoint.load(previous) == {"step": 1}


def test_checkpoints_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
    for step in (1, 2, 3):
        checkpoint.save({"step": step}, tmp_path / "checkpoint.pth")
    assert checkpoint.load(tmp_path / "checkpoint.prev.pth") == {"step": 2}


def start(corpus: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "evc2.bin.evc_train", *arguments(corpus, out, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with open(out.with_suffix(".log"), "ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def wait_for(process: subprocess.Popen, found, seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if found():
            return True
        time.sleep(0.002)
    return False


def test_sigterm_saves_and_ends(corpus, undisturbed, tmp_path):
    out = tmp_path / "exp"
    process = start(corpus, out, "--checkpoint_interval", "60")
    assert wait_for(process, lambda: b"epoch 1 of" in out.with_suffix(".log").read_bytes())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert checkpoint.is_whole(out / "checkpoint.pth")
    main(arguments(corpus, out))
    assert_same(state(out), undisturbed)


@pytest.mark.long
def test_random_kills(corpus, undisturbed, tmp_path):
    """SIGKILL at random moments, in the first epoch and inside saves, each followed by a new start."""
    rng, out = random.Random(0), tmp_path / "exp"
    for number in range(6):
        process = start(corpus, out)
        if number == 0:
            wait_for(process, lambda: b"epoch 1 of" in out.with_suffix(".log").read_bytes())
        elif number % 2:
            wait_for(process, lambda: any(out.glob(".checkpoint.*")))
        else:
            wait_for(process, lambda: (out / "checkpoint.pth").exists())
            time.sleep(rng.uniform(5, 12))
        process.kill()
        process.wait()
        for path in out.glob("*epoch.pth"):
            torch.load(path, weights_only=True)
    main(arguments(corpus, out))
    assert_same(state(out), undisturbed)
