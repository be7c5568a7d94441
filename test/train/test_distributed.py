"""Two processes with the same global batch train as one does, and stop and resume together."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from evc2.train import checkpoint


def three_domains(conf: dict) -> dict:
    """MUNIT between three domains, a pair a batch, without draws of styles, which processes make each for itself."""
    sizes = {
        "content": {"channels": 4, "num_res": 1},
        "style": {"channels": 4},
        "decoder": {"channels": 4, "num_res": 1},
    }
    domains = ["s1:neutral", "s1:angry", "s2:angry"]
    more = {"domains": domains, "discriminator": {"channels": 2}, "style_draw": "encoded", "lambda_cls": 1.0}
    return {**conf, "system": "munit", "domain_by": "speaker_emotion", "system_conf": {**sizes, **more}}


def start_two(arguments: list[str], out: Path) -> list[subprocess.Popen]:
    """Both processes of a training on one machine; their logs are <out>.0.log and <out>.1.log."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    dist = ["--dist_world_size", "2", "--dist_master_addr", "127.0.0.1", "--dist_master_port", str(port)]
    dist += ["--dist_backend", "gloo", "--multiprocessing_distributed", "false"]
    jobs = []
    for rank in range(2):
        with open(f"{out}.{rank}.log", "ab") as log:
            command = [sys.executable, "-m", "evc2.bin.evc_train", *arguments, *dist, "--dist_rank", str(rank)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            jobs.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    return jobs


def test_a_signal_to_one_stops_both_and_they_resume(command, corpus, tmp_path):
    """Style codes are drawn, so the random numbers of both processes must be taken up again."""
    conf = three_domains(yaml.safe_load((corpus / "conf.yaml").read_text()))
    conf["system_conf"]["style_draw"] = "normal"
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    run = ["--config", str(tmp_path / "conf.yaml"), "--max_epoch", "2", "--batch_size", "4", "--num_valid_trials", "1"]
    states = []
    for name in ("undisturbed", "stopped"):
        out = tmp_path / name
        # An interval that has always passed would save after each step; none, so that the signal alone saves.
        arguments = command(
            out, *run, "--num_iters_per_epoch", "30", "--checkpoint_interval", "0", "--max_minutes", "60"
        )
        jobs = start_two(arguments, out)
        if name == "stopped":
            end = time.monotonic() + 120
            while b"epoch 1 of" not in Path(f"{out}.0.log").read_bytes() and time.monotonic() < end:
                time.sleep(0.01)
            jobs[1].send_signal(signal.SIGTERM)
            assert [j.wait(100) for j in jobs] == [143, 143]
            state = checkpoint.load(out / "checkpoint.pth")
            assert 0 < state["step"] < 60 and len(state["rng"]) == 2
            assert not torch.equal(state["rng"][0]["torch"], state["rng"][1]["torch"])
            jobs = start_two(arguments, out)
        assert [j.wait(200) for j in jobs] == [0, 0], Path(f"{out}.0.log").read_text()[-2000:]
        states.append(checkpoint.load(out / "checkpoint.pth"))
    one, two = states
    assert one["step"] == two["step"] == 60
    for name, value in one["model"].items():
        torch.testing.assert_close(two["model"][name], value, rtol=0, atol=0)
    assert [torch.equal(a["torch"], b["torch"]) for a, b in zip(one["rng"], two["rng"], strict=True)] == [True, True]


@pytest.mark.long
@pytest.mark.parametrize("change", [dict, three_domains])
def test_two_processes_equal_one(command, corpus, tmp_path, change):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "evc2.bin.evc_train"]
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(change(yaml.safe_load((corpus / "conf.yaml").read_text()))))
    more = ["--max_epoch", "2", "--batch_size", "4", "--num_valid_trials", "0", "--config", str(conf)]
    subprocess.run([*run, *command(tmp_path / "one", *more)], env=environment, check=True, timeout=200)
    jobs = start_two(command(tmp_path / "two", *more), tmp_path / "two")
    assert [j.wait(200) for j in jobs] == [0, 0]
    one, two = (checkpoint.load(tmp_path / n / "checkpoint.pth") for n in ("one", "two"))
    assert one["step"] == two["step"] == 8
    for name, value in one["model"].items():
        if name.endswith(("conv.bias", "pair.bias")) or name.startswith("style_"):
            continue  # each process remembers its own styles; biases before a norm get rounding noise, scaled by Adam
        torch.testing.assert_close(two["model"][name], value, rtol=1e-3, atol=5e-4)
    losses = [[e["train"]["loss_generator"] for e in s["reporter"]["stats"].values()] for s in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
