"""Converting log-mels must give what analysing the wav with the target contract gives, or be refused."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress, log_mel
from evc2.feats.mel_conversion import converter, expand

#: (20 log10 mel + 100) / 100, cut to [0, 1]: fatchord's WaveRNN and many Tacotrons.
DECIBELS = {"log_base": "db", "scale": [-100, 0], "floor": 1e-5}
LN = {}
LOG10 = {"log_base": "10"}
POWER = {"power": 2, "log_base": "db", "floor": 1e-10}


def changed(contract, **values):
    return FeatureContract.from_dict({**contract.to_dict(), **values})


@pytest.fixture(scope="module")
def wav():
    """Noise that rises from silence to a peak of 0.05, so that floors matter and no scale's upper end does."""
    n = 11025
    return np.r_[np.zeros(2048), 0.05 * np.geomspace(1e-7, 1, n) * np.random.default_rng(0).uniform(-1, 1, n)]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (DECIBELS, LN),
        (LN, DECIBELS),
        ({**LOG10, "floor": 1e-10}, LN),
        (LN, LOG10),
        (LOG10, LN),
        (LN, {**DECIBELS, "scale": [-80, 0]}),
        (LN, {"floor": 1e-3}),
        (POWER, {"power": 2, "floor": 1e-9}),
        (POWER, {**POWER, "scale": [-90, 10]}),
        ({"floor_place": "add"}, LN),
        ({"floor_place": "add"}, {"floor": 1e-6}),
        ({"floor_place": "add"}, {**LOG10, "floor_place": "add", "floor": 2e-5}),
        ({"floor": 1e-10}, {"floor_place": "add", "floor": 1e-5}),
        ({"f0_floor": 50}, LOG10),
    ],
)
def test_equals_the_analysis_with_the_target(mel_contract, wav, source, target):
    source, target = changed(mel_contract, **source), changed(mel_contract, **target)
    found = converter(source, target)(log_mel(wav, source))
    expected = log_mel(wav, target)
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


WRITINGS = [
    {"log_base": base, "floor": floor, "floor_place": place, "scale": scale}
    for base in ("e", "10", "db")
    for floor in (1e-10, 1e-5, 1e-2)
    for place in ("clip", "add")
    for scale in ("none", {"e": [-11, 3], "10": [-5, 1], "db": [-100, 20]}[base])
]


@pytest.mark.parametrize("source", WRITINGS)
def test_exact_or_refused_for_all_pairs(mel_contract, source):
    """Every pair of ways to write a mel down: what is not refused is right, what is refused would be wrong."""
    mel = np.r_[0.0, np.geomspace(1e-12, 3, 200)][:, None]
    source = changed(mel_contract, **source)
    accepted = 0
    for values in WRITINGS:
        target = changed(mel_contract, **values)
        written = compress(mel, source).astype(np.float32)
        expected = compress(mel, target)
        try:
            found = converter(source, target)(written)
            accepted += 1
            np.testing.assert_allclose(found, expected, atol=1e-4)
        except UserError:
            # A refusal must have a reason: done all the same, some value would be off (in nats, whatever the writing).
            span = 1.0 if target.scale == "none" else target.scale[1] - target.scale[0]
            unit = {"e": 1.0, "10": np.log(10), "db": np.log(10) / 20}[target.log_base]
            error = np.abs(compress(expand(written, source), target) - expected).max() * span * unit
            assert error > 1e-5
    assert accepted > 1  # itself, and at least one more


def test_identity_is_the_same_array(mel_contract):
    feats = np.zeros((3, 80), np.float32)
    assert converter(mel_contract, changed(mel_contract, name="another"))(feats) is feats
    without_f0 = {k: v for k, v in mel_contract.to_dict().items() if not k.startswith("f0")}
    assert converter(mel_contract, FeatureContract.from_dict(without_f0))(feats) is feats


def test_expand_undoes_compress(mel_contract):
    mel = np.array([[0.0, 1e-6, 1e-4, 0.5, 2.0]])
    add = changed(mel_contract, floor_place="add")
    np.testing.assert_allclose(expand(compress(mel, add), add), mel, atol=1e-15)
    decibels = changed(mel_contract, **DECIBELS)
    np.testing.assert_allclose(expand(compress(mel, decibels), decibels), [[1e-5, 1e-5, 1e-4, 0.5, 1.0]])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", 24000), ("n_fft", 2048), ("hop", 200), ("win", 800), ("window", "hamming"), ("center", True),
        ("pad", "constant"), ("power", 2), ("n_mels", 64), ("fmin", 40), ("fmax", 7600), ("mel_scale", "htk"),
        ("mel_norm", "none"),
    ],
)  # fmt: skip
def test_another_measurement_is_refused(mel_contract, key, value):
    with pytest.raises(UserError, match=f"{key}: {mel_contract.to_dict()[key]} .data.*{value}.* .melgan."):
        converter(mel_contract, changed(mel_contract, **{key: value, "log_base": "10"}), "data", "melgan")


def test_all_reasons_are_named_and_nothing_else(mel_contract):
    with pytest.raises(UserError) as caught:
        converter(mel_contract, changed(mel_contract, fmax=None, hop=200, log_base="10", floor=1e-10))
    message = str(caught.value)
    assert "hop: 256 (features), 200 (vocoder)" in message and "fmax: 8000.0 (features), 11025.0 (vocoder)" in message
    assert "log_base" not in message and "win:" not in message


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (LN, {**LOG10, "floor": 1e-10}, r"floor: 1e-05 \(features\), 1e-10"),
        (LN, {"floor_place": "add"}, "floor_place: clip .*add"),
        ({**DECIBELS, "scale": [-80, 0]}, LN, r"scale: \[-80.0, 0.0\] .*none"),
        # 1e-2 was added before the logarithm: float32 no longer tells 1e-9 from 2e-9.
        ({"floor_place": "add", "floor": 1e-2}, {"floor": 1e-9}, "floor: 0.01 .*1e-09"),
        ({"scale": [-5, 2]}, {"log_base": "10", "scale": [-5, 2]}, "log_base: e .*10"),
    ],
)
def test_what_the_source_cut_off_is_missed(mel_contract, source, target, message):
    with pytest.raises(UserError, match=message):
        converter(changed(mel_contract, **source), changed(mel_contract, **target))


def test_only_mels(mel_contract, world_contract):
    with pytest.raises(UserError, match="kind: mel .features., world .vocoder."):
        converter(mel_contract, world_contract)
    with pytest.raises(UserError, match="only log-mels"):
        converter(world_contract, world_contract)
