"""Generation: equal to a loop of GRU cells, reproducible, and folds that join without a seam or a gap."""

import shutil

import pytest
import torch
from torch import nn

from evc2.errors import UserError
from evc2.nets.layers.sample_codes import expand_mu_law
from evc2.nets.wavernn import WaveRNN
from evc2.nets.wavernn_folds import fold_starts, join
from evc2.nets.wavernn_generation import CHUNK, WaveRNNGenerator

SIZES = {
    "n_mels": 8,
    "hop": 12,
    "upsample_scales": (3, 4),
    "rnn_dims": 24,
    "fc_dims": 16,
    "compute_dims": 16,
    "res_out_dims": 16,
    "res_blocks": 2,
}
MODES = pytest.mark.parametrize("mode", ["raw", "mol"])


def network(mode="raw"):
    torch.manual_seed(5)
    net = WaveRNN(**SIZES, mode=mode, bits=6).eval()
    nn.init.normal_(net.output.weight, std=0.8)  # so that the distributions are far from uniform
    return net


def mel(frames, seed=0):
    return torch.randn(8, frames + 4, generator=torch.Generator().manual_seed(seed))


def cell(gru):
    """nn.GRU's weights in an nn.GRUCell."""
    made = nn.GRUCell(gru.input_size, gru.hidden_size)
    made.load_state_dict({name.removesuffix("_l0"): value for name, value in gru.state_dict().items()})
    return made


@torch.no_grad()
def reference(net, frames, seed=0, temperature=1.0):
    """The plain loop, one utterance: amplitudes [N]."""
    mels, aux = net.conditioning(frames.unsqueeze(0))
    gru1, gru2 = cell(net.rnn1), cell(net.rnn2)
    numbers = 1 if net.mode == "raw" else 2
    uniform = torch.rand(mels.shape[1], numbers, generator=torch.Generator().manual_seed(seed))
    h1 = h2 = torch.zeros(1, net.rnn_dims)
    x, wav = torch.zeros(1, 1), []
    for i in range(mels.shape[1]):
        a1, a2, a3, a4 = aux[:, i].chunk(4, dim=1)
        y = net.input(torch.cat([x, mels[:, i], a1], dim=1))
        h1 = gru1(y, h1)
        y = y + h1
        h2 = gru2(torch.cat([y, a2], dim=1), h2)
        y = y + h2
        y = torch.relu(net.hidden1(torch.cat([y, a3], dim=1)))
        y = torch.relu(net.hidden2(torch.cat([y, a4], dim=1)))
        y = net.output(y)
        if net.mode == "raw":
            cumulated = torch.softmax(y[0] / temperature, dim=0).cumsum(dim=0)
            label = torch.searchsorted(cumulated, uniform[i], right=True).clamp(max=net.classes - 1)
            x = (2 * label.float() / (net.classes - 1) - 1).unsqueeze(0)
        else:
            cumulated = torch.softmax(y[0, :10] / temperature, dim=0).cumsum(dim=0)
            k = int(torch.searchsorted(cumulated, uniform[i, :1], right=True).clamp(max=9))
            u = uniform[i, 1].clamp(1e-5, 1 - 1e-5)
            noise = torch.log(u) - torch.log1p(-u)
            x = (y[0, 10 + k] + temperature * torch.exp(y[0, 20 + k]) * noise).clamp(-1, 1).view(1, 1)
        wav.append(x[0, 0])
    wav = torch.stack(wav)
    return expand_mu_law(wav, net.bits) if net.mode == "raw" else wav


@MODES
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_unfolded_equals_the_loop_bit_by_bit(mode, temperature):
    net = network(mode)
    generator = WaveRNNGenerator(net, fast=False, temperature=temperature)
    for frames in (3, 11):  # less than a chunk, and several
        found = generator([mel(frames)], folded=False, seed=7)[0]
        assert found.shape == (frames * 12,) and found.unique().numel() > 10
        assert torch.equal(found, reference(net, mel(frames), 7, temperature))
    assert 11 * 12 > 2 * CHUNK


@MODES
def test_fast_step_agrees(mode):
    net = network(mode)
    plain = WaveRNNGenerator(net, fast=False, temperature=0.8)([mel(20)], folded=False)[0]
    fast = WaveRNNGenerator(net, temperature=0.8)([mel(20)], folded=False)[0]
    assert torch.allclose(plain, fast, atol=1e-4)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@MODES
