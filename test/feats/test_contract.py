"""The feature contract: keys, values, digest and comparison."""

import copy
import pickle

import pytest

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

WORLD = {
    "name": "world",
    "kind": "world",
    "rate": 16000,
    "f0_method": "dio",
    "f0_floor": 71,
    "f0_ceil": 800,
    "frame_period": 5,
    "fft_size": 1024,
    "order": 24,
}


def test_template_contracts(world_contract, mel_contract):
    assert world_contract == FeatureContract.from_dict(WORLD)
    assert (mel_contract.rate, mel_contract.hop, mel_contract.n_mels, mel_contract.floor) == (22050, 256, 80, 1e-5)
    assert mel_contract.center is False and mel_contract.scale == "none" and mel_contract.has_f0
    assert world_contract.dim == 24 and mel_contract.dim == 80
    assert world_contract.frame_seconds == 0.005


def test_digest_is_stable(world_contract, mel_contract):
    """Folders on disk are named by it: a change here orphans every dump folder."""
    assert world_contract.dirname == "world_eb7d30dd"
    assert mel_contract.dirname == "hifigan_0813e10a"


def test_digest_ignores_name_order_and_number_type():
    one = FeatureContract.from_dict(WORLD)
    other = FeatureContract.from_dict(dict(reversed(list({**WORLD, "name": "x", "f0_floor": 71.0}.items()))))
    assert one.digest == other.digest and one == other
    for key, value in (("order", 25), ("f0_method", "harvest"), ("f0_floor", 60)):
        assert FeatureContract.from_dict({**WORLD, key: value}).digest != one.digest


def test_round_trip(tmp_path, mel_contract):
    mel_contract.save(tmp_path / "feats.yaml")
    again = FeatureContract.load(tmp_path / "feats.yaml")
    assert again == mel_contract and again.name == "hifigan" and again.digest == mel_contract.digest
    for clone in (pickle.loads(pickle.dumps(mel_contract)), copy.deepcopy(mel_contract)):
        assert clone.to_dict() == mel_contract.to_dict()
    with pytest.raises(AttributeError):
        again.rate = 1


def test_require_same_names_the_keys():
    one = FeatureContract.from_dict(WORLD)
    other = FeatureContract.from_dict({**WORLD, "order": 30, "f0_method": "harvest"})
    one.require_same(FeatureContract.from_dict({**WORLD, "name": "another"}))
    with pytest.raises(UserError) as error:
        one.require_same(other, mine="model", theirs="dump")
    text = str(error.value)
    assert "order: 24 (model), 30 (dump)" in text and "f0_method: dio (model), harvest (dump)" in text
    assert "rate" not in text
    one.require_same(other, keys=("rate", "fft_size"))


def test_require_same_across_kinds(world_contract, mel_contract):
    with pytest.raises(UserError, match="kind: world .*n_mels: None .*, 80"):
        world_contract.require_same(mel_contract)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ordr": 24}, r"unknown key 'ordr' \(did you mean order\?\)"),
        ({"order": None}, "order: expected a number"),
        ({"order": 24.5}, "order: expected a whole number"),
        ({"kind": "wave"}, "kind: expected one of world, mel"),
        ({"f0_method": "hravest"}, "did you mean harvest"),
        ({"fft_size": 512}, "with fft_size 512 at 16000 Hz the lowest pitch is 94.3 Hz"),
        ({"fft_size": 1000}, "power of two"),
        ({"f0_ceil": 50}, "f0_floor < f0_ceil"),
        ({"name": "a/b"}, "folder"),
        ({"rate": True}, "rate: expected"),
    ],
)
def test_bad_values(change, message):
    with pytest.raises(UserError, match=message):
        FeatureContract.from_dict({**WORLD, **change})


def test_missing_keys():
    without = {key: value for key, value in WORLD.items() if key not in ("order", "fft_size")}
    with pytest.raises(UserError, match="missing fft_size, order"):
        FeatureContract.from_dict(without)


def test_mel_without_f0(mel_contract):
    values = mel_contract.to_dict()
    for key in ("f0_method", "f0_floor", "f0_ceil"):
        del values[key]
    assert not FeatureContract.from_dict(values).has_f0
    with pytest.raises(UserError, match="missing f0_method, f0_ceil"):
        FeatureContract.from_dict({**values, "f0_floor": 71})
    half = FeatureContract.from_dict({**values, "fmax": None})
    assert half.fmax == 11025.0


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "kind: world\n"])
def test_bad_files(tmp_path, text):
    path = tmp_path / "feats_x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="feats_x.yaml"):
        FeatureContract.load(path)
    with pytest.raises(UserError, match="No such file"):
        FeatureContract.load(tmp_path / "nothing.yaml")
