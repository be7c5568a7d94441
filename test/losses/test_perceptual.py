"""What an emotion classifier hears as a loss: what it must be, and what must not influence it."""

import copy
import json

import pytest
import torch
import yaml
from torch import nn

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.losses.perceptual import EmotionPerception
from evc2.nets.ser import EmotionClassifier

CONTRACT = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 256, "win": 512, "window": "hann", "center": True,
    "pad": "constant", "power": 1, "n_mels": 16, "fmin": 0, "fmax": 8000, "mel_scale": "slaney", "mel_norm": "none",
    "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
LABELS = ["neutral", "angry", "sad"]
LENGTHS = torch.tensor([60, 75, 60, 30])  # the last is shorter than what the classifier takes without reflection


@pytest.fixture
def folder(tmp_path):
    """What ser_train leaves."""
    torch.manual_seed(0)
    net = EmotionClassifier(16, len(LABELS), channels=4, hidden=8)
    with torch.no_grad():
        for _ in range(20):  # batch norms of some use
            net.train()(3 + torch.randn(8, 64, 16))
    out = tmp_path / "exp" / "ser"
    out.mkdir(parents=True)
    torch.save({f"net.{name}": value for name, value in net.state_dict().items()}, out / "valid.acc.best.pth")
    config = {"labels": LABELS, "feats_contract": CONTRACT, "model_conf": {"channels": 4, "hidden": 8, "mixup": 0.1}}
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    return out


@pytest.fixture
def contract():
    return FeatureContract.from_dict(CONTRACT)


@pytest.fixture
def perception(folder, contract):
    return EmotionPerception.load(folder, contract)


@pytest.fixture
def feats():
    torch.manual_seed(1)
    return 3 + torch.randn(4, 75, 16) * torch.linspace(0.5, 2, 4)[:, None, None]


def test_the_same_speech_is_at_no_distance(perception, feats):
    assert perception.similarity(feats, feats, LENGTHS).item() == pytest.approx(0, abs=1e-6)
    assert perception.similarity(feats + 1, feats, LENGTHS) > 0.01


def test_classification_is_the_cross_entropy_of_what_is_heard(perception, feats):
    scores, embeddings = perception.hear(feats, LENGTHS)
    assert scores.shape == (4, 3) and embeddings.shape == (4, 2, 16)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(4))
    labels = torch.tensor([0, 2, -1, 1])
    expected = -(scores[0, 0] + scores[1, 2] + scores[3, 1]) / 3
    torch.testing.assert_close(perception.classification(feats, LENGTHS, labels), expected)
    assert perception.classification(feats, LENGTHS, torch.full((4,), -1)) == 0


def test_both_at_once_are_the_same(perception, feats):
    made, labels = feats.flip(2), torch.tensor([0, 1, 2, -1])
    similarity, classification = perception.both(made, feats, LENGTHS, labels)
    torch.testing.assert_close(similarity, perception.similarity(made, feats, LENGTHS))
    torch.testing.assert_close(classification, perception.classification(made, LENGTHS, labels))


def test_neither_padding_nor_the_rest_of_the_batch_counts(perception, feats):
    made = feats.flip(2)
    alone = [
        perception.similarity(made[i : i + 1, :n], feats[i : i + 1, :n], LENGTHS[i : i + 1])
        for i, n in enumerate(LENGTHS.tolist())
    ]
    torch.testing.assert_close(perception.similarity(made, feats, LENGTHS), torch.stack(alone).mean())
    dirty = made.clone()
    for i, n in enumerate(LENGTHS.tolist()):
        dirty[i, n:] = 1e4
    assert torch.equal(perception.hear(dirty, LENGTHS)[1], perception.hear(made, LENGTHS)[1])


def test_gradients_reach_what_was_made_and_nothing_else(perception, feats):
    made, recorded = (feats + 0.5).requires_grad_(), feats.clone().requires_grad_()
    before = copy.deepcopy(perception.net.state_dict())
    sum(perception.both(made, recorded, LENGTHS, torch.tensor([0, 1, 2, 0]))).backward()
    for i, n in enumerate(LENGTHS.tolist()):
        assert made.grad[i, :n].abs().sum() > 0 and made.grad[i, n:].abs().sum() == 0
    assert torch.isfinite(made.grad).all() and recorded.grad is None
    assert all(parameter.grad is None for parameter in perception.net.parameters())
    after = perception.net.state_dict()  # batch norms included
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_gradients_of_silence_are_finite(perception, feats):
    made = torch.full((2, 60, 16), -11.5).requires_grad_()
    perception.similarity(made, feats[:2, :60], torch.tensor([60, 1])).backward()
    assert torch.isfinite(made.grad).all()


def test_a_step_along_the_gradient_brings_it_nearer(perception, feats):
    made = feats.flip(0).clone().requires_grad_()
    optimizer = torch.optim.Adam([made], 0.02)
    lengths = torch.full((4,), 75)
    first = perception.similarity(made, feats, lengths).item()
    for _ in range(20):
        optimizer.zero_grad()
        perception.similarity(made, feats, lengths).backward()
        optimizer.step()
    assert perception.similarity(made, feats, lengths) < 0.7 * first


def test_a_system_that_holds_it_has_nothing_of_it(perception):
    class System(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

    system = System()
    system.perception = perception
    system.train()
    assert list(system.state_dict()) == ["layer.weight", "layer.bias"] and len(list(system.parameters())) == 2
    assert not perception.net.training


def test_numbers_of_emotions(perception):
    assert perception.labels == tuple(LABELS) and perception.numbers(["sad", "neutral"]) == [2, 0]
    with pytest.raises(UserError, match="does not know happy, only neutral, angry, sad"):
        perception.numbers(["sad", "happy"])


def test_judges_are_refused(folder, contract):
    judge = folder.parent / "neural"
    judge.mkdir()
    (judge / "judge.json").write_text(json.dumps({"kind": "neural_ser", "about": {"trainings": {"ser": {}}}}))
    for path in (judge, folder):  # the judge, and what it was made of
        with pytest.raises(UserError, match="the judge must not train a system.*ser_train"):
            EmotionPerception.load(path, contract)
    (judge / "judge.json").write_text(json.dumps({"kind": "neural_ser", "about": {"trainings": {"fold1.seed0": {}}}}))
    assert EmotionPerception.load(folder, contract).labels == tuple(LABELS)


def test_other_features_are_refused(folder):
    other = FeatureContract.from_dict({**CONTRACT, "hop": 200})
    with pytest.raises(UserError, match=r"differ: hop: 200 \(the system\), 256 "):
        EmotionPerception.load(folder, other)


def test_what_is_no_training_is_named(folder, contract, tmp_path):
    with pytest.raises(UserError, match="nowhere: expected a training of ser_train"):
        EmotionPerception.load(tmp_path / "nowhere", contract)
    with pytest.raises(UserError, match=r"no\.pth"):
        EmotionPerception.load(folder, contract, "no.pth")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for change, message in (
        ({"model_conf": {"channels": 8}}, "does not fit the classifier"),
        ({"system": "munit"}, "is of a conversion system"),
        ({"labels": None}, "expected the configuration of an emotion classifier"),
    ):
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, **change}))
        with pytest.raises(UserError, match=message):
            EmotionPerception.load(folder, contract)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save({"net.x": object()}, folder / "valid.acc.best.pth")
    with pytest.raises(UserError, match="pickled code|damaged"):
        EmotionPerception.load(folder, contract)
    (folder / "valid.acc.best.pth").unlink()
    with pytest.raises(UserError, match="holds no weights yet"):
        EmotionPerception.load(folder, contract)
