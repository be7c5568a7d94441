import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.nets.layers.logmel import LogMel, padding

BASE = {
    "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 128, "win": 400, "window": "hann", "center": False,
    "pad": "reflect", "power": 1, "n_mels": 20, "fmin": 50, "fmax": 7000, "mel_scale": "slaney", "mel_norm": "slaney",
    "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
WAV = (np.random.default_rng(0).normal(size=6000) * 0.1).astype(np.float32)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"center": True, "pad": "constant", "window": "hamming"},
        {"log_base": "10", "floor": 1e-10, "mel_scale": "htk", "mel_norm": "none"},
        {"log_base": "db", "power": 2, "scale": [-100, 0]},
        {"floor_place": "add", "floor": 1e-2, "win": 512},
    ],
)
def test_equals_the_numpy_analysis(other):
    contract = FeatureContract.from_dict({**BASE, **other})
    got = LogMel(contract).whole(torch.from_numpy(WAV)[None])[0].T.numpy()
    expected = log_mel(WAV, contract)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("n", [1, 50, 127, 192, 193, 256, 257, 511])
def test_equals_the_numpy_analysis_of_snippets(n, center):
    """From fewer samples than padding mirrors (192; 256 with center) to fewer than a window."""
    contract = FeatureContract.from_dict({**BASE, "center": center})
    got = LogMel(contract).whole(torch.from_numpy(WAV[None, :n]))[0].T.numpy()
    expected = log_mel(WAV[:n], contract)
    assert got.shape == expected.shape == (n // 128 + 1 if center else max(1, n // 128), 20)
    assert np.abs(got - expected).max() < 1e-3


def test_gradients_are_finite_on_silence_and_reach_the_signal():
    mel = LogMel(FeatureContract.from_dict(BASE))
    silent = torch.zeros(1, 2000, requires_grad=True)
    mel.whole(silent).sum().backward()
    assert torch.isfinite(silent.grad).all()
    loud = torch.from_numpy(WAV)[None].requires_grad_(True)
    mel.whole(loud).sum().backward()
    assert loud.grad.abs().min() >= 0 and loud.grad.abs().max() > 0


def test_a_contract_without_padding_is_refused():
    with pytest.raises(UserError, match="set pad: reflect"):
        padding(FeatureContract.from_dict({**BASE, "pad": "none"}))
