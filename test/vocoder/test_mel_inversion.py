"""Inverting the mel filters, against scipy's solver and against the truth."""

from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import filterbank, spectrum

torch = pytest.importorskip("torch")
from evc2.vocoder.mel_inversion import magnitude  # noqa: E402

CONF = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml"


@pytest.fixture(scope="module", params=[1, 2], ids=["magnitude", "power"])
def contract(request):
    return FeatureContract.from_dict({**FeatureContract.load(CONF).to_dict(), "power": request.param})


@pytest.fixture(scope="module")
def truth(voice, contract):
    return spectrum(voice(0.5, rate=22050), contract)


def residual(found, mel, contract):
    power = found.double().numpy() ** contract.power
    return np.linalg.norm(power @ filterbank(contract).T - mel) / np.linalg.norm(mel)


def invert(mel, contract, *args):
    return magnitude(torch.tensor(mel, dtype=torch.float32), contract, *args)


def test_the_mels_of_the_result_are_the_given_ones(truth, contract):
    mel = truth**contract.power @ filterbank(contract).T
    nnls, pinv = invert(mel, contract), invert(mel, contract, "pinv")
    assert nnls.shape == pinv.shape == truth.shape and nnls.dtype == torch.float32
    assert nnls.min() >= 0 and pinv.min() >= 0
    assert residual(nnls, mel, contract) < (1e-5, 5e-3)[int(contract.power) - 1]
    assert residual(pinv, mel, contract) < 0.15
    # The true spectrum has harmonics that no mel tells; yet the inversion is nearer to it than the clamped inverse.
    off = [np.linalg.norm(one.numpy() - truth) / np.linalg.norm(truth) for one in (nnls, pinv)]
    assert off[0] < off[1] < 0.8


def test_least_squares_where_no_spectrum_fits(truth, contract):
    """Neighbouring channels that jump by more than any spectrum could: scipy's active-set solver says what is best."""
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    mel = truth[::6] ** contract.power @ filterbank(contract).T
    mel = mel * np.exp(rng.standard_normal(mel.shape))
    best = np.sqrt(sum(nnls(filterbank(contract), one)[1] ** 2 for one in mel)) / np.linalg.norm(mel)
    assert best > 0.02
    assert best * (1 - 1e-5) < residual(invert(mel, contract), mel, contract) < 1.005 * best


def test_frames_do_not_depend_on_each_other(truth, contract):
    mel = truth**contract.power @ filterbank(contract).T
    alone = invert(mel[10:11], contract)
    mel[:10] *= 1e3
    np.testing.assert_allclose(invert(mel, contract)[10:11], alone, rtol=1e-3, atol=1e-4 * float(alone.max()))


def test_silence_and_bins_that_no_filter_sees(contract):
    found = invert(np.zeros((2, 80)), contract)
    assert (found == 0).all()
    found = invert(np.ones((2, 80)), contract)
    unseen = filterbank(contract).sum(axis=0) == 0
    assert unseen.sum() > 100 and (found[:, unseen] == 0).all() and found.isfinite().all()


def test_unknown_inversion(contract):
    with pytest.raises(UserError, match="one of nnls, pinv, found 'nnsl'.*did you mean nnls"):
        invert(np.ones((2, 80)), contract, "nnsl")
