"""Signals with known properties for the tests of the features."""

from pathlib import Path

import numpy as np
import pytest

from evc2.feats.contract import FeatureContract

CONF = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf"


@pytest.fixture(scope="session")
def world_contract():
    return FeatureContract.load(CONF / "feats_world.yaml")


@pytest.fixture(scope="session")
def mel_contract():
    return FeatureContract.load(CONF / "feats_hifigan.yaml")


@pytest.fixture(scope="session")
def vowel():
    """A function that makes a vowel with the F0 contour `f0` (one value a sample), peak 0.5."""

    def make(f0, rate=16000, formants=((700, 80), (1200, 90), (2500, 120)), gain=0.5):
        f0 = np.asarray(f0, dtype=np.float64)
        phase = 2 * np.pi * np.cumsum(f0) / rate
        wav = np.zeros(len(f0))
        for k in range(1, int(rate / 2 / f0.min())):
            level = np.full(len(f0), 0.01)  # resonances side by side, so that high frequencies keep some level
            for centre, width in formants:
                level += 1 / np.sqrt((1 - (k * f0 / centre) ** 2) ** 2 + (k * f0 * width / centre**2) ** 2)
            below = np.clip((0.49 * rate - k * f0) / 200, 0, 1)  # harmonics fade out before half the rate
            wav += below * level / k * np.cos(k * phase)
        return gain * wav / np.abs(wav).max()

    return make
