"""Two processes with the same global batch train as one does."""

import os
import socket
import subprocess
import sys

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


@pytest.mark.long
@pytest.mark.parametrize("change", [dict, three_domains])
def test_two_processes_equal_one(command, corpus, tmp_path, change):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "evc2.bin.evc_train"]
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(change(yaml.safe_load((corpus / "conf.yaml").read_text()))))
    more = ["--max_epoch", "2", "--batch_size", "4", "--num_valid_trials", "0", "--config", str(conf)]
    subprocess.run([*run, *command(tmp_path / "one", *more)], env=environment, check=True, timeout=200)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    dist = ["--dist_world_size", "2", "--dist_master_addr", "127.0.0.1", "--dist_master_port", str(port)]
    dist += ["--dist_backend", "gloo", "--multiprocessing_distributed", "false"]
    jobs = [
        subprocess.Popen([*run, *command(tmp_path / "two", *more, *dist, "--dist_rank", str(r))], env=environment)
        for r in range(2)
    ]
    assert [j.wait(200) for j in jobs] == [0, 0]
    one, two = (checkpoint.load(tmp_path / n / "checkpoint.pth") for n in ("one", "two"))
    assert one["step"] == two["step"] == 8
    for name, value in one["model"].items():
        if name.endswith(("conv.bias", "pair.bias")) or name.startswith("style_"):
            continue  # each process remembers its own styles; biases before a norm get rounding noise, scaled by Adam
        torch.testing.assert_close(two["model"][name], value, rtol=1e-3, atol=5e-4)
    losses = [[e["train"]["loss_generator"] for e in s["reporter"]["stats"].values()] for s in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
