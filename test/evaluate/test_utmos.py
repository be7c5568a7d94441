"""Loading of a network that somebody else made, tried on small ones made here."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate import utmos
from evc2.evaluate.registry import get_metric
from evc2.evaluate.settings import Settings, settings, use

METRIC = get_metric(["utmos"])[0]


@pytest.fixture
def scripted(tmp_path):
    """Write a TorchScript file with one of the networks below and return its path."""
    torch = pytest.importorskip("torch", reason="tools/setup.sh")

    class Mean(torch.nn.Module):
        def forward(self, wav):
            return 3 + wav.mean()

    class MeanAtRate(torch.nn.Module):
        def forward(self, wav, rate: int):
            return (3 + wav.mean(1)) * (rate // 16000)

    class Late(torch.nn.Module):
        def forward(self, wav):
            return wav[:, 100]

    class Same(torch.nn.Module):
        def forward(self, wav):
            return wav

    networks = {one.__name__: one for one in (Mean, MeanAtRate, Late, Same)}

    def make(name):
        path = tmp_path / f"{name}.pt"
        torch.jit.script(networks[name]()).save(str(path))
        return str(path)

    return make


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(utmos, "reachable", lambda url: False)


def test_off_unless_asked_for(monkeypatch):
    monkeypatch.delenv("EVC2_UTMOS", raising=False)
    line = METRIC.missing()
    assert "EVC2_UTMOS=FILE.pt" in line and "EVC2_UTMOS=hub" in line and "\n" not in line


@pytest.mark.parametrize("name", ["Mean", "MeanAtRate"])
def test_a_file(scripted, item, monkeypatch, name):
    monkeypatch.setenv("EVC2_UTMOS", scripted(name))
    assert METRIC.missing() is None and METRIC.note().endswith(".pt")
    one = item(np.full(1600, 0.25, np.float32))
    assert METRIC.function(one) == pytest.approx(3.25)
    monkeypatch.setattr(utmos, "utmos", None)
    assert METRIC.function(one) == pytest.approx(3.25)


def test_a_network_that_fails_costs_one_trial(scripted, item, monkeypatch):
    monkeypatch.setenv("EVC2_UTMOS", scripted("Late"))
    assert METRIC.function(item(np.ones(200, np.float32))) == 1
    with pytest.raises(ValueError, match="out of"):
        METRIC.function(item(np.ones(50, np.float32)))
    monkeypatch.setenv("EVC2_UTMOS", scripted("Same"))
    with pytest.raises(ValueError, match="one number"):
        METRIC.function(item(np.ones(50, np.float32)))


def test_wrong_files(tmp_path, item, monkeypatch):
    monkeypatch.setenv("EVC2_UTMOS", str(tmp_path / "none.pt"))
    with pytest.raises(UserError, match="found no file"):
        METRIC.missing()
    pytest.importorskip("torch", reason="tools/setup.sh")
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(b"no network")
    monkeypatch.setenv("EVC2_UTMOS", str(wrong))
    with pytest.raises(UserError, match="expected a TorchScript file"):
        METRIC.function(item(np.ones(50, np.float32)))


def test_hub_only_from_its_cache_when_offline(tmp_path, offline, monkeypatch):
    pytest.importorskip("torch", reason="tools/setup.sh")
    monkeypatch.setenv("EVC2_UTMOS", "hub")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert "github.com cannot be reached" in METRIC.missing()
    before = settings()
    use(Settings(download=False))
    try:
        assert "switched off" in METRIC.missing()
    finally:
        use(before)
    code = tmp_path / "hub" / "tarepan_SpeechMOS_v1.2.0"
    code.mkdir(parents=True)
    (code / "hubconf.py").write_text(
        "import torch\n"
        "class Mean(torch.nn.Module):\n"
        "    def forward(self, wav, sr):\n"
        "        return wav.mean(1) * sr\n"
        "def utmos22_strong():\n"
        "    return Mean()\n"
    )
    (tmp_path / "hub" / "checkpoints").mkdir()
    (tmp_path / "hub" / "checkpoints" / "utmos22_strong_step7459_v1.pt").touch()
    assert METRIC.missing() is None and "SpeechMOS" in METRIC.note()
    assert utmos.utmos(np.full(100, 1 / 8000, np.float32)) == pytest.approx(2)
    utmos._model.cache_clear()
