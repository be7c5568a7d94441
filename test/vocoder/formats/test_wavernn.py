"""fatchord/WaveRNN checkpoints, written here under that repository's names: the same network, the same waveform."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from evc2.vocoder.formats import wavernn as published  # noqa: E402
from evc2.vocoder.wavernn import WaveRNNVocoder  # noqa: E402

SCALES, PAD, RNN, FC, WIDTH, AUX = (5, 5, 11), 2, 16, 12, 8, 8


def state(classes=32, mels=80, scales=SCALES, seed=0):
    """A state dict as latest_weights.pyt holds it, small, with running statistics that matter."""
    torch.manual_seed(seed)
    made = {"step": torch.tensor([123])}

    def add(name, module):
        made.update({f"{name}.{key}": value for key, value in module.state_dict().items()})

    def norm(name):
        layer = nn.BatchNorm1d(WIDTH)
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        nn.init.normal_(layer.weight)
        add(name, layer)

    add("upsample.resnet.conv_in", nn.Conv1d(mels, WIDTH, 2 * PAD + 1, bias=False))
    norm("upsample.resnet.batch_norm")
    for i in range(3):
        for j in (1, 2):
            add(f"upsample.resnet.layers.{i}.conv{j}", nn.Conv1d(WIDTH, WIDTH, 1, bias=False))
            norm(f"upsample.resnet.layers.{i}.batch_norm{j}")
    add("upsample.resnet.conv_out", nn.Conv1d(WIDTH, AUX, 1))
    for i, scale in enumerate(scales):
        add(f"upsample.up_layers.{2 * i + 1}", nn.Conv2d(1, 1, (1, 2 * scale + 1), bias=False))
    part = AUX // 4
    add("I", nn.Linear(mels + part + 1, RNN))
    add("rnn1", nn.GRU(RNN, RNN))
    add("rnn2", nn.GRU(RNN + part, RNN))
    add("fc1", nn.Linear(RNN + part, FC))
    add("fc2", nn.Linear(FC + part, FC))
    last = nn.Linear(FC, classes)
    nn.init.normal_(last.weight)
    add("fc3", last)
    return made


def convolve(x, w, bias=None):
    """x [C, T], w [O, C, k], no padding, in numpy."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2], axis=1)
    out = np.einsum("ctk,ock->ot", windows, w)
    return out if bias is None else out + bias[:, None]


def reference(weights, mel, seed):
    """Waveform of mel [T, n_mels] by loops in float64 numpy: mu-law classes, silence (zeros) around the mel."""
    w = {key: value.double().numpy() for key, value in weights.items()}
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731

    def norm(x, name):
        scale = w[f"{name}.weight"] / np.sqrt(w[f"{name}.running_var"] + 1e-5)
        return (x - w[f"{name}.running_mean"][:, None]) * scale[:, None] + w[f"{name}.bias"][:, None]

    x = np.pad(mel.T.astype(np.float64), ((0, 0), (PAD, PAD)))
    net = "upsample.resnet."
    y = np.maximum(norm(convolve(x, w[f"{net}conv_in.weight"]), f"{net}batch_norm"), 0)
    for i in range(3):
        z = norm(convolve(y, w[f"{net}layers.{i}.conv1.weight"]), f"{net}layers.{i}.batch_norm1")
        z = convolve(np.maximum(z, 0), w[f"{net}layers.{i}.conv2.weight"])
        y = y + norm(z, f"{net}layers.{i}.batch_norm2")
    hop = int(np.prod(SCALES))
    aux = np.repeat(convolve(y, w[f"{net}conv_out.weight"], w[f"{net}conv_out.bias"]), hop, axis=1)
    for i, scale in enumerate(SCALES):
        kernel = w[f"upsample.up_layers.{2 * i + 1}.weight"].reshape(-1)
        x = np.stack([np.correlate(np.pad(row, scale), kernel, "valid") for row in np.repeat(x, scale, axis=1)])
    x = x[:, PAD * hop : -PAD * hop]

    def gru(name, x, h):
        gi = w[f"{name}.weight_ih_l0"] @ x + w[f"{name}.bias_ih_l0"]
        gh = w[f"{name}.weight_hh_l0"] @ h + w[f"{name}.bias_hh_l0"]
        r, z = sigmoid(gi[:RNN] + gh[:RNN]), sigmoid(gi[RNN : 2 * RNN] + gh[RNN : 2 * RNN])
        return (1 - z) * np.tanh(gi[2 * RNN :] + r * gh[2 * RNN :]) + z * h

    uniform = torch.rand(x.shape[1], 1, generator=torch.Generator().manual_seed(seed)).double().numpy()
    h1, h2, sample, part, top = np.zeros(RNN), np.zeros(RNN), 0.0, AUX // 4, len(w["fc3.bias"]) - 1
    wav = []
    for t in range(x.shape[1]):
        a = aux[:, t].reshape(4, part)
        v = w["I.weight"] @ np.concatenate([[sample], x[:, t], a[0]]) + w["I.bias"]
        h1 = gru("rnn1", v, h1)
        v = v + h1
        h2 = gru("rnn2", np.concatenate([v, a[1]]), h2)
        v = v + h2
        v = np.maximum(w["fc1.weight"] @ np.concatenate([v, a[2]]) + w["fc1.bias"], 0)
        v = np.maximum(w["fc2.weight"] @ np.concatenate([v, a[3]]) + w["fc2.bias"], 0)
        v = np.exp(w["fc3.weight"] @ v + w["fc3.bias"])
        label = np.searchsorted(np.cumsum(v) / v.sum(), uniform[t, 0], side="right")
        sample = 2 * label / top - 1
        wav.append(np.sign(sample) / top * ((1 + top) ** abs(sample) - 1))
    return np.array([0, *wav[:-1]])  # that training pairs sample n + 1 with the conditioning of sample n


