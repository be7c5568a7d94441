"""Texts said by espeak-ng with the times of their phones."""

from pathlib import Path

import numpy as np
import pytest

from evc2.feats.contract import FeatureContract
from evc2.text.g2p import build_g2p, with_silence
from evc2.text.spoken import RATES, VARIANTS, speak

CONTRACT = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml"


def test_phones_are_those_of_the_front_end_and_where_they_sound():
    pytest.importorskip("espeakng_loader")
    text = "Dogs are sitting by the door"
    found = speak([text, "..."], "en-us", FeatureContract.load(CONTRACT).to_dict())
    assert len(found) == len(VARIANTS) * len(RATES)
    for one in found:
        assert one.phones == with_silence(build_g2p()(text))
        assert one.durations.sum() == len(one.feats) and one.durations.min() >= 0
        edges = np.cumsum(one.durations)
        level = [piece.mean() for piece in np.split(one.feats, edges[:-1]) if len(piece)]
        assert max(level[0], level[-1]) < np.mean(level[1:-1]) - 1  # silence at both ends
        high = one.feats[edges[5] : edges[6], 60:].mean() - one.feats[edges[5] : edges[6], :20].mean()
        assert one.phones[6] == "s" and high > 0  # a sibilant is where it should be
