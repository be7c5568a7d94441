"""The two-stage system's options of the follow-up work: the strength of an emotion, losses by an emotion recogniser."""

import numpy as np
import pytest
import torch

from evc2.convert.styles import measure
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ArkWriter
from evc2.losses.perceptual import EmotionPerception
from evc2.nets.ser import EmotionClassifier
from evc2.systems.seq2seq import Seq2Seq
from evc2.train.abs_model import ConversionTarget

SIZES = {
    "n_mels": 16, "hidden": 8, "text": {"layers": 1}, "recognizer": {"attention": 4, "filters": 2, "kernel": 5},
    "style": {"hidden": 6, "size": 6}, "classifier": {"layers": 1}, "width": 2,
    "decoder": {"hidden": 8, "prenet": 4, "dropout": 0.0, "attention": 4, "filters": 2, "kernel": 5},
    "postnet": {"channels": 4, "layers": 2, "dropout": 0.0},
}  # fmt: skip


def build(**conf) -> Seq2Seq:
    torch.manual_seed(0)
    model = Seq2Seq(["a", "b"], ["neutral", "angry"], ["<pad>", "<unk>", "sil", "k", "t"], **{**SIZES, **conf})
    model.contract = FeatureContract.from_dict({
        "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 160, "win": 400, "window": "hann", "center": True,
        "pad": "reflect", "power": 1, "n_mels": 16, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
        "mel_norm": "slaney", "log_base": "e",
        "floor": 1e-5, "floor_place": "clip", "scale": "none",
    })  # fmt: skip
    return model


def batch(**more) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "feats": torch.randn(2, 60, 16), "feats_lengths": torch.tensor([60, 52]),
        "text": torch.tensor([[2, 3, 4, 2], [2, 4, 2, 0]]), "text_lengths": torch.tensor([4, 3]),
        "sids": torch.tensor([0, 1]), "eids": torch.tensor([1, -1]), **more,
    }  # fmt: skip


def recording() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)


def test_strength_is_the_decoders_input():
    model = build(strength=True).eval()
    assert not model.strength_in.weight.any()
    torch.nn.init.normal_(model.strength_in.weight)
    weak, strong = (model(**batch(strength=torch.full((2,), x)))[1]["vc_mel"] for x in (0.0, 1.0))
    assert not torch.allclose(weak, strong)
    plain = build().eval()
    assert torch.allclose(*(plain(**batch(strength=torch.full((2,), x)))[1]["vc_mel"] for x in (0.0, 1.0)))


def test_intensity_sets_the_strength():
    model = build(strength=True).eval()
    model.measure_styles([(0, 0, recording()), (0, 1, recording() + 1)])
    source = {"feats": recording(), "speaker": "a", "emotion": "neutral"}
    torch.nn.init.normal_(model.strength_in.weight)
    with torch.no_grad():
        styles = {
            x: model.asked_style(source, ConversionTarget(emotion, intensity=x))[0]
            for emotion, x in (("angry", 0.0), ("angry", 0.2), ("angry", 1.0), ("neutral", 0.9))
        }
    weight = model.strength_in.weight[:, 0]
    torch.testing.assert_close(styles[0.2] - styles[0.0], 0.2 * weight)
    torch.testing.assert_close(styles[1.0] - styles[0.0], weight)
    torch.testing.assert_close(styles[0.9], model.stored("a", "neutral"))  # which is never strong
    with pytest.raises(UserError, match="from 0 to 1"):
        model.asked_style(source, ConversionTarget("angry", intensity=1.5))
    assert model.convert(source, ConversionTarget("angry", intensity=0.2))["feats"].shape[1] == 16


def classifier() -> EmotionPerception:
    torch.manual_seed(2)
    return EmotionPerception(EmotionClassifier(16, 3, channels=2, hidden=4), ("sad", "angry", "neutral"))


def perceptive(**conf) -> Seq2Seq:
    model = build(perception={"ser": "exp/ser", "classification": 0.5, **conf})
    model.perception = classifier()
    model.perceived = torch.tensor([*model.perception.numbers(model.emotions), -1])
    return model


def test_perception_teaches_the_decoder_and_is_no_part_of_the_model():
    model, plain = perceptive(), build()
    assert set(model.state_dict()) == set(plain.state_dict())
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in plain.parameters())
    step = {"turn": "main", "step": 1, "cache": model.begin_batch(1, {})}
    loss, stats, _ = model(**step, **batch())
    without = plain(**{**step, "cache": plain.begin_batch(1, {})}, **batch())[0]
    expected = stats["vc_similarity"] + 0.5 * stats["vc_classification"]
    assert stats["vc_similarity"] > 0 and (loss - without).item() == pytest.approx(expected.item(), rel=1e-2, abs=1e-3)
    (stats := model.perception_losses(torch.randn(2, 60, 16, requires_grad=True), batch()))["similarity"].backward()
    assert all(p.grad is None for p in model.perception.net.parameters())


def test_perception_of_the_recording_itself_costs_nothing():
    model = perceptive()
    given = batch()
    assert model.perception_losses(given["feats"], given)["similarity"].item() == pytest.approx(0, abs=1e-5)


def test_perception_may_begin_later():
    model = perceptive(start=10)
    for step, there in ((9, False), (11, True)):
        stats = model(turn="main", step=step, cache=model.begin_batch(step, {}), **batch())[1]
        assert ("vc_similarity" in stats) == there


@pytest.mark.parametrize("conf", [{"similarity": 1.0}, {"ser": "exp/ser", "weight": 1.0}])
def test_perception_needs_a_classifier_and_knows_its_keys(conf):
    with pytest.raises(UserError, match="expected {ser: DIR}"):
        build(perception=conf)


def test_the_rate_of_speech_is_its_own():
    model = build().eval()
    with pytest.raises(UserError, match="--speed"):
        model.convert({"phones": ["k"]}, ConversionTarget("angry", "a", speed=2.0))


def test_styles_of_a_list(tmp_path):
    model = build().eval()
    first, second = recording(), recording()[:30] + 1
    model.measure_styles([(0, 0, first), (1, 1, second)])
    before = model.styles_mean.clone()
    data = tmp_path / "data"
    data.mkdir()
    with ArkWriter(data / "feats.ark", data / "feats.scp") as writer:
        writer["a-1"], writer["a-2"], writer["c-1"] = first, second, first
    (data / "wav.scp").write_text("a-1 x.wav\na-2 x.wav\nc-1 x.wav\n")
    (data / "utt2spk").write_text("a-1 a\na-2 a\nc-1 c\n")
    (data / "utt2emo").write_text("a-1 angry\na-2 angry\nc-1 angry\n")
    model.contract.save(data / "feats.yaml")
    (tmp_path / "list").write_text("a-2\nc-1\n")
    assert measure(model, data, tmp_path / "list") == [("a", "angry", 1)]
    assert torch.allclose(model.styles_mean[0, 1], model.style_of(second), atol=1e-6)
    assert torch.equal(model.styles_mean[0, 0], before[0, 0]) and torch.equal(model.styles_mean[1, 1], before[1, 1])
    assert measure(model, data) == [("a", "angry", 2)]
    (tmp_path / "list").write_text("z-9\n")
    with pytest.raises(UserError, match="z-9"):
        measure(model, data, tmp_path / "list")
