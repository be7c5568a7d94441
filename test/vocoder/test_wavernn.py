"""The WaveRNN vocoder: mels in, waveforms of the right length out."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

torch = pytest.importorskip("torch")

from evc2.nets.wavernn import WaveRNN  # noqa: E402
from evc2.vocoder.wavernn import WaveRNNVocoder  # noqa: E402

CONTRACT = {
    "name": "tiny",
    "kind": "mel",
    "rate": 8000,
    "n_fft": 64,
    "hop": 12,
    "win": 64,
    "window": "hann",
    "center": True,
    "pad": "reflect",
    "power": 1,
    "n_mels": 8,
    "fmin": 0,
    "fmax": 4000,
    "mel_scale": "slaney",
    "mel_norm": "slaney",
    "log_base": "e",
    "floor": 1e-5,
    "floor_place": "clip",
    "scale": "none",
}


@pytest.fixture(scope="module")
def contract():
    return FeatureContract.from_dict(CONTRACT)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    sizes = {"rnn_dims": 24, "fc_dims": 16, "compute_dims": 16, "res_out_dims": 16, "res_blocks": 2}
    return WaveRNN(n_mels=8, hop=12, upsample_scales=(3, 4), bits=6, **sizes).eval()


def feats(frames, seed=0):
    return {"feats": np.random.default_rng(seed).normal(size=(frames, 8)).astype(np.float32)}


def test_single_and_list(contract, net):
    vocoder = WaveRNNVocoder(contract, net, target=40, overlap=10, fast=False)
    one, two = feats(5, 1), feats(9, 2)
    wavs = vocoder([one, two], contract=contract, length=[None, 100])
    assert [len(wav) for wav in wavs] == [60, 100] and all(wav.dtype == np.float32 for wav in wavs)
    assert np.allclose(vocoder(one, contract=contract), wavs[0], atol=1e-4)
    padded = vocoder(one, contract=contract, length=70)
    assert len(padded) == 70 and (padded[60:] == 0).all()


def test_edges(contract, net):
    mel = feats(4)["feats"]
    repeated = WaveRNNVocoder(contract, net)._mel({"feats": mel}).T.numpy()
    assert np.array_equal(repeated, mel[[0, 0, 0, 1, 2, 3, 3, 3]])
    silent = WaveRNNVocoder(contract, net, edges="silence")._mel({"feats": mel}).T.numpy()
    assert np.allclose(silent[[0, 1, -2, -1]], np.log(1e-5)) and np.array_equal(silent[2:-2], mel)


def test_ahead_and_fade(contract, net):
    plain = WaveRNNVocoder(contract, net)(feats(30), contract=contract)
    later = WaveRNNVocoder(contract, net, ahead=1)(feats(30), contract=contract)
    assert later[0] == 0 and np.array_equal(later[1:], plain[:-1])
    faded = WaveRNNVocoder(contract, net, fade=True)(feats(30), contract=contract)
    assert np.array_equal(faded[: 10 * 12], plain[: 10 * 12]) and faded[-1] == 0
    assert np.allclose(faded[-240:], plain[-240:] * np.linspace(1, 0, 240), atol=1e-6)
    short = WaveRNNVocoder(contract, net, fade=True)(feats(3), contract=contract)  # shorter than the fade
    assert len(short) == 36 and short[-1] == 0 and np.abs(short[:5]).max() > 0


def test_mistakes(contract, net):
    with pytest.raises(UserError, match="hop 24"):
        WaveRNNVocoder(FeatureContract.from_dict({**CONTRACT, "hop": 24}), net)
    with pytest.raises(UserError, match="did you mean silence"):
        WaveRNNVocoder(contract, net, edges="silent")
    vocoder = WaveRNNVocoder(contract, net)
    with pytest.raises(UserError, match="fmax"):
        vocoder(feats(3), contract=FeatureContract.from_dict({**CONTRACT, "fmax": 3000}))
    with pytest.raises(UserError, match="needs feats"):
        vocoder.synthesize({"mel": feats(3)["feats"]})
    with pytest.raises(UserError, match="shape"):
        vocoder.synthesize({"feats": np.zeros((3, 7), np.float32)})
    with pytest.raises(UserError, match="none are ready-made"):
        WaveRNNVocoder.from_pretrained()


def test_other_forms_of_the_same_mel_are_converted(contract, net):
    decibels = FeatureContract.from_dict({**CONTRACT, "log_base": "db"})
    vocoder = WaveRNNVocoder(contract, net, fast=False)
    mel = np.maximum(feats(4)["feats"], np.log(1e-5))
    found = vocoder({"feats": mel * 20 / np.log(10)}, contract=decibels)
    assert np.allclose(found, vocoder({"feats": mel}, contract=contract), atol=1e-4)
