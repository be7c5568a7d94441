"""The published MelGAN layout against a generator written here from the paper."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.vocoder.formats import load_vocoder
from evc2.vocoder.formats.melgan import CONTRACT


class Block(nn.Module):
    """Residual block of dilation d: a 3-tap and a 1-tap convolution, and a 1-tap convolution as shortcut."""

    def __init__(self, width, d, norm):
        super().__init__()
        self.block = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.ReflectionPad1d(d),
            norm(nn.Conv1d(width, width, 3, dilation=d)),
            nn.LeakyReLU(0.2),
            norm(nn.Conv1d(width, width, 1)),
        )
        self.shortcut = norm(nn.Conv1d(width, width, 1))

    def forward(self, x):
        return self.shortcut(x) + self.block(x)


class Plain(nn.Module):
    """MelGAN's generator under the published names."""

    def __init__(self, width, rates=(8, 8, 2, 2), mels=80, norm=weight_norm):
        super().__init__()
        layers = [nn.ReflectionPad1d(3), norm(nn.Conv1d(mels, width, 7))]
        for r in rates:
            up = nn.ConvTranspose1d(width, width // 2, 2 * r, r, padding=r // 2 + r % 2, output_padding=r % 2)
            width //= 2
            layers += [nn.LeakyReLU(0.2), norm(up), *(Block(width, 3**j, norm) for j in range(3))]
        layers += [nn.LeakyReLU(0.2), nn.ReflectionPad1d(3), norm(nn.Conv1d(width, 1, 7)), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, mel):
        return self.model(mel)


def plain(*args, **kwargs):
    torch.manual_seed(1)
    net = Plain(*args, **kwargs).eval()
    for name, value in net.named_parameters():
        if name.endswith(("weight_g", "original0")):
            value.data *= 1.3
    return net


@pytest.mark.parametrize("norm", [weight_norm, parametrizations.weight_norm], ids=["old", "new"])
def test_same_waveform_as_the_plain_generator(norm, tmp_path):
    net = plain(256, norm=norm)
    torch.save(net.state_dict(), tmp_path / "best_netG.pt")
    vocoder = load_vocoder(tmp_path / "best_netG.pt", FeatureContract.from_dict(CONTRACT))
    mel = np.random.default_rng(2).normal(-2, 1, (15, 80)).astype(np.float32)
    silence = np.full((vocoder.context, 80), -5, np.float32)  # log10 of the floor 1e-5
    with torch.no_grad():
        expected = net(torch.from_numpy(np.concatenate((mel, silence)).T)[None])[0, 0].numpy()[: 15 * 256]
    wav = vocoder({"feats": mel}, contract=vocoder.contract)
    assert expected.std() > 0.001
    assert np.abs(wav - expected).max() < 1e-5


def test_published_mel_and_size(tmp_path):
    torch.save(plain(512).state_dict(), tmp_path / "best_netG.pt")
    vocoder = load_vocoder(tmp_path / "best_netG.pt")
    c = vocoder.contract
    assert (c.rate, c.n_fft, c.hop, c.win, c.n_mels) == (22050, 1024, 256, 1024, 80)
    assert (c.fmin, c.fmax, c.log_base, c.floor, c.center, c.power) == (0, 11025, "10", 1e-5, False, 1)
    assert sum(p.numel() for p in vocoder.net.parameters()) == 4_260_257


def test_hop_of_another_size_is_refused(tmp_path):
    torch.save(plain(256, (8, 8, 4)).state_dict(), tmp_path / "small.pt")
    assert load_vocoder(tmp_path / "small.pt").contract.hop == 256
    torch.save(plain(256, (8, 4, 4)).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match="128 samples a frame"):
        load_vocoder(tmp_path / "other.pt")


def test_a_mel_of_another_range_is_refused(tmp_path):
    torch.save(plain(256).state_dict(), tmp_path / "best_netG.pt")
    other = FeatureContract.from_dict({**CONTRACT, "fmax": 8000})
    with pytest.raises(UserError, match=r"fmax.*8000"):
        load_vocoder(tmp_path / "best_netG.pt", other)


def test_incomplete_layers_are_refused(tmp_path):
    state = {k: v for k, v in plain(256).state_dict().items() if not k.startswith("model.8.")}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(UserError, match="not the layers of a MelGAN|do not fit"):
        load_vocoder(tmp_path / "x.pt")
