import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.fileio.ark import ArkWriter
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import DataDir, write_table
from evc2.nets.layers.logmel import LogMel
from evc2.train.collate_fn import crop_start
from evc2.train.wav_crops import WavCrops

KEYS = {
    "kind": "mel", "rate": 16000, "n_fft": 256, "hop": 64, "win": 256, "window": "hann", "center": False,
    "pad": "reflect", "power": 1, "n_mels": 12, "fmin": 0, "fmax": None, "mel_scale": "slaney", "mel_norm": "slaney",
    "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
LENGTHS = {"a-1": 4001, "a-2": 640, "b-1": 5000}


@pytest.fixture(params=[False, True], ids=["uncentred", "centred"])
def contract(request):
    return FeatureContract.from_dict({**KEYS, "center": request.param})


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for utt, n in LENGTHS.items():
        write_audio(tmp_path / f"{utt}.wav", 0.3 * rng.uniform(-1, 1, n), 16000)
    write_table(tmp_path / "wav.scp", {utt: str(tmp_path / f"{utt}.wav") for utt in LENGTHS})
    write_table(tmp_path / "utt2spk", {utt: utt[0] for utt in LENGTHS})
    write_table(tmp_path / "utt2num_samples", {utt: str(n) for utt, n in LENGTHS.items()})
    return DataDir(tmp_path)


def test_a_crop_has_the_frames_of_the_whole_utterance(data, contract):
    crops, mel = WavCrops(data, contract, 10), LogMel(contract)
    for utt in ("a-1", "b-1"):
        wav, _ = read_audio(crops.wavs[utt])
        whole = log_mel(wav, contract)
        for start in (0, 1, 17, len(whole) - 10):
            got = mel(torch.from_numpy(crops.cut(utt, len(wav), start))[None])[0].T.numpy()
            assert np.abs(got - whole[start : start + 10]).max() < 1e-4
        _, item = crops[(utt, "3 1")]
        start = crop_start(len(whole), 10, f"3 1 {utt}")
        side = crops.side
        inside = item["wav"][side : side + 640]
        expected = wav[start * 64 : start * 64 + 640]  # frame t stands for samples t * hop to (t + 1) * hop
        assert np.array_equal(inside[: len(expected)], expected)


def test_short_utterances_are_followed_by_silence(data, contract):
    crops = WavCrops(data, contract, 32)
    _, item = crops[("a-2", "")]
    wav, _ = read_audio(crops.wavs["a-2"])
    assert item["wav"].shape == (31 * 64 + 256,)
    assert np.array_equal(item["wav"][crops.side : crops.side + 640], wav)
    assert not item["wav"][crops.side + 640 : -2 * crops.side].any()


def test_gain_is_drawn_by_the_key(data, contract):
    plain, loud = WavCrops(data, contract, 10), WavCrops(data, contract, 10, gain=(0.25, 0.5))
    ratios = set()
    for key in ("1", "2", "3"):
        a, b = plain[("a-1", key)][1]["wav"], loud[("a-1", key)][1]["wav"]
        assert np.array_equal(b, loud[("a-1", key)][1]["wav"])
        ratio = float((b[np.abs(a) > 0.01] / a[np.abs(a) > 0.01]).mean())
        assert 0.25 <= ratio <= 0.5
        ratios.add(round(ratio, 6))
    assert len(ratios) == 3


def test_generated_mels_come_in_time_with_the_recording(data, contract, tmp_path):
    generated = tmp_path / "gta"
    generated.mkdir()
    contract.save(generated / "feats.yaml")
    frames = {utt: len(log_mel(np.ones(n), contract)) for utt, n in LENGTHS.items()}
    with ArkWriter(generated / "feats.ark", generated / "feats.scp") as writer:
        for utt in ("a-1", "a-2"):
            ramp = np.arange(frames[utt], dtype=np.float32)
            writer[utt] = np.repeat(ramp[:, None], 12, axis=1)
        writer["b-1"] = np.zeros((frames["b-1"] - 9, 12), dtype=np.float32)
    crops = WavCrops(data, contract, 16, str(generated))
    _, item = crops[("a-1", "7")]
    start = crop_start(frames["a-1"], 16, "7 a-1")
    assert item["feats"][:, 0].tolist() == list(range(start, start + 16))
    _, item = crops[("a-2", "7")]
    assert item["feats"].shape == (16, 12) and item["feats"][-1] == pytest.approx(np.log(1e-5))
    with pytest.raises(UserError, match="b-1: .* not in time"):
        crops[("b-1", "7")]
    other = FeatureContract.from_dict({**contract.to_dict(), "n_mels": 13})
    with pytest.raises(UserError, match="n_mels"):
        WavCrops(data, other, 16, str(generated))
