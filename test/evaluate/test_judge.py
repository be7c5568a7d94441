"""The metrics of a judge: counts, recall, similarity, and its own accuracy beside them."""

import json

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.analysis import Analysis, evaluation_contract
from evc2.evaluate.item import Item
from evc2.evaluate.judge import confusions, get_judge, mean_recall, own_accuracy
from evc2.evaluate.judge_accuracy import Utterances, measure
from evc2.evaluate.registry import get_metric
from evc2.evaluate.score import Row
from evc2.evaluate.settings import Settings, settings, use
from evc2.evaluate.summary import Summary

LABELS = ["neutral", "happy", "sad"]


def wav_of(rate, seconds=1.0):
    """Noise bursts whose rate the judge below tells apart."""
    t = np.arange(int(16000 * seconds)) / 16000
    noise = np.random.default_rng(0).normal(0, 0.1, len(t))
    return Analysis((noise * (np.sin(2 * np.pi * rate * t) > 0)).astype(np.float32), evaluation_contract())


@pytest.fixture
def judge(tmp_path):
    """A linear judge of the 88 functionals would need opensmile: one with given weights on a network's file serves."""
    torch = pytest.importorskip("torch")
    from evc2.evaluate.judge_neural import NeuralJudge
    from evc2.feats.contract import FeatureContract
    from evc2.nets.ser import EmotionClassifier

    contract = FeatureContract.from_dict(
        {
            "name": "ser", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 256, "win": 512, "window": "hann",
            "center": True, "pad": "constant", "power": 2, "n_mels": 16, "fmin": 60, "fmax": 7000,
            "mel_scale": "slaney", "mel_norm": "none", "log_base": "e", "floor": 1e-4, "floor_place": "add",
            "scale": "none",
        }
    )  # fmt: skip
    torch.manual_seed(0)
    conf = {"channels": 2, "hidden": 4}
    nets = {fold: [EmotionClassifier(16, 3, **conf).eval()] for fold in ("1", "2")}
    known = Utterances(*(np.array(x) for x in (["sad", "sad"], ["anna", "bert"], ["natural", "natural"])))
    accuracy = measure(known, np.array(["sad", "happy"]), LABELS)
    NeuralJudge(LABELS, {"anna": "1", "bert": "2"}, contract, conf, nets, accuracy).save(tmp_path / "judge")
    before = settings()
    use(Settings(judges=(str(tmp_path / "judge"),)))
    yield get_judge("neural")
    use(before)


def test_recall_of_known_counts():
    table = np.array([[3.0, 1, 0], [0, 0, 0], [1, 0, 1]])
    assert mean_recall(table.ravel()) == pytest.approx((75 + 50) / 2)  # nobody aimed at the second
    assert mean_recall(np.zeros(9)) is None


def test_metrics_of_a_judge(judge):
    accuracy, similarity, recall = get_metric(["emo_acc_neural", "emo_sim_neural", "emo_recall_neural"])
    assert accuracy.missing() is None and "chance 33.3 %" in accuracy.note()
    slow, fast = wav_of(3), wav_of(9)
    item = Item("t", "anna", "sad", slow, reference=slow, source=fast, source_speaker="anna")
    scores, _ = judge.judge(slow.speech_wav, "anna")
    heard = LABELS[int(scores.argmax())]
    assert accuracy.function(item) == (100.0 if heard == "sad" else 0.0)
    counts = recall.function(item).reshape(3, 3)
    assert counts.sum() == 1 and counts[2, LABELS.index(heard)] == 1
    assert similarity.function(item) == pytest.approx(1) and similarity.baseline(item) < 0.999
    other = Item("t", "bert", "sad", slow, source=fast, reference=slow, source_speaker="anna")
    assert similarity.baseline(other) is None  # two voices say nothing about emotion
    assert accuracy.function(Item("t", "anna", "surprised", slow)) is None


def test_each_speaker_has_networks_of_his_own(judge):
    wav = wav_of(3).speech_wav
    a, b, stranger = (judge.judge(wav, name)[0] for name in ("anna", "bert", "carl"))
    assert not np.allclose(a, b) and np.allclose((a + b) / 2, stranger)


def test_own_accuracy_and_confusions_for_the_report(judge):
    assert "natural: 50.0 %" in own_accuracy("neural")
    summary = Summary(["mine"], get_metric(["emo_recall_neural"]))
    sums = np.zeros((3, 3))
    sums[2, 1] = 1
    for trial in ("a", "b"):
        row = Row("mine", trial, "anna", "neutral", "sad", {}, sums={"emo_recall_neural": sums.ravel()})
        summary.add(row)
    found = confusions(summary)
    assert found["neural"]["labels"] == LABELS
    assert found["neural"]["systems"]["neutral -> sad"]["mine"] == [[0, 0, 0], [0, 0, 0], [0, 2, 0]]
    json.dumps(found)


def test_without_a_judge_the_line_says_how_to_get_one():
    before = settings()
    use(Settings())
    try:
        for name in ("emo_acc_neural", "emo_recall_svm"):
            assert "egs/ravdess/ser1/run.sh" in get_metric([name])[0].missing()
        use(Settings(judges=("no/such/folder",)))
        with pytest.raises(UserError, match="--judge: expected a folder with judge.json"):
            get_metric(["emo_acc_neural"])[0].missing()
    finally:
        use(before)


def test_accuracy_is_a_mean_over_speakers():
    known = Utterances(
        np.array(["sad", "sad", "happy", "sad"]), np.array(["a", "a", "a", "b"]), np.array(["natural"] * 4),
        np.array([True, True, False, True]),
    )  # fmt: skip
    found = measure(known, np.array(["sad", "happy", "happy", "happy"]), ["happy", "sad"])["natural"]
    assert found["all"]["mean"] == pytest.approx((2 / 3 + 0) / 2) and found["all"]["speakers"] == 2
    assert found["strong"]["mean"] == pytest.approx(0.25) and found["strong"]["utterances"] == 3
    assert found["confusion"]["sad"] == {"happy": 2, "sad": 1}
    two = measure(
        known, np.array([["sad", "happy", "happy", "happy"], ["sad", "sad", "happy", "sad"]]), ["happy", "sad"]
    )
    assert two["natural"]["all"]["mean"] == pytest.approx((1 / 3 + 1) / 2)  # of the two trainings
