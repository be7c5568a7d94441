"""Griffin-Lim: in time with the original, as good as torchaudio's, the same in a batch as alone."""

from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats import mel
from evc2.feats.contract import FeatureContract
from evc2.vocoder import build_vocoder

torch = pytest.importorskip("torch")
from evc2.vocoder.phases import Strip, griffin_lim  # noqa: E402

HIFIGAN = FeatureContract.load(Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml")


def changed(**values):
    return FeatureContract.from_dict({**HIFIGAN.to_dict(), **values})


CONTRACTS = {
    "hifigan": changed(),
    "center": changed(center=True),
    "zeros": changed(center=True, pad="constant", window="hamming"),
    "no_padding": changed(pad="none"),
    "short_window": changed(n_fft=2048, hop=275, win=1100, center=True),
    "odd_hop": changed(hop=200, win=1000, pad="none"),
    "power_db": changed(power=2, log_base="db", floor=1e-10, scale=[-80, 20]),
    "added_floor": changed(floor_place="add", log_base="10", mel_scale="htk", mel_norm="none"),
}
every_contract = pytest.mark.parametrize("c", CONTRACTS.values(), ids=CONTRACTS)


@pytest.fixture(scope="module")
def wav(voice):
    return voice(0.7, rate=22050)


def covered(n, c):
    """Samples of a wav [n] that the vocoder gives back."""
    frames = len(mel.spectrum(np.zeros(n), c))
    return (frames - 1) * c.hop + c.n_fft if c.pad == "none" else frames * c.hop


@every_contract
def test_analysis_and_its_inverse_are_those_of_the_features(wav, c):
    """With the true phases the original comes back, sample by sample; the magnitudes are evc2.feats.mel's."""
    magnitude = mel.spectrum(wav, c)
    strip = Strip([len(magnitude)], c, torch.zeros(0, dtype=torch.float64))
    side = 0 if c.pad == "none" else c.n_fft // 2 if c.center else (c.n_fft - c.hop) // 2
    padded = np.pad(wav.astype(np.float64), side, mode="constant" if c.pad == "none" else c.pad)[strip.skipped :]
    flat = strip.blocks.view(-1)
    n = min(len(flat), len(padded))
    flat[:n] = torch.from_numpy(padded[:n])
    spectra = strip.forward()
    np.testing.assert_allclose(spectra.abs().numpy(), magnitude, atol=1e-9)
    strip.inverse(spectra)
    found = strip.cut(0).numpy()
    assert len(found) == covered(len(wav), c)
    edge = c.n_fft if c.pad == "none" else 0  # where the window has hardly begun
    end = min(len(found), len(wav)) - edge
    np.testing.assert_allclose(found[edge:end], wav[edge:end], atol=1e-9)


@every_contract
def test_copy_synthesis(wav, c):
    bursts = wav * np.repeat(np.r_[0.02, 1, 0.02, 1, 1, 0.02, 1], len(wav) // 7 + 1)[: len(wav)].astype(np.float32)
    feats = {"feats": mel.log_mel(bursts, c)}
    vocoder = build_vocoder("griffin_lim", c)
    found = vocoder(feats, contract=c)
    assert found.dtype == np.float32 and len(found) == covered(len(wav), c)
    found = vocoder(feats, contract=c, length=len(bursts))
    assert len(found) == len(bursts) and np.abs(found).max() < 2 * np.abs(bursts).max()
    plain = FeatureContract.from_dict({**c.to_dict(), "log_base": "e", "scale": "none", "floor": 1e-3**c.power})
    difference = np.abs(mel.log_mel(found, plain) - mel.log_mel(bursts, plain))[4:-4]
    assert difference.mean() < 0.2 * c.power
    smooth = np.hanning(221) / 110
    a, b = (np.convolve(np.abs(one), smooth, "same") for one in (bursts, found))
    delays = range(-128, 129, 8)
    scores = [np.corrcoef(a[200:-200], np.roll(b, -delay)[200:-200])[0, 1] for delay in delays]
    assert abs(delays[int(np.argmax(scores))]) <= 40 and max(scores) > 0.9


def test_converges_like_torchaudio(wav, monkeypatch):
    """From the same first phases (all 0): the speed comes from the computing, not from another algorithm."""
    torchaudio = pytest.importorskip("torchaudio", reason="needs torchaudio")
    monkeypatch.setattr("evc2.vocoder.phases._random_phases", lambda shape, seed: torch.ones(shape) + 0j)
    c = changed(center=True)
    magnitude = mel.spectrum(wav, c)
    wanted = torch.tensor(magnitude, dtype=torch.float32)
    conf = {"n_fft": 1024, "hop_length": 256, "power": 1.0, "momentum": 0.99, "rand_init": False}
    for n_iter, most in ((8, 0.3), (32, 0.1)):
        theirs = torchaudio.transforms.GriffinLim(n_iter=n_iter, **conf)(wanted.T)
        ours = griffin_lim([wanted], c, n_iter)[0][: len(theirs)]
        off = [
            np.linalg.norm(mel.spectrum(one.numpy(), c) - magnitude) / np.linalg.norm(magnitude)
            for one in (ours, theirs)
        ]
        assert off[0] < 1.04 * off[1] < most


def test_momentum_helps(wav):
    wanted = torch.tensor(mel.spectrum(wav, HIFIGAN), dtype=torch.float32)

    def off(*args):
        found = griffin_lim([wanted], HIFIGAN, *args)[0].numpy()
        return np.linalg.norm(mel.spectrum(found, HIFIGAN)[: len(wanted)] - wanted.numpy()) / wanted.norm().item()

    assert off(32, 0.99) < 0.9 * off(32, 0.0) < 0.7 * off(0)


def test_the_same_in_a_batch_as_alone(voice):
    vocoder = build_vocoder("griffin_lim", HIFIGAN, n_iter=8)
    feats = [{"feats": mel.log_mel(voice(s, rate=22050, seed=i), HIFIGAN)} for i, s in enumerate((0.3, 0.7, 0.012))]
    together = vocoder(feats, contract=HIFIGAN, length=[None, 15000, 300])
    assert [len(one) for one in together] == [25 * 256, 15000, 300]
    for one, feat, n in zip(together, feats, (None, 15000, 300), strict=True):
        np.testing.assert_allclose(one, vocoder(feat, contract=HIFIGAN, length=n), atol=1e-4 * np.abs(one).max())
    assert np.abs(together[1][6000:14000]).max() > 0.05


def test_many_utterances_are_done_in_groups(wav, monkeypatch):
    monkeypatch.setattr("evc2.vocoder.griffin_lim.MAX_FRAMES", 70)
    feats = [{"feats": mel.log_mel(wav[:n], HIFIGAN)} for n in (5000, 5000, 8000, 15000, 15000)]
    vocoder = build_vocoder("griffin_lim", HIFIGAN, n_iter=2)
    found = vocoder(feats, contract=HIFIGAN)
    assert [len(one) // 256 for one in found] == [19, 19, 31, 58, 58]
    assert vocoder([], contract=HIFIGAN) == []


@every_contract
def test_silence_is_silent(c):
    found = build_vocoder("griffin_lim", c, n_iter=4)({"feats": mel.log_mel(np.zeros(3000), c)}, contract=c)
    assert np.isfinite(found).all() and np.abs(found).max() < 1e-3


def test_seed(wav):
    feats = {"feats": mel.log_mel(wav, HIFIGAN)}
    one, again, other = (
        build_vocoder("griffin_lim", HIFIGAN, n_iter=4, seed=s)(feats, contract=HIFIGAN) for s in (1, 1, 2)
    )
    assert (one == again).all() and np.abs(one - other).max() > 1e-3


def test_features_of_another_writing_are_converted(wav):
    db = changed(log_base="db", scale=[-100, 20])
    vocoder = build_vocoder("griffin_lim", HIFIGAN, n_iter=4)
    plain = vocoder({"feats": mel.log_mel(wav, HIFIGAN)}, contract=HIFIGAN)
    np.testing.assert_allclose(vocoder({"feats": mel.log_mel(wav, db)}, contract=db), plain, atol=1e-3)
    with pytest.raises(UserError, match="hop: 200 .features., 256 .vocoder."):
        vocoder({"feats": mel.log_mel(wav, HIFIGAN)}, contract=changed(hop=200))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_iters": 3}, "no option 'n_iters'.*did you mean n_iter"),
        ({"n_iter": -1}, "n_iter: expected a whole number"),
        ({"n_iter": 2.5}, "n_iter: expected a whole number"),
        ({"momentum": -0.1}, "momentum: expected 0"),
        ({"inversion": "pinw"}, "inversion: expected nnls or pinv, found 'pinw'.*did you mean pinv"),
        ({"path": "x"}, "no weights"),
    ],
)
def test_wrong_options(options, message):
    from evc2.vocoder.griffin_lim import GriffinLimVocoder

    with pytest.raises(UserError, match=message):
        GriffinLimVocoder.from_pretrained(contract=HIFIGAN, **options)


def test_wrong_input():
    with pytest.raises(UserError, match="needs the feature contract"):
        build_vocoder("griffin_lim")
    vocoder = build_vocoder("griffin_lim", HIFIGAN)
    for feats in ({}, {"feats": np.zeros((5, 79))}, {"feats": np.zeros((0, 80))}, {"feats": np.full((5, 80), np.nan)}):
        with pytest.raises(UserError, match="Griffin-Lim synthesis needs"):
            vocoder(feats, contract=HIFIGAN)


@pytest.mark.gpu
def test_on_a_gpu(wav):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    feats = {"feats": mel.log_mel(wav, HIFIGAN)}
    here, there = (build_vocoder("griffin_lim", HIFIGAN, d, n_iter=2)(feats, contract=HIFIGAN) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(there, here, atol=1e-2 * np.abs(here).max())
