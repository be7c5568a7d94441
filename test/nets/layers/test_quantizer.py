"""The quantiser: nearest codes, straight-through gradient, moving averages, data-dependent start and restarts."""

import math
import socket
import subprocess
import sys

import pytest
import torch

from evc2.errors import UserError
from evc2.nets.layers.quantizer import Quantizer


def clusters(n=64, spread=0.05, seed=0):
    """[1, 2, 4 n] vectors around four corners."""
    g = torch.Generator().manual_seed(seed)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(n, 1)
    return (corners + spread * torch.randn(4 * n, 2, generator=g)).T[None]


def test_nearest_code_straight_through_and_commitment():
    q = Quantizer(3, 2, init="normal").eval()
    q.codes.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]))
    z = torch.tensor([[[1.0, 8.0, -1.0], [1.0, 1.0, 6.0]]], requires_grad=True)
    out, loss, index = q(z)
    assert index.tolist() == [[0, 1, 2]]
    assert torch.equal(out, torch.tensor([[[0.0, 10.0, 0.0], [0.0, 0.0, 10.0]]]))
    assert loss.item() == pytest.approx((1 + 1 + 4 + 1 + 1 + 16) / 6)
    out.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))  # as if nothing had been quantised


def test_moving_average_is_the_published_one():
    q = Quantizer(2, 1, decay=0.9, init="normal", restart=False).train()
    q.codes.copy_(torch.tensor([[0.0], [1.0]]))
    q.counts.copy_(torch.tensor([2.0, 2.0]))
    q.sums.copy_(torch.tensor([[0.0], [2.0]]))
    q(torch.tensor([[[0.1, 0.3, 1.4]]]))
    counts, sums = [0.9 * 2 + 0.1 * 2, 0.9 * 2 + 0.1 * 1], [0.1 * 0.4, 0.9 * 2 + 0.1 * 1.4]
    total = sum(counts)
    smooth = [(c + 1e-5) / (total + 2e-5) * total for c in counts]
    assert q.codes.flatten().tolist() == pytest.approx([s / c for s, c in zip(sums, smooth, strict=True)])


def test_first_batch_draws_the_codebook():
    torch.manual_seed(0)
    q = Quantizer(4, 2).train()
    x = clusters()
    q(x)
    assert q.ready
    found = {tuple(map(round, code)) for code in q.codes.tolist()}
    assert found == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    _, loss, index = q(x)
    assert loss < 0.01 and q.perplexity(index).item() == pytest.approx(4, abs=0.01)
    q = Quantizer(8, 2).train()
    q(x[:, :, :3])  # fewer vectors than codes
    assert torch.isfinite(q.codes).all()


def test_dead_codes_start_again_and_only_if_asked():
    x = clusters()
    for restart in (True, False):
        torch.manual_seed(1)
        q = Quantizer(8, 2, decay=0.9, init="normal", restart=restart).train()
        q.codes.copy_(torch.full((8, 2), 50.0))
        q.codes[0] = 0.0  # everything chooses this one
        q.sums.copy_(q.codes)
        for _ in range(60):
            _, loss, index = q(x)
        assert (loss < 0.05) == restart
        assert (q.perplexity(index) > 3.5) == restart


def test_evaluation_and_holding_move_nothing():
    q, x = Quantizer(4, 2, init="normal"), clusters()
    before = {name: value.clone() for name, value in q.state_dict().items()}
    q.eval()(x)
    q.train().holds = True
    q(x)
    assert all(torch.equal(value, before[name]) for name, value in q.state_dict().items())
    assert q.perplexity().item() == pytest.approx(4) and math.isfinite(q.perplexity(q.nearest(x[0].T)).item())


def test_wrong_start_is_named():
    with pytest.raises(UserError, match="data or normal"):
        Quantizer(4, 2, init="zeros")


WORKER = """
import sys, torch
from evc2.nets.layers.quantizer import Quantizer
rank, port, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
g = torch.Generator().manual_seed(0)
x = torch.randn(4, 2, 16, generator=g)[rank::2]
torch.manual_seed(rank)  # what they draw themselves differs
plain = Quantizer(6, 2, init="normal", restart=False)
plain.codes.copy_(torch.linspace(-1, 1, 12).view(6, 2)); plain.sums.copy_(plain.codes)
drawn = Quantizer(6, 2)
for q in (plain, drawn):
    for _ in range(3):
        q.train()(x)
torch.save([plain.codes, drawn.codes], out)
"""


def test_two_processes_keep_one_codebook(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outs = [tmp_path / f"{rank}.pt" for rank in (0, 1)]
    jobs = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(port), str(out)])
        for rank, out in enumerate(outs)
    ]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0]
    (a, drawn_a), (b, drawn_b) = (torch.load(out, weights_only=True) for out in outs)
    assert torch.equal(a, b) and torch.equal(drawn_a, drawn_b)
    alone = Quantizer(6, 2, init="normal", restart=False).train()
    alone.codes.copy_(torch.linspace(-1, 1, 12).view(6, 2))
    alone.sums.copy_(alone.codes)
    x = torch.randn(4, 2, 16, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        alone(x)
    assert torch.allclose(a, alone.codes, atol=1e-5)
