"""Global variance and the MCD that does not reward smoothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from evc2.evaluate.gv import _gv, _mcd_gv
from evc2.evaluate.registry import get_metric


def item(x: np.ndarray, y: np.ndarray) -> SimpleNamespace:
    part = [SimpleNamespace(mcep=m, speech=slice(5, len(m) - 5)) for m in (x, y)]
    return SimpleNamespace(converted=part[0], reference=part[1])


@pytest.fixture
def natural():
    return np.cumsum(np.random.default_rng(0).normal(size=(200, 24)), 0) / 5


def test_identical(natural):
    assert _gv(item(natural, natural)) == pytest.approx(1)
    assert _mcd_gv(item(natural, natural)) == pytest.approx(0, abs=1e-9)


def test_half_the_movement_is_a_quarter_of_the_variance(natural):
    mean = natural[5:-5].mean(0)
    smoothed = mean + 0.5 * (natural - mean)
    assert _gv(item(smoothed, natural)) == pytest.approx(0.25)
    assert _mcd_gv(item(smoothed, natural)) == pytest.approx(0, abs=1e-9)


def test_registered_after_mcd():
    names = [m.name for m in get_metric()]
    assert names.index("mcd") < names.index("gv") < names.index("mcd_gv")
