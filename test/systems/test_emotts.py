"""The emotion-transfer TTS as a system: losses, tokens, padding, controls, learning."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from evc2.bin.show_model import main as show_model
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.losses.tts import emotion_error, mel_error
from evc2.systems import READS_TEXT, SYSTEMS, build, get_class
from evc2.systems.emotts import EmoTTS
from evc2.train.abs_model import ConversionTarget
from evc2.train.utterances import collate_utterances

CONF = Path(__file__).parents[2] / "egs" / "TEMPLATE" / "evc1" / "conf"
TOKENS = ["<pad>", "<unk>", "sil", "sp", "a", "b", "c"]
SMALL = {
    "hidden": 16,
    "n_mels": 10,
    "encoder": {"inner": 24, "kernel": 3, "dropout": 0.1},
    "reference": {"channels": [4, 4], "size": 8},
    "predictor": {"inner": 24, "dropout": 0.1},
    "decoder": {"layers": 2, "heads": 2, "kernel": 5, "inner": 24, "dropout": 0.1},
}


def small(**more) -> EmoTTS:
    torch.manual_seed(0)
    labels = {"speakers": ["x", "y"], "emotions": ["angry", "neutral", "sad"], "tokens": TOKENS}
    return EmoTTS(**labels, **(SMALL | more))


def item(seed: int, phones: int, eid: int = 0, sid: int = 0) -> tuple[str, dict]:
    rng = np.random.default_rng(seed)
    durations = rng.integers(1, 6, phones)
    text = rng.integers(2, len(TOKENS), phones)
    feats = (rng.normal(size=(durations.sum(), 10)) - 5).astype(np.float32)
    return f"u{seed}", {
        "feats": feats, "text": text, "durations": durations, "sids": np.int64(sid), "eids": np.int64(eid)
    }  # fmt: skip


def batch_of(*items) -> dict[str, torch.Tensor]:
    return collate_utterances(items)[1]


def test_repo_preset_has_exactly_the_published_number_of_parameters():
    conf = yaml.safe_load((CONF / "tuning" / "train_emotts_repo.yaml").read_text())["system_conf"]
    labels = {"speakers": ["x"], "emotions": [str(k) for k in range(8)], "tokens": TOKENS}
    model = build("emotts", {**conf, **labels})
    assert sum(p.numel() for p in model.parameters()) == 1_204_342
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in model.networks().items()}
    assert sizes["encoder"] == 224_448 and sizes["decoder"] == 378_192 and sizes["voice"] == 32_832
    assert sizes["predictor"] == 242_950 and sizes["reference"] + sizes["emotion_tokens"] == 325_920


def test_paper_preset_is_256_wide_with_kernels_of_17():
    conf = yaml.safe_load((CONF / "tuning" / "train_emotts_paper.yaml").read_text())["system_conf"]
    model = build("emotts", {**conf, "speakers": ["x"], "emotions": ["sad"], "tokens": TOKENS})
    assert model.decoder.heads[0].in_features == 256
    assert model.decoder.convs[0].conv.weight.shape == (8, 1, 17)


def test_systems_that_read_text_say_so_twice():
    assert {name for name in SYSTEMS if get_class(name).reads_text} == set(READS_TEXT)
    assert READS_TEXT["emotts"] == "learned" and set(READS_TEXT.values()) <= {"learned", "phones"}


def test_losses_by_hand():
    model = small(emotion_weight=0.3, duration_weight=0.7).eval()
    batch = batch_of(item(1, 4, 2), item(2, 7, 0))
    loss, stats, weight = model(**batch)
    logits = model.emotion_logits(batch["feats"], batch["feats_lengths"])
    emotion = model.emotion_tokens.embed(F.one_hot(batch["eids"], 3).float())
    voice = model.voices(batch["sids"])
    made, predicted, used = model.speak(
        batch["text"], batch["text_lengths"], voice, emotion, batch["durations"], batch["feats"].shape[1]
    )
    frames = [(made[0][b, :n], batch["feats"][b, :n]) for b, n in enumerate(batch["feats_lengths"])]
    mel = torch.cat([x - y for x, y in frames]).abs().mean()
    phones = [
        (predicted[b, :n], (batch["durations"][b, :n] + 1).float().log()) for b, n in enumerate(batch["text_lengths"])
    ]
    duration = torch.cat([x - y for x, y in phones]).square().mean()
    ce = F.cross_entropy(logits, batch["eids"])
    assert (used == batch["durations"]).all() and weight == 2
    for name, expected in (("mel", mel), ("duration", duration), ("emotion", ce)):
        assert stats[name].item() == pytest.approx(expected.item(), rel=1e-5), name
    assert loss.item() == pytest.approx((mel + 0.3 * ce + 0.7 * duration).item(), rel=1e-5)


def test_training_averages_the_errors_of_all_blocks():
    model = small(emotion_weight=0.3, duration_weight=0.7)
    for net in (model.decoder, model.encoder, model.predictor):
        net.apply(lambda m: setattr(m, "p", 0.0) if isinstance(m, torch.nn.Dropout) else None)
    for conv in (*model.decoder.convs, *model.predictor.convs):
        conv.conv.dropout = 0.0
    batch = batch_of(item(1, 4), item(2, 7))
    collected, speak = [], model.speak
    model.speak = lambda *asked: collected.append(speak(*asked)) or collected[-1]
    loss, stats, _ = model(turn="main", **batch)
    ((made, _, _),) = collected
    first, last = (mel_error(x, batch["feats"], batch["feats_lengths"]).item() for x in made)
    assert first != pytest.approx(last, rel=1e-4) and stats["mel"].item() == pytest.approx(last)
    others = 0.3 * stats["emotion"] + 0.7 * stats["duration"]
    assert loss.item() == pytest.approx((first + last) / 2 + others.item(), rel=1e-6)


def test_every_parameter_learns_of_a_batch_with_and_without_labels():
    model = small()
    model(turn="main", **batch_of(item(1, 4, 1), item(2, 7, -1, 1)))[0].backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []


@pytest.mark.parametrize(
    "edit, silence", [({}, -11.5129), ({"log_base": "10"}, -5.0), ({"log_base": "10", "scale": [-7, 1]}, 0.25)]
)
def test_silence_is_what_the_contract_makes_of_it(edit, silence):
    hifigan = FeatureContract.load(CONF / "feats_hifigan.yaml").to_dict()
    model, told = small(), small(silence=-3.0)
    assert model.silence == -11.5129
    for system in (model, told):
        system.contract = FeatureContract.from_dict({**hifigan, **edit})
        system.check_contract()
    assert model.silence == model.reference.silence == pytest.approx(silence, abs=1e-4)
    assert told.silence == told.reference.silence == -3.0


def test_stand_ins_leave_given_labels_alone(tmp_path, capsys):
    conf = {"system": "emotts", "system_conf": {**SMALL, "emotions": ["neutral", "sad"]}}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    show_model(["--config", str(tmp_path / "conf.yaml")])
    out, err = capsys.readouterr()
    assert err.strip() == "10 speakers, 100 tokens stand for those of the training data"
    model = EmoTTS(**SMALL, speakers=["x"], emotions=["neutral", "sad"], tokens=TOKENS)
    size = sum(p.numel() for p in model.emotion_tokens.parameters())
    assert any(row.split() == ["emotion_tokens", f"{size:,}"] for row in out.splitlines())


def test_published_forms_of_the_losses():
    made, feats, lengths = torch.zeros(2, 4, 10), torch.ones(2, 4, 10), torch.tensor([4, 2])
    assert mel_error(made, feats, lengths, twice=True).item() == pytest.approx((1 / 4 + 1 / 2) / 2)
    logits, eids = torch.tensor([[2.0, 0, -1], [0, 1, 0]]), torch.tensor([0, 2])
    target = F.one_hot(eids, 3).float()
    expected = F.binary_cross_entropy(logits.softmax(-1), target)
    assert emotion_error(logits, eids, binary=True).item() == pytest.approx(expected.item())


def test_eight_tokens_start_at_the_published_loss():
    logits, eids = torch.zeros(1, 8), torch.tensor([3])
    error = emotion_error(logits, eids, binary=True)
    assert error.item() == pytest.approx(0.377, abs=1e-3)  # -(ln(1/8) + 7 ln(7/8)) / 8


def test_unlabelled_utterances_take_the_soft_token_and_no_emotion_loss():
    model = small().eval()
    batch = batch_of(item(1, 4, -1), item(2, 7, -1))
    heard = []
    speak = model.speak
    model.speak = lambda text, lengths, voice, emotion, *rest: (
        heard.append(emotion), speak(text, lengths, voice, emotion, *rest)
    )[1]  # fmt: skip
    _, stats, _ = model(**batch)
    scores = model.emotion_logits(batch["feats"], batch["feats_lengths"]).softmax(-1)
    assert torch.allclose(heard[0], model.emotion_tokens.embed(scores))
    assert stats["emotion"] == 0
    batch["eids"] = torch.tensor([1, -1])
    _, stats, _ = model(**batch)
    logits = model.emotion_logits(batch["feats"], batch["feats_lengths"])
    assert torch.allclose(heard[1][0], model.emotion_tokens.embed(torch.eye(3)[1:2])[0])
    assert torch.allclose(heard[1][1], heard[0][1])
    assert stats["emotion"].item() == pytest.approx(F.cross_entropy(logits[:1], torch.tensor([1])).item())


def test_unlabelled_utterances_teach_the_reference_encoder_by_the_spectrogram():
    model = small()
    model(turn="main", **batch_of(item(1, 4, -1), item(2, 5, -1)))[0].backward()
    assert model.reference.convs[0].weight.grad.abs().sum() > 0
    model.zero_grad()
    small_one = model(turn="main", **batch_of(item(1, 4, 1), item(2, 5, 1)))[0]
    small_one.backward()
    assert model.emotion_tokens.query.weight.grad.abs().sum() > 0


def test_an_utterance_does_not_depend_on_its_batch():
    model = small().eval()
    alone, mates = batch_of(item(1, 4)), batch_of(item(1, 4), item(2, 30), item(3, 11))
    made = []
    for batch in (alone, mates):
        emotion = model.emotion_tokens.embed(model.emotion_logits(batch["feats"], batch["feats_lengths"]).softmax(-1))
        with torch.no_grad():
            made.append(model.speak(batch["text"], batch["text_lengths"], model.voices(batch["sids"]), emotion))
    (mel_a, log_a, used_a), (mel_b, log_b, used_b) = made
    frames = int(used_a.sum())
    assert (used_a[0] == used_b[0, :4]).all()
    assert torch.allclose(mel_a[0][0], mel_b[0][0, :frames], atol=1e-5)
    assert torch.allclose(log_a[0], log_b[0, :4], atol=1e-5)
    assert (mel_b[0][0, frames:] == 0).all() and (log_b[0, 4:] == 0).all()
    assert mel_b[0].shape[1] == used_b.sum(1).max()


@pytest.fixture
def source():
    return {"phones": ["sil", "a", "b", "c", "sil"], "speaker": "x"}


def test_convert_speaks_as_long_as_its_durations(source):
    model = small().eval()
    out = model.convert(source, ConversionTarget("sad"))
    assert len(out["feats"]) == out["durations"].sum() and out["feats"].shape[1] == 10
    assert out["scores"].tolist() == [0, 0, 1]


def test_soft_scores_sum_to_one_and_follow_the_reference(source):
    model = small().eval()
    feats = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    out = model.convert(source, ConversionTarget(reference={"feats": feats}, style="reference"))
    assert out["scores"].sum() == pytest.approx(1.0, abs=1e-6) and (out["scores"] > 0).all()


def test_intensity_goes_from_neutral_to_the_emotion_and_beyond(source):
    model = small().eval()
    at = {x: model.emotion_embedding(ConversionTarget("sad", intensity=x))[0] for x in (0.0, 0.5, 1.0, 2.0)}
    neutral = model.emotion_embedding(ConversionTarget("neutral"))[0]
    assert torch.allclose(at[0.0], neutral, atol=1e-6)
    assert torch.allclose(at[0.5], (at[1.0] + neutral) / 2, atol=1e-6)
    assert torch.allclose(at[2.0], 2 * at[1.0] - neutral, atol=1e-6)


def test_speed_divides_durations(source):
    model = small().eval()
    model.predictor.out.weight.data.zero_()
    model.predictor.out.bias = torch.nn.Parameter(torch.tensor([9.0]).log())  # 8 frames a phone
    slow, fast = (model.convert(source, ConversionTarget("sad", speed=s))["durations"] for s in (0.5, 2.0))
    assert slow.tolist() == [16] * 5 and fast.tolist() == [4] * 5


def test_unknown_names_and_missing_text_are_said(source):
    model = small().eval()
    for target, words in (
        (ConversionTarget("sadd"), "did you mean"),
        (ConversionTarget("sad", "z"), "speaker 'z' is unknown"),
        (ConversionTarget(None), "no emotion was named"),
        (ConversionTarget("sad", voice=np.zeros(3)), "its own table"),
    ):
        with pytest.raises(UserError, match=words):
            model.convert(source, target)
    with pytest.raises(UserError, match="speaks text"):
        model.convert({"speaker": "x"}, ConversionTarget("sad"))
    with pytest.raises(UserError, match="n_symbols is 3"):
        small(n_symbols=3)
    with pytest.raises(UserError, match="mel_loss"):
        small(mel_loss="l2")


def test_voices_from_outside(source):
    model = small(spk_embed_dim=4).eval()
    model.spembs.copy_(torch.eye(2, 4))
    own = model.convert(source, ConversionTarget("sad", "y"))["feats"]
    same = model.convert(source, ConversionTarget("sad", voice=np.eye(2, 4)[1]))["feats"]
    other = model.convert(source, ConversionTarget("sad", voice=np.array([0, 0, 0, 3.0])))["feats"]
    assert np.allclose(own, same, atol=1e-6)
    assert own.shape != other.shape or not np.allclose(own, other)
    with pytest.raises(UserError, match="vectors of 4 values"):
        model.convert(source, ConversionTarget("sad", voice=np.zeros(3)))


def test_learns_two_utterances_with_their_emotions_and_durations():
    model = small(encoder={"inner": 24, "kernel": 3, "dropout": 0.0}, predictor={"inner": 24, "dropout": 0.0},
                  decoder={"layers": 2, "heads": 2, "kernel": 5, "inner": 24, "dropout": 0.0})  # fmt: skip
    items = [item(1, 4, 0, 0), item(1, 4, 2, 1)]
    items[1][1]["feats"] = -items[1][1]["feats"] - 10
    batch = batch_of(*items)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = None
    for _ in range(150):
        loss, stats, _ = model(turn="main", **batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first = first or {key: value.item() for key, value in stats.items()}
    assert stats["mel"] < 0.4 * first["mel"] and stats["duration"] < 0.1 * first["duration"]
    assert stats["emotion"] < 0.1 and stats["emotion_acc"] == 1
    model.eval()
    phones = [TOKENS[i] for i in items[0][1]["text"]]
    said = model.convert({"phones": phones, "speaker": "x"}, ConversionTarget("angry"))
    assert np.abs(said["durations"] - items[0][1]["durations"]).max() <= 1


def test_teacher_forced_speech_is_in_time_with_its_recording(source):
    model = small().eval()
    durations = np.array([2, 3, 4, 5, 1], dtype=np.float32)
    feats = np.random.default_rng(0).normal(size=(15, 10)).astype(np.float32)
    given = {**source, "durations": durations, "feats": feats}
    labelled = model.teacher_forced({**given, "emotion": "sad"})
    soft = model.teacher_forced({**given, "emotion": "other"})
    assert labelled.shape == soft.shape == (15, 10) and not np.allclose(labelled, soft)
    with pytest.raises(UserError, match="needs the durations"):
        model.teacher_forced({**source, "emotion": "sad"})


def test_the_reference_encoder_hears_changed_recordings_in_training_alone():
    model = small(reference={"channels": [4, 4], "size": 8, "dropout": 0.5, "augment": {"gain": 1.0}})
    batch = batch_of(item(1, 4), item(2, 9))
    heard = [model.emotion_logits(batch["feats"], batch["feats_lengths"]) for _ in range(2)]
    assert not torch.allclose(*heard)
    model.eval()
    heard = [model.emotion_logits(batch["feats"], batch["feats_lengths"]) for _ in range(2)]
    assert torch.equal(*heard)
    with pytest.raises(UserError, match="reference.augment"):
        small(reference={"augment": {"gian": 1.0}})