def test_sizes_and_mode():
    found = published.sizes(state())
    assert found == {
        "n_mels": 80,
        "hop": 275,
        "upsample_scales": [5, 5, 11],
        "mode": "raw",
        "bits": 5,
        "rnn_dims": RNN,
        "fc_dims": FC,
        "compute_dims": WIDTH,
        "res_out_dims": AUX,
        "res_blocks": 3,
        "pad": 2,
    }
    assert published.sizes(state(classes=30))["mode"] == "mol"


def test_same_waveform(tmp_path):
    path = tmp_path / "latest_weights.pyt"
    torch.save(state(), path)
    content = torch.load(path, weights_only=True)
    assert published.matches(content, path)
    own = FeatureContract.from_dict(published.PUBLISHED)
    vocoder = published.load(content, path, own, folded=False, fast=False, seed=3)
    assert vocoder.contract == own and own.fmax == 11025
    mel = np.random.default_rng(0).uniform(0, 1, (3, 80)).astype(np.float32)
    found = vocoder({"feats": mel}, contract=own)
    direct = reference(content, mel, 3)
    assert len(np.unique(found)) > 20
    assert found == pytest.approx(direct, abs=1e-5)
    assert np.allclose(published.load(content, path, own, folded=False, seed=3).synthesize({"feats": mel}), found)


def test_features_of_the_hifigan_kind_are_refused(tmp_path):
    torch.save(state(), tmp_path / "latest_weights.pyt")
    other = FeatureContract.from_dict({**published.PUBLISHED, "hop": 256, "win": 1024, "fmin": 0})
    with pytest.raises(UserError, match=r"hop: 256 \(features\), 275 \(vocoder\)"):
        WaveRNNVocoder.from_pretrained(tmp_path / "latest_weights.pyt", other)
    vocoder = WaveRNNVocoder.from_pretrained(tmp_path / "latest_weights.pyt", seed=4)
    assert vocoder.contract.hop == 275 and vocoder.how["seed"] == 4


def test_natural_log_of_the_same_mel_is_converted():
    ln = FeatureContract.from_dict({**published.PUBLISHED, "log_base": "e", "scale": "none"})
    vocoder = published.load(state(), "x.pyt", ln, folded=False)
    mel = np.random.default_rng(0).uniform(0.1, 0.9, (2, 80)).astype(np.float32)
    natural = (mel * 100 - 100) * np.log(10) / 20
    assert np.allclose(vocoder({"feats": natural}, contract=ln), vocoder.synthesize({"feats": mel}), atol=1e-5)


def test_other_hops_need_a_contract(tmp_path):
    with pytest.raises(UserError, match="option mel"):
        published.load(state(scales=(5, 5, 8)), "x.pyt", None)
    own = FeatureContract.from_dict({**published.PUBLISHED, "hop": 200, "win": 800, "rate": 16000, "fmax": 7600})
    own.save(tmp_path / "mel.yaml")
    content = {"model_state": state(scales=(5, 5, 8)), "optimizer_state": {}}
    assert published.matches(content, "x.pt")
    vocoder = published.load(content, "x.pt", None, mel=tmp_path / "mel.yaml")
    assert vocoder.contract == own and vocoder.net.hop == 200
    assert len(vocoder.synthesize({"feats": np.zeros((2, 80), np.float32)})) == 400


def test_mistakes():
    assert not published.matches({"generator": {}}, "g") and not published.matches([1], "x")
    with pytest.raises(UserError, match="power of two"):
        published.load(state(classes=33), "x.pyt", None)
    with pytest.raises(UserError, match="did you mean target"):
        published.load(state(), "x.pyt", None, targets=3)
    damaged = state()
    del damaged["fc2.weight"]
    with pytest.raises(UserError, match="x.pyt: not the weights"):
        published.load(damaged, "x.pyt", None)
