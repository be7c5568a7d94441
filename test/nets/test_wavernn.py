"""WaveRNN: size, conditioning in time with the samples, and learning."""

import pytest
import torch
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.losses.wavernn import teacher_forcing, wavernn_loss
from evc2.nets.wavernn import Stretch, WaveRNN

SMALL = {
    "n_mels": 8,
    "hop": 12,
    "upsample_scales": (3, 4),
    "rnn_dims": 24,
    "fc_dims": 16,
    "compute_dims": 16,
    "res_out_dims": 16,
    "res_blocks": 2,
}


def test_parameter_count():
    net = WaveRNN(n_mels=80, hop=200, upsample_scales=(5, 5, 8))
    assert sum(p.numel() for p in net.parameters()) == 4_480_935  # the published code's 4.481 M


def test_stretch_is_the_convolution_of_the_repeated_signal():
    torch.manual_seed(0)
    for factor in (1, 2, 5):
        stretch = Stretch(factor)
        assert torch.equal(stretch.kernel, torch.full_like(stretch.kernel, 1 / (2 * factor + 1)))
        torch.nn.init.normal_(stretch.kernel)
        x = torch.randn(2, 3, 7)
        repeated = x.repeat_interleave(factor, dim=2).unsqueeze(1)
        direct = F.conv2d(repeated, stretch.kernel.view(1, 1, 1, -1), padding=(0, factor))[:, 0]
        assert torch.allclose(stretch(x), direct, atol=1e-5)
        stretch(x).square().sum().backward()
        assert stretch.kernel.grad.abs().min() > 0


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_conditioning_is_in_time(pad):
    net = WaveRNN(**SMALL, pad=pad).eval()
    frames, t = 9, 4
    mel = torch.zeros(1, 8, frames + 2 * pad)
    before = net.conditioning(mel)
    assert before[0].shape == (1, frames * 12, 8) and before[1].shape == (1, frames * 12, 16)
    mel[:, :, t + pad] = 1
    mels, aux = net.conditioning(mel)
    # An impulse in frame t is spread over its samples and, by the smoothing, evenly to both sides.
    weight = mels[0, :, 0].detach().double()
    centre = (weight * torch.arange(frames * 12)).sum() / weight.sum()
    assert centre.item() == pytest.approx(t * 12 + 5.5, abs=1e-3)
    changed = (aux - before[1])[0].abs().amax(dim=1).view(frames, 12)
    assert (changed == changed[:, :1]).all()  # frame features are constant within a frame
    touched = (changed[:, 0] > 0).nonzero().flatten()
    assert touched.min() == t - pad and touched.max() == t + pad


def test_frames_do_not_depend_on_far_ones():
    net = WaveRNN(**SMALL).eval()
    mel = torch.randn(1, 8, 30)
    whole, part = net.conditioning(mel), net.conditioning(mel[:, :, 5:20])
    for a, b in zip(whole, part, strict=True):
        assert torch.allclose(a[:, 5 * 12 : (5 + 11) * 12], b, atol=1e-5)


@pytest.mark.parametrize("mode", ["raw", "mol"])
def test_learns_one_batch(mode):
    torch.manual_seed(1)
    net = WaveRNN(**SMALL, mode=mode, bits=7)
    wav = 0.5 * torch.sin(torch.arange(4 * 12 + 1) * 0.4).repeat(3, 1) * torch.tensor([[0.3], [0.6], [1.0]])
    mel = torch.randn(3, 8, 4 + 4)
    given, target = teacher_forcing(wav, mode, 7)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    found = []
    for _ in range(25):
        out = net(given, mel)
        loss = wavernn_loss(out, target, mode)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert out.shape == (3, 48, 128 if mode == "raw" else 30)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert found[-1] < found[0] - 1.5


def test_mels_in_a_range_are_seen_from_0_to_1():
    torch.manual_seed(2)
    plain, ranged = WaveRNN(**SMALL).eval(), WaveRNN(**SMALL, mel_range=[-11.5, 0.5]).eval()
    ranged.load_state_dict({**plain.state_dict(), "mel_range": torch.tensor([-10.0, 2.0])})  # kept with the weights
    assert [p.shape for p in plain.parameters()] == [p.shape for p in ranged.parameters()]
    assert "mel_range" not in plain.state_dict()  # published weights have none
    mel = torch.rand(2, 8, 9) * 14 - 11  # below and above the range, too
    for a, b in zip(ranged.conditioning(mel), plain.conditioning((mel + 10) / 12), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    with pytest.raises(RuntimeError, match="mel_range"):
        plain.load_state_dict(ranged.state_dict())


def test_output_is_causal():
    net = WaveRNN(**SMALL).eval()
    wav, mel = torch.rand(1, 48), torch.randn(1, 8, 8)
    other = wav.clone()
    other[:, 20:] = 0
    a, b = net(wav, mel), net(other, mel)
    assert torch.equal(a[:, :20], b[:, :20]) and not torch.allclose(a[:, 20], b[:, 20])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"upsample_scales": (3, 5)}, "product of"),
        ({"mode": "gauss"}, "raw or mol"),
        ({"res_out_dims": 18}, "of 4"),
        ({"mel_range": [0, -11]}, "low below high"),
        ({"mel_range": 5}, "found 5"),
        ({"mel_range": "contrct"}, "found contrct"),
    ],
)
def test_impossible_sizes(wrong, named):
    with pytest.raises(UserError, match=named):
        WaveRNN(**{**SMALL, **wrong})
