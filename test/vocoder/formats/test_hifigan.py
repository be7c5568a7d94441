"""The published HiFi-GAN layout against a generator written here from the paper and the published configuration."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.vocoder.formats import load_vocoder
from evc2.vocoder.formats.hifigan import SPECTROGRAM
from evc2.vocoder.hifigan import HiFiGANVocoder, ready_made

V1 = {
    "resblock": "1",
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 512,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": 8000,
}
V3 = {
    **V1,
    "resblock": "2",
    "upsample_rates": [8, 8, 4],
    "upsample_kernel_sizes": [16, 16, 8],
    "upsample_initial_channel": 256,
    "resblock_kernel_sizes": [3, 5, 7],
    "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
}
#: Another mel and narrow layers: what a user's own training of that code looks like.
OWN = {**V1, "upsample_initial_channel": 32, "num_mels": 40, "hop_size": 64, "win_size": 256, "n_fft": 512}
OWN |= {"upsample_rates": [8, 4, 2], "upsample_kernel_sizes": [16, 8, 4], "sampling_rate": 16000, "fmax": None}


class Plain(nn.Module):
    """HiFi-GAN's generator under the published names, straight from the paper: no part of it is evc2's or espnet2's."""

    def __init__(self, h, norm=weight_norm):
        super().__init__()
        self.h, width = h, h["upsample_initial_channel"]
        self.conv_pre = norm(nn.Conv1d(h["num_mels"], width, 7, padding=3))
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(h["upsample_rates"], h["upsample_kernel_sizes"], strict=True):
            self.ups.append(norm(nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2)))
            width //= 2
            for k, dilations in zip(h["resblock_kernel_sizes"], h["resblock_dilation_sizes"], strict=True):
                block = nn.Module()
                for name, steps in (("convs1", dilations), ("convs2", [1] * len(dilations))):
                    if h["resblock"] == "2" and name == "convs2":
                        continue
                    layers = [norm(nn.Conv1d(width, width, k, dilation=d, padding=d * (k - 1) // 2)) for d in steps]
                    setattr(block, name if h["resblock"] == "1" else "convs", nn.ModuleList(layers))
                self.resblocks.append(block)
        self.conv_post = norm(nn.Conv1d(width, 1, 7, padding=3))

    def forward(self, x):
        x, kinds = self.conv_pre(x), len(self.h["resblock_kernel_sizes"])
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(self.residual(self.resblocks[i * kinds + j], x) for j in range(kinds)) / kinds
        return torch.tanh(self.conv_post(F.leaky_relu(x, 0.01)))

    def residual(self, block, x):
        if self.h["resblock"] == "2":
            for layer in block.convs:
                x = x + layer(F.leaky_relu(x, 0.1))
            return x
        for first, second in zip(block.convs1, block.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, 0.1)), 0.1))
        return x


def plain(h, norm=weight_norm):
    """Seeded weights at which the layers are far from linear and the output far from silent."""
    torch.manual_seed(3)
    net = Plain(h, norm)
    for name, value in net.named_parameters():
        if name.endswith(("weight_g", "original0")):
            value.data *= 1.6
        elif name.endswith("bias"):
            value.data.normal_(0, 0.1)
    return net.eval()


def mel_of(h, frames=11):
    return np.random.default_rng(5).normal(-4, 2, (frames, h["num_mels"])).astype(np.float32)


def followed_by_silence(net, mel, contract, context):
    """What the vocoder promises: the network's output for the mel and then silence."""
    silence = np.full((context, mel.shape[1]), np.log(contract.floor), np.float32)
    with torch.no_grad():
        wav = net(torch.from_numpy(np.concatenate((mel, silence)).T)[None])[0, 0]
    return wav.numpy()[: len(mel) * contract.hop]


def check(vocoder, net, h):
    mel = mel_of(h)
    expected = followed_by_silence(net, mel, vocoder.contract, vocoder.context)
    wav = vocoder({"feats": mel}, contract=vocoder.contract)
    assert expected.std() > 0.01
    assert wav.shape == expected.shape and np.abs(wav - expected).max() < 1e-5


@pytest.mark.parametrize("h", [{**V1, "upsample_initial_channel": 128}, V3], ids=["v2", "v3"])
def test_published_versions_without_config(h, tmp_path):
    net = plain(h)
    torch.save({"generator": net.state_dict()}, tmp_path / "g_02500000")
    vocoder = load_vocoder(tmp_path / "g_02500000")
    assert not vocoder.contract.differences(FeatureContract.from_dict(SPECTROGRAM))
    check(vocoder, net, h)


@pytest.mark.parametrize("norm", [weight_norm, parametrizations.weight_norm, lambda x: x], ids=["old", "new", "folded"])
def test_own_sizes_and_mel_from_config_json(norm, tmp_path):
    net = plain(OWN, norm)
    torch.save({"generator": net.state_dict()}, tmp_path / "generator_7")
    (tmp_path / "config.json").write_text(json.dumps({**OWN, "batch_size": 16}))
    vocoder = load_vocoder(tmp_path / "generator_7")
    found = vocoder.contract
    assert (found.rate, found.hop, found.n_fft, found.win, found.n_mels, found.fmax) == (16000, 64, 512, 256, 40, 8000)
    check(vocoder, net, OWN)


def test_sizes_that_are_not_published_need_the_config(tmp_path):
    torch.save({"generator": plain(OWN).state_dict()}, tmp_path / "g")
    with pytest.raises(UserError, match=r"not one of the published.*\(32, 40, 7\).*config\.json"):
        load_vocoder(tmp_path / "g")


def test_config_that_does_not_fit(tmp_path):
    torch.save({"generator": plain(OWN).state_dict()}, tmp_path / "g")
    (tmp_path / "config.json").write_text(json.dumps({**OWN, "upsample_initial_channel": 64}))
    with pytest.raises(UserError, match=r"do not fit.*is \(32,.*expected \(64,"):
        load_vocoder(tmp_path / "g")
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in OWN.items() if k != "hop_size"}))
    with pytest.raises(UserError, match="config.json: missing key 'hop_size'"):
        load_vocoder(tmp_path / "g")
    (tmp_path / "config.json").write_text(json.dumps({**OWN, "hop_size": 128}))
    with pytest.raises(UserError, match="64 samples a frame, but.*hop 128"):
        load_vocoder(tmp_path / "g")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot read the configuration"):
        load_vocoder(tmp_path / "g")


def test_wrong_contract_is_refused_naming_the_keys(tmp_path):
    torch.save({"generator": plain({**V1, "upsample_initial_channel": 128}).state_dict()}, tmp_path / "g")
    other = FeatureContract.from_dict({**SPECTROGRAM, "fmax": 7600, "win": 512})
    with pytest.raises(UserError, match=r"(?s)win.*fmax|fmax.*win") as caught:
        load_vocoder(tmp_path / "g", other)
    assert "7600" in str(caught.value) and "512" in str(caught.value)


@pytest.mark.parametrize("weights", ["universal", "ljspeech"])
def test_ready_made_weights_sound_as_in_the_plain_generator(weights):
    try:
        path = ready_made(weights)
    except UserError as error:
        pytest.skip(str(error))
    net = Plain(V1)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["generator"])
    vocoder = HiFiGANVocoder.from_pretrained(weights=weights)
    mel = np.minimum(mel_of(V1, 24), 1.0)
    expected = followed_by_silence(net, mel, vocoder.contract, vocoder.context)
    wav = vocoder({"feats": mel}, contract=vocoder.contract)
    assert expected.std() > 0.001
    assert np.abs(wav - expected).max() < 1e-4
