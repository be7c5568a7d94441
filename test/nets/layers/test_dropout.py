"""Fast dropout: probability, scale, independence of neighbours, gradients."""

import pytest
import torch

from evc2.nets.layers.dropout import Dropout, scales
from evc2.nets.layers.lightconv import LightConv


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_probability_and_scale(p):
    torch.manual_seed(0)
    made = scales(torch.empty(50, 40, 53), p)
    assert made.shape == (50, 40, 53)
    assert made.unique().tolist() == [0.0, pytest.approx(1 / (1 - p), rel=1e-4)]
    assert (made == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert made.mean().item() == pytest.approx(1, abs=0.01)


def test_neighbours_are_independent():
    torch.manual_seed(0)
    gone = (scales(torch.empty(100_001), 0.5) == 0).float() - 0.5
    for lag in range(1, 9):  # 4 * cov: a standard error is 0.003
        assert abs(4 * (gone[lag:] * gone[:-lag]).mean().item()) < 0.015


def test_seeded():
    drop, x = Dropout(0.3), torch.randn(3, 5)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(drop(x))
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_add():
    drop, x, y = Dropout(0.25), torch.randn(6, 7, requires_grad=True), torch.randn(6, 7, requires_grad=True)
    torch.manual_seed(0)
    both, one = drop.add(x, y), None
    torch.manual_seed(0)
    one = drop(y)
    torch.testing.assert_close(both, x + one)
    both.sum().backward()
    assert torch.equal(x.grad, torch.ones(6, 7))
    torch.testing.assert_close(y.grad, (one != 0) / 0.75, check_dtype=False)


def test_evaluation_and_no_dropout():
    x, y = torch.randn(3, 4), torch.randn(3, 4)
    for drop in (Dropout(0.5).eval(), Dropout(0.0)):
        assert torch.equal(drop(x), x) and torch.equal(drop.add(x, y), x + y)


def test_autocast():
    lin, x = torch.nn.Linear(4, 4), torch.randn(2, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = Dropout(0.5).add(x, lin(x))
    assert y.dtype == torch.float32
    y.sum().backward()
    assert lin.weight.grad.isfinite().all()


def test_one_graph():
    """torch.compile finds no break, forward or backward, and the compiled draws have the probability."""
    net, drop, x = LightConv(8, 2, 3, dropout=0.5), Dropout(0.25), torch.randn(4, 100, 8, requires_grad=True)
    mask = torch.arange(100) < torch.tensor([100, 80, 60, 100])[:, None]
    run = torch.compile(lambda x: drop.add(x, net(x, mask)), backend="aot_eager", fullgraph=True)
    run(x).sum().backward()
    assert x.grad.isfinite().all() and net.weight.grad is not None
    gone = torch.compile(drop, backend="aot_eager", fullgraph=True)(torch.ones(100, 100)) == 0
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.02)
