import logging

import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.nets import hifigan, melgan
from evc2.nets.fast_kernels import Kernels
from evc2.vocoder import neural
from evc2.vocoder.formats.hifigan import SPECTROGRAM
from evc2.vocoder.neural import ConvVocoder

CONTRACT = FeatureContract.from_dict({**SPECTROGRAM, "n_mels": 20, "hop": 32})
SIZE = {"in_channels": 20, "channels": 32}
SMALL = {
    "hifigan": (hifigan, {**SIZE, "upsample_scales": [8, 4], "upsample_kernel_sizes": [16, 8]}),
    "melgan": (melgan, {**SIZE, "upsample_scales": [8, 4]}),
    "multi_band": (melgan, {**SIZE, "upsample_scales": [4, 2], "out_channels": 4}),
}


def generator(name):
    module, conf = SMALL[name]
    torch.manual_seed(0)
    net = module.build_generator(conf)
    for key, value in net.named_parameters():
        if key.endswith("weight_g"):
            value.data.uniform_(0.5, 1.5)
    return net


def mels(*frames):
    rng = np.random.default_rng(1)
    return [{"feats": rng.normal(-4, 2, (n, 20)).astype(np.float32)} for n in frames]


@pytest.mark.parametrize("name", SMALL)
def test_alone_and_in_a_batch_are_the_same(name):
    vocoder = ConvVocoder(CONTRACT, generator(name))
    feats = mels(3, 40, 17, 1, 64)
    together = vocoder(feats, contract=CONTRACT)
    assert [len(wav) for wav in together] == [32 * len(one["feats"]) for one in feats]
    for one, wav in zip(feats, together, strict=True):
        alone = vocoder(one, contract=CONTRACT)
        assert (
            np.abs(wav - alone).max() < 1e-5 * max(1.0, np.abs(alone).max())
            and alone.std() > 1e-3
            and alone.dtype == np.float32
        )


@pytest.mark.parametrize("name", SMALL)
def test_pieces_join_without_a_trace(name, monkeypatch):
    vocoder = ConvVocoder(CONTRACT, generator(name))
    (long,) = mels(150)
    whole = vocoder(long, contract=CONTRACT)
    monkeypatch.setattr(neural, "PIECE", 40)
    assert np.abs(vocoder(long, contract=CONTRACT) - whole).max() < 1e-5 * max(1.0, np.abs(whole).max())


@pytest.mark.parametrize("name", SMALL)
def test_context_is_as_far_as_the_network_looks(name):
    net = generator(name).eval()
    mel = torch.randn(1, 20, 120)
    changed = mel.clone()
    changed[:, :, 60] += 3
    with torch.no_grad():
        frames = (net(mel) != net(changed))[0, 0].nonzero()[:, 0] // net.hop
    reach = max(60 - int(frames.min()), int(frames.max()) - 60)
    assert reach <= net.context <= reach + 2


def test_lengths_and_groups():
    vocoder = ConvVocoder(CONTRACT, generator("hifigan"))
    short, cut = vocoder(mels(10, 10), contract=CONTRACT, length=[500, 100])
    assert len(short) == 500 and not short[320:].any() and len(cut) == 100
    assert neural._groups([5, 9, 4, 30], 20) == [[3], [1, 0], [2]]


def test_normalisation_is_applied_before_the_generator():
    mean, scale = np.linspace(-3, 0, 20), np.linspace(1, 2, 20)
    plain = ConvVocoder(CONTRACT, generator("hifigan"))
    normal = ConvVocoder(CONTRACT, generator("hifigan"), mean=mean, scale=scale)
    (one,) = mels(60)
    by_hand = plain({"feats": (one["feats"] - mean) / scale}, contract=CONTRACT)
    made = normal(one, contract=CONTRACT)
    far = (60 - plain.context) * 32  # the silence that follows is another one
    assert np.abs(made - by_hand)[:far].max() < 1e-5
    with pytest.raises(UserError, match="mean and a positive scale for each of 20 bands"):
        ConvVocoder(CONTRACT, generator("hifigan"), mean=mean, scale=scale[:3])


@pytest.mark.parametrize(
    "feats, message",
    [
        ({"feats": np.zeros((5, 80))}, r"\[frames, 20\].*\(5, 80\)"),
        ({"feats": np.zeros((0, 20))}, "one frame or more"),
        ({"feats": np.zeros(20)}, r"found \(20,\)"),
        ({"feats": np.full((5, 20), np.nan)}, "NaN or infinity"),
        ({"f0": np.zeros(5)}, "'feats', got f0"),
    ],
)
def test_bad_mels(feats, message):
    vocoder = ConvVocoder(CONTRACT, generator("hifigan"))
    with pytest.raises(UserError, match=message):
        vocoder.synthesize(feats)


def test_hop_and_dtype_are_checked():
    other = FeatureContract.from_dict({**SPECTROGRAM, "n_mels": 20, "hop": 64})
    with pytest.raises(UserError, match="32 samples a frame, but the contract 'hifigan' has hop 64"):
        ConvVocoder(other, generator("hifigan"))
    with pytest.raises(UserError, match="expected float32, bfloat16 or float16, found 'int8'"):
        ConvVocoder(CONTRACT, generator("hifigan"), dtype="int8")


def test_bfloat16_is_close():
    (one,) = mels(20)
    exact = ConvVocoder(CONTRACT, generator("hifigan"))(one, contract=CONTRACT)
    rough = ConvVocoder(CONTRACT, generator("hifigan"), dtype="bfloat16")(one, contract=CONTRACT)
    assert rough.dtype == np.float32 and 0 < np.abs(rough - exact).max() < 0.3 * np.abs(exact).max()


@pytest.mark.parametrize("name", ["hifigan", "melgan"])
def test_a_failing_compiler_is_logged_once_and_does_without(name, monkeypatch, caplog):
    def broken(*args, **kwargs):
        def call(x):
            raise RuntimeError("No working compiler found")

        return call

    def none():
        raise OSError("No working compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(Kernels, "load", none)
    (one,) = mels(9)
    with caplog.at_level(logging.WARNING):
        vocoder = ConvVocoder(CONTRACT, generator(name), compile=True)
        first, second = (vocoder(one, contract=CONTRACT) for _ in range(2))
    assert [r.getMessage() for r in caplog.records if "No working compiler" in r.getMessage()] and len(
        caplog.records
    ) == 1
    assert np.abs(first - ConvVocoder(CONTRACT, generator(name))(one, contract=CONTRACT)).max() < 1e-5
    assert np.abs(first - second).max() < 1e-5  # their padded lengths differ, and sums with them in the last digit
