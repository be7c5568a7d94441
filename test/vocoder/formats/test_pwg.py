import sys

import numpy as np
import pytest
import torch
import yaml

from evc2.errors import UserError
from evc2.vocoder.formats import load_vocoder

SIZES = {"channels": 32, "upsample_scales": [8, 4, 2], "upsample_kernel_sizes": [16, 8, 4]}
CONFIG = {
    "sampling_rate": 24000,
    "fft_size": 512,
    "hop_size": 64,
    "win_length": 400,
    "window": "hann",
    "num_mels": 20,
    "fmin": 80,
    "fmax": 7600,
    "generator_type": "HiFiGANGenerator",
    "generator_params": {"in_channels": 20, "out_channels": 1, **SIZES},
    "format": "hdf5",
    "version": "0.5.3",
}
BANDS = {"in_channels": 20, "out_channels": 4, "channels": 32, "upsample_scales": [4, 2, 2], "stacks": 2}
MEAN, SCALE = np.linspace(-3, -1, 20).astype(np.float32), np.linspace(0.5, 1.5, 20).astype(np.float32)


def seeded(net):
    torch.manual_seed(4)
    for name, value in net.named_parameters():
        if name.endswith("weight_v"):
            value.data.normal_(0, 0.1)
        elif name.endswith("weight_g"):
            value.data.uniform_(0.5, 1.5)
    return net.eval()


def write(folder, net, config=CONFIG, stats=True):
    folder.mkdir(exist_ok=True)
    path = folder / "checkpoint-10steps.pkl"
    torch.save({"model": {"generator": net.state_dict(), "discriminator": {}}, "optimizer": {}, "steps": 10}, path)
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    if stats:
        np.save(folder / "stats.npy", np.stack([MEAN, SCALE]))
    return path


def hifigan(**kwargs):
    from espnet2.gan_tts.hifigan.hifigan import HiFiGANGenerator

    return seeded(HiFiGANGenerator(**{**CONFIG["generator_params"], **kwargs}))


def expected(net, mel, context, floor=-10.0):
    """espnet2's own network on the normalised mel, followed by normalised silence (log10 of the floor 1e-10)."""
    mel = np.concatenate((mel, np.full((context, mel.shape[1]), floor, np.float32)))
    with torch.no_grad():
        return net(torch.from_numpy(((mel - MEAN) / SCALE).T)[None])[0, 0].numpy()


def check(vocoder, net, frames=9):
    mel = np.random.default_rng(0).normal(-2, 1, (frames, 20)).astype(np.float32)
    wav = vocoder({"feats": mel}, contract=vocoder.contract)
    right = expected(net, mel, vocoder.context)[: len(wav)]
    assert wav.shape == (frames * vocoder.contract.hop,) and right.std() > 1e-3
    assert np.abs(wav - right).max() < 1e-5


def test_hifigan_with_its_normalisation_and_mel(tmp_path):
    net = hifigan()
    vocoder = load_vocoder(write(tmp_path, net))
    c = vocoder.contract
    assert (c.rate, c.n_fft, c.hop, c.win, c.n_mels, c.fmin, c.fmax) == (24000, 512, 64, 400, 20, 80, 7600)
    assert (c.log_base, c.floor, c.floor_place, c.center, c.pad) == ("10", 1e-10, "clip", True, "reflect")
    check(vocoder, net)


def test_multi_band_melgan(tmp_path):
    from espnet2.gan_tts.melgan.melgan import MelGANGenerator
    from espnet2.gan_tts.melgan.pqmf import PQMF

    net = seeded(MelGANGenerator(**BANDS))
    for version, filters in (("0.4.1", {"cutoff_ratio": 0.15}), ("0.5.0", {"cutoff_ratio": 0.142})):
        config = {**CONFIG, "generator_type": "MelGANGenerator", "generator_params": BANDS, "version": version}
        pqmf = PQMF(subbands=4, taps=62, beta=9.0, **filters)
        vocoder = load_vocoder(write(tmp_path, net, config))
        check(vocoder, lambda x, pqmf=pqmf: pqmf.synthesis(net(x)))


def test_misspelt_key_of_an_early_version_and_natural_logarithm(tmp_path):
    params = {k.replace("upsample_kernel", "upsample_kernal"): v for k, v in CONFIG["generator_params"].items()}
    config = {**CONFIG, "generator_params": params, "log_base": None}
    assert load_vocoder(write(tmp_path, hifigan(), config)).contract.log_base == "e"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"generator_type": "StyleMelGANGenerator"}, "'StyleMelGANGenerator' is not supported"),
        ({"log_base": 2.0}, "log_base: expected 10 or null"),
        ({"sampling_rate_for_feats": 16000}, "different rates"),
        ({"hop_size": None}, "hop"),
        ({"hop_size": 128}, "64 samples a frame"),
        ({"generator_params": {**CONFIG["generator_params"], "channel": 3}}, "channel.*channels"),
    ],
)
def test_configurations_that_cannot_be_served(change, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load_vocoder(write(tmp_path, hifigan(), {**CONFIG, **change}))


def test_missing_files_are_named(tmp_path, monkeypatch):
    path = write(tmp_path, hifigan(), stats=False)
    with pytest.raises(UserError, match=r"needs.*stats\.npy or stats\.h5"):
        load_vocoder(path)
    (tmp_path / "stats.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"pip install h5py.*numpy\.save\('stats\.npy'"):
        load_vocoder(path)
    (tmp_path / "config.yml").unlink()
    with pytest.raises(UserError, match=r"needs its config\.yml"):
        load_vocoder(path)


def test_statistics_of_other_bands(tmp_path):
    path = write(tmp_path, hifigan())
    np.save(tmp_path / "stats.npy", np.ones((2, 19)))
    with pytest.raises(UserError, match=r"of 20 bands.*19"):
        load_vocoder(path)


JOINT = {
    "tts": "joint_text2wav",
    "tts_conf": {"vocoder_type": "hifigan_generator", "vocoder_params": {"out_channels": 1, **SIZES}},
    "feats_extract": "fbank",
    "feats_extract_conf": {
        "fs": 24000, "n_fft": 512, "hop_length": 64, "win_length": 400, "n_mels": 20, "fmin": 80, "fmax": 7600
    },
    "normalize": "global_mvn",
}  # fmt: skip


def test_vocoder_of_an_espnet2_joint_model(tmp_path):
    net = hifigan()
    state = {f"tts.generator.vocoder.{key}": value for key, value in net.state_dict().items()}
    state |= {
        "tts.generator.text2mel.encoder.embed.weight": torch.zeros(3, 3),
        "normalize.mean": torch.from_numpy(MEAN),
    }
    state["normalize.std"] = torch.from_numpy(SCALE)
    torch.save(state, tmp_path / "train.loss.best.pth")
    with pytest.raises(UserError, match=r"needs its config\.yaml"):
        load_vocoder(tmp_path / "train.loss.best.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(JOINT))
    vocoder = load_vocoder(tmp_path / "train.loss.best.pth")
    assert vocoder.contract.rate == 24000 and vocoder.contract.log_base == "10"
    check(vocoder, net)


def test_vits_is_refused(tmp_path):
    torch.save({"tts.generator.decoder.input_conv.bias": torch.zeros(3)}, tmp_path / "vits.pth")
    with pytest.raises(UserError, match="no vocoder that reads mels.*VITS"):
        load_vocoder(tmp_path / "vits.pth")