def test_compiled_step_agrees(mode):
    net = network(mode)
    generator = WaveRNNGenerator(net, compiled=True, temperature=0.8)
    assert generator.program is not None
    for folds in ({"folded": False}, {"target": 50, "overlap": 8}):
        plain = WaveRNNGenerator(net, temperature=0.8)([mel(20)], **folds)[0]
        assert torch.allclose(plain, generator([mel(20)], **folds)[0], atol=1e-4)


def test_without_a_compiler_it_goes_on(monkeypatch, caplog):
    def broken(*args, **options):
        def program(*inputs):
            raise RuntimeError("no g++")

        return program

    monkeypatch.setattr(torch, "compile", broken)
    net = network()
    generator = WaveRNNGenerator(net, compiled=True)
    assert "no g++" in caplog.text and len(caplog.records) == 1
    assert torch.equal(generator([mel(5)])[0], WaveRNNGenerator(net)([mel(5)])[0])


@MODES
def test_company_does_not_matter(mode):
    # Up to rounding, which at these sizes lets no draw fall otherwise.
    generator = WaveRNNGenerator(network(mode), fast=False)
    mels = [mel(9, 1), mel(4, 2), mel(15, 3)]
    for options in ({"folded": False}, {"target": 40, "overlap": 10}):
        together = generator(mels, **options)
        for one, found in zip(mels, together, strict=True):
            assert torch.allclose(generator([one], **options)[0], found, atol=1e-4)


def test_seeds():
    generator = WaveRNNGenerator(network())
    first, again, other = (generator([mel(9)], seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_temperature_sharpens():
    net = network()
    draws = {}
    for temperature in (0.05, 1.0):
        generator = WaveRNNGenerator(net, temperature=temperature)
        draws[temperature] = torch.stack([generator([mel(2)], folded=False, seed=s)[0][0] for s in range(20)])
    assert draws[0.05].unique().numel() < draws[1.0].unique().numel()


@pytest.mark.parametrize("length", [1, 70, 71, 130, 131, 1000])
def test_folds_cover_everything(length):
    target, overlap = 50, 10
    starts = fold_starts(length, target, overlap)
    assert starts == [60 * i for i in range(len(starts))]
    assert starts[-1] + 70 >= length
    assert len(starts) == 1 or starts[-1] + overlap < length  # the last one brings something new


def test_join_has_equal_power_and_no_fade_at_the_ends():
    overlap, n = 10, 70
    wav = join([torch.ones(n), torch.zeros(n)], overlap)
    assert len(wav) == 2 * n - overlap
    assert (wav[:65] == 1).all() and (wav[70:] == 0).all()  # warm-up: heard from the earlier fold
    back = join([torch.zeros(n), torch.ones(n)], overlap)
    assert torch.allclose(wav[60:70] ** 2 + back[60:70] ** 2, torch.ones(10), atol=1e-6)
    assert (back[70:] == 1).all()
    assert torch.equal(join([torch.arange(5.0)], overlap), torch.arange(5.0))  # shorter than the overlap
    assert len(join([torch.ones(4), torch.ones(4)], 0)) == 8


def test_folds_start_like_the_unfolded():
    generator = WaveRNNGenerator(network(), fast=False)
    whole = generator([mel(20)], folded=False)[0]
    folded = generator([mel(20)], target=100, overlap=20)[0]
    assert len(whole) == len(folded) == 240
    assert torch.allclose(whole[:130], folded[:130], atol=1e-4)  # up to the cross-fade of the first overlap
    assert torch.equal(generator([mel(3)])[0], generator([mel(3)], folded=False)[0])  # one fold


def test_training_mode_is_left_as_it_was():
    net = network().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    WaveRNNGenerator(net)([mel(3)])
    assert net.training and net.frame_net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_impossible_options():
    net = network()
    with pytest.raises(UserError, match="temperature"):
        WaveRNNGenerator(net, temperature=0)
    with pytest.raises(UserError, match="overlap of 0"):
        WaveRNNGenerator(net)([mel(3)], overlap=-1)
    with pytest.raises(UserError, match="without frames"):
        WaveRNNGenerator(net)([mel(0)])
    assert WaveRNNGenerator(net)([]) == []
