import numpy as np
import pytest
import torch

from evc2.nets import fast_conv, fast_hifigan, fast_kernels
from evc2.nets.fast_conv import CompiledConv, DirectConv, Scratch, TransformedConv
from evc2.nets.fast_conv import fast_conv as choose
from evc2.nets.fast_filters import filter_for, nested, toom_cook
from evc2.nets.fast_hifigan import FastHiFiGAN, supported
from evc2.nets.fast_kernels import Kernels
from evc2.nets.hifigan import build_generator
from evc2.nets.melgan import build_generator as build_melgan


@pytest.mark.parametrize("taps", [2, 3, 5, 7, 9, 11, 12])
def test_filters_are_exact(taps):
    f = filter_for(taps)
    assert f.products < f.tile * taps and f.taps >= taps and np.allclose(f.A[:, f.one], 1)
    rng = np.random.default_rng(taps)
    h, x = rng.normal(size=f.taps), rng.normal(size=f.tile + f.taps - 1)
    assert np.allclose(f.A @ ((f.G @ h) * (f.B @ x)), np.correlate(x, h, "valid"), atol=1e-11)


def test_filters_that_do_not_exist():
    with pytest.raises(ValueError, match="9 points"):
        toom_cook(5, 5)
    with pytest.raises(ValueError, match="as many outputs as taps"):
        nested(toom_cook(4, 3), toom_cook(2, 2))
    with pytest.raises(ValueError, match="13 taps"):
        filter_for(13)


@pytest.fixture(scope="session")
def kernels():
    try:
        return Kernels.load()
    except OSError as error:
        pytest.skip(str(error))


CASES = [(3, 1, 17), (3, 5, 4), (7, 3, 50), (11, 5, 161), (11, 1, 8), (5, 12, 99)]


@pytest.mark.parametrize("form", [DirectConv, TransformedConv])
@pytest.mark.parametrize(
    "taps, dilation, frames", [(3, 1, 17), (3, 5, 4), (7, 3, 50), (11, 5, 161), (11, 1, 8), (5, 12, 99)]
)
def test_convolution_of_an_activated_signal(form, taps, dilation, frames):
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(20, 20, taps, dilation=dilation, padding=dilation * (taps - 1) // 2)
    x, residual = torch.randn(frames, 20), torch.randn(frames, 20)
    with torch.inference_mode():
        right = conv(torch.nn.functional.leaky_relu(x, 0.1).t()[None])[0].t()
        fast = form(conv)
        y = fast.after_relu(x[:, None], frames, 0.1, Scratch())
        again = fast.after_relu(x[:, None], frames, 0.1, Scratch(), add_to=residual.clone())
    assert (y.reshape(-1, 20)[:frames] - right).abs().max() < 1e-5
    assert (again - right - residual).abs().max() < 1e-5


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("taps, dilation, frames", [*CASES, (9, 2, 700)])
def test_compiled_convolution(kernels, taps, dilation, frames, threads, monkeypatch):
    monkeypatch.setattr(fast_conv, "BLOCK", 16)  # several blocks
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(32, 48, taps, dilation=dilation, padding=dilation * (taps - 1) // 2)
    x, residual, scratch = torch.randn(frames, 32), torch.randn(frames, 48), Scratch()
    with torch.inference_mode():
        right = conv(torch.nn.functional.leaky_relu(x, 0.1).t()[None])[0].t()
        fast = CompiledConv(conv, kernels)
        y = fast.after_relu(x[:, None], frames, 0.1, scratch)[:, 0].clone()
        again = fast.after_relu(x[:, None], frames, 0.1, scratch, add_to=residual.clone())
    assert (y - right).abs().max() < 1e-5
    assert (again - right - residual).abs().max() < 1e-5


def test_compiled_generator(kernels, monkeypatch):
    monkeypatch.setattr(fast_hifigan, "CHUNK_COMPILED", 1)
    monkeypatch.setattr(fast_conv, "MIN_CHANNELS", 16)
    net = build_generator({"channels": 64, "upsample_scales": [4, 2], "upsample_kernel_sizes": [8, 4]})
    net.remove_weight_norm()
    mel = torch.randn(1, 80, 100)
    with torch.no_grad():
        right = net(mel)
    fast = FastHiFiGAN(net, compile=True)
    assert any(isinstance(one, CompiledConv) for _, blocks in fast.stages for b in blocks for one, _ in b.pairs)
    assert (fast(mel) - right).abs().max() < 1e-4


def test_compilers_that_fail_are_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(OSError, match="no C compiler"):
        fast_kernels._compile("int x;", tmp_path / "x.so")
    monkeypatch.undo()
    try:
        Kernels.load()
    except OSError as error:
        pytest.skip(str(error))
    with pytest.raises(OSError, match="cannot compile the kernels.*error"):
        fast_kernels._compile("int x", tmp_path / "x.so")
    assert not list(tmp_path.iterdir())


def test_wide_layers_are_transformed_and_narrow_ones_not():
    assert isinstance(choose(torch.nn.Conv1d(64, 64, 7, padding=3)), TransformedConv)
    assert isinstance(choose(torch.nn.Conv1d(32, 32, 7, padding=3)), DirectConv)
    assert isinstance(choose(torch.nn.Conv1d(64, 64, 13, padding=6)), DirectConv)


SIZES = [
    {"version": "v2", "channels": 32},
    {"version": "v3", "channels": 16},
    {"channels": 64, "upsample_scales": [4, 2], "upsample_kernel_sizes": [8, 4]},
]


@pytest.mark.parametrize("transform", [8, 4096])
@pytest.mark.parametrize("chunk", [1, 2**20])
@pytest.mark.parametrize("conf", SIZES, ids=["v2", "v3", "two stages"])
def test_same_waveform_as_the_generator(conf, chunk, transform, monkeypatch):
    monkeypatch.setattr(fast_conv, "MIN_CHANNELS", transform)
    monkeypatch.setattr(fast_hifigan, "CHUNK", chunk)
    torch.manual_seed(0)
    net = build_generator(conf).eval()
    for name, value in net.named_parameters():
        if name.endswith("weight_g"):
            value.data.uniform_(0.3, 1.2)
    net.remove_weight_norm()
    mel = torch.randn(2, 80, 21) * 2 - 5
    with torch.no_grad():
        right = net(mel)
    made = FastHiFiGAN(net)(mel)
    assert made.shape == right.shape and right.std() > 0.01
    assert (made - right).abs().max() < 1e-4


def test_what_is_not_supported():
    small = {"channels": 32, "upsample_scales": [4, 2], "upsample_kernel_sizes": [8, 4]}
    assert supported(build_generator(small))
    assert not supported(build_generator({**small, "global_channels": 4}))
    assert not supported(build_generator({**small, "nonlinear_activation": "ReLU", "nonlinear_activation_params": {}}))
    assert not supported(build_generator(small).to(torch.bfloat16))
    assert not supported(build_melgan({"channels": 32, "upsample_scales": [4, 2]}))
    with pytest.raises(ValueError, match="plain HiFi-GAN"):
        FastHiFiGAN(build_melgan({"channels": 32, "upsample_scales": [4, 2]}))
