"""The two-stage conversion as a system: losses, turns, styles, starting from another stage, speaking."""

import numpy as np
import pytest
import torch
import yaml
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.systems.seq2seq import Seq2Seq
from evc2.systems.seq2seq_speech import MEASURED, PER_PHONE, START
from evc2.tasks.adopt import adopt
from evc2.text.errors import error_rate
from evc2.train.abs_model import BatchCache, ConversionTarget
from evc2.train.turns import Owners
from evc2.train.utterances import collate_utterances

MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 200, "win": 512, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
TOKENS = ["<pad>", "<unk>", "sil", "sp", "a", "b", "c"]
EMOTIONS = ["angry", "neutral", "sad"]
SMALL = {
    "n_mels": 10,
    "hidden": 16,
    "style_by": ["speaker", "emotion"],
    "text": {"dropout": 0.1},
    "recognizer": {"attention": 8, "filters": 2, "kernel": 5, "dropout": 0.1},
    "style": {"hidden": 8, "size": 6, "layers": 1},
    "decoder": {"prenet": 8, "attention": 8, "filters": 2, "kernel": 5},
    "postnet": {"channels": 8, "layers": 3, "dropout": 0.1},
    "width": 2,
}
QUIET = {"decoder": {**SMALL["decoder"], "always": False}}
"""No dropout beyond training."""


def small(**more) -> Seq2Seq:
    torch.manual_seed(0)
    labels = {"speakers": ["x", "y"], "emotions": EMOTIONS, "tokens": TOKENS}
    model = Seq2Seq(**{**labels, **SMALL, **more})
    model.feats_mean.fill_(-5.0), model.feats_std.fill_(2.0)
    model.contract = FeatureContract.from_dict(MEL)
    return model


def recording(seed: int, frames: int) -> np.ndarray:
    return (2 * np.random.default_rng(seed).normal(size=(frames, 10)) - 5).astype(np.float32)


def item(seed: int, phones: int, sid: int = 0, eid: int = 0) -> tuple[str, dict]:
    rng = np.random.default_rng(seed)
    feats = recording(seed, int(rng.integers(3, 6) * phones + rng.integers(2)))
    text = rng.integers(2, len(TOKENS), phones)
    return f"u{seed}", {"feats": feats, "text": text, "sids": np.int64(sid), "eids": np.int64(eid)}


def batch_of(*items) -> dict[str, torch.Tensor]:
    return collate_utterances(items)[1]


def both_turns(model: Seq2Seq, batch: dict, step: int = 0) -> dict[str, torch.Tensor]:
    """Gradients of both turns as the trainer makes them; the figures of both."""
    cache, found = BatchCache(), {}
    for turn in model.turns:
        Owners(model).only(turn)
        loss, stats, _ = model(turn=turn, step=step, cache=cache, **batch)
        loss.backward()
        found |= stats
    model.requires_grad_(True)
    return found


# Losses and turns


@pytest.mark.parametrize("style_by", [["speaker"], ["emotion"], ["speaker", "emotion"]])
def test_total_loss_is_the_weighted_sum_of_its_parts(style_by):
    weights = {"contrastive": 3.0, "style": 0.5, "text": 2.0, "adversarial": 7.0, "stop": 1.5, "guided": 4.0}
    model = small(weights=weights, style_by=style_by, **QUIET).eval()
    loss, stats, weight = model(**batch_of(item(1, 4, 1, 2), item(2, 7, 0, 0)))
    expected = 3 * stats["contrastive"] + 2 * stats["text"] + 4 * stats["heard_guided"]
    for kind in style_by:
        expected = expected + 0.5 * stats[f"style_{kind}"] + 7 * stats[f"adversarial_{kind}"]
    for path in ("tts", "vc"):
        part = stats[f"{path}_mel"] + stats[f"{path}_post"] + 1.5 * stats[f"{path}_stop"] + 4 * stats[f"{path}_guided"]
        expected = expected + part / 2
    fooled = sum(7 * stats[f"adversarial_{kind}"] for kind in style_by)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and weight == 2
    assert stats["loss"].item() == pytest.approx((expected - fooled).item(), rel=1e-5)
    assert {name for name in stats if name.startswith("style_") and not name.endswith("_acc")} == {
        f"style_{kind}" for kind in style_by
    }


def test_paths_take_turns_and_render_text_or_recording():
    model, batch = small(**QUIET).eval(), batch_of(item(1, 4), item(2, 7))
    whole = model(**batch)[1]
    for step, path, other in ((0, "tts", "vc"), (1, "vc", "tts"), (6, "tts", "vc")):
        stats = model(turn="main", step=step, cache=BatchCache(), **batch)[1]
        assert stats[f"{path}_mel"].item() == pytest.approx(whole[f"{path}_mel"].item(), rel=1e-5)
        assert f"{other}_mel" not in stats
    assert whole["tts_mel"] != whole["vc_mel"]


def test_losses_by_hand():
    model = small(stop_positive=3.0, **QUIET).eval()
    batch = batch_of(item(1, 5, 1, 2))
    stats = model(**batch)[1]
    frames = batch["feats"].shape[1]
    feats = (batch["feats"] + 5) / 2
    style, scores = model.style(feats, batch["feats_lengths"])
    assert stats["style_emotion"].item() == pytest.approx(F.cross_entropy(scores["emotion"], batch["eids"]).item())
    assert stats["style_speaker"].item() == pytest.approx(F.cross_entropy(scores["speaker"], batch["sids"]).item())
    before = model.embedding(F.pad(batch["text"], (1, 0)))
    heard, logits, _ = model.recognizer(feats, batch["feats_lengths"], before)
    text = F.cross_entropy(logits[0], F.pad(batch["text"], (0, 1))[0])  # the phones, then number 0, the end
    assert stats["text"].item() == pytest.approx(text.item(), rel=1e-5)
    known = F.pad(feats, (0, 0, 0, frames % 2))
    mask = torch.ones(1, 5, dtype=torch.bool)
    mel, stop, _ = model.decoder(model.merge(heard[:, :-1], batch["text_lengths"], style), mask, known, 2)
    post = model.postnet(mel[:, :frames], torch.ones(1, frames, dtype=torch.bool))
    ends = F.one_hot(torch.tensor([stop.shape[1] - 1]), stop.shape[1]).float()  # the last step alone
    stops = F.binary_cross_entropy_with_logits(stop, ends, pos_weight=torch.tensor(3.0))
    for name, value in (("mel", (mel[:, :frames] - feats).abs().mean()), ("stop", stops)):
        assert stats[f"vc_{name}"].item() == pytest.approx(value.item(), rel=1e-4), name
    assert stats["vc_post"].item() == pytest.approx((post - feats).abs().mean().item(), rel=1e-4)


def test_the_other_adversary_is_the_classifiers_error():
    model, batch = small(adversarial_loss="ce", **QUIET).eval(), batch_of(item(1, 4, 1, 2), item(2, 7, 0, 0))
    stats = model(**batch)[1]
    fooled = stats["adversarial_speaker"] + stats["adversarial_emotion"]
    assert fooled.item() == pytest.approx(-stats["loss_classifier"].item(), rel=1e-5)


def test_figures_of_a_batch_are_the_means_of_its_items():
    model = small(**QUIET).eval()
    items = item(1, 4, 0, 1), item(2, 9, 1, 2), item(3, 6, 1, -1)
    together = model(**batch_of(*items))[1]
    alone = [model(**batch_of(one))[1] for one in items]
    frames = [len(one["feats"]) for _, one in items]
    phones = [len(one["text"]) for _, one in items]
    steps = [(n + 1) // 2 for n in frames]
    counts = {"mel": frames, "post": frames, "stop": steps, "guided": steps, "diagonal": [1, 1, 1]}
    counts = {f"{path}_{name}": count for path in ("tts", "vc") for name, count in counts.items()} | {
        "contrastive": [n * n for n in phones], "text": [n + 1 for n in phones], "text_acc": [n + 1 for n in phones],
        "heard_guided": [n + 1 for n in phones], "heard_diagonal": [1, 1, 1], "style_speaker": [1, 1, 1],
        "style_emotion": [1, 1, 0], "adversarial_speaker": phones, "adversarial_emotion": phones,
        "classifier_speaker_acc": phones, "classifier_emotion_acc": [*phones[:2], 0],
    }  # fmt: skip
    for name, count in counts.items():
        expected = sum(n * one[name].item() for n, one in zip(count, alone, strict=True)) / sum(count)
        assert together[name].item() == pytest.approx(expected, rel=1e-4, abs=1e-6), name


def test_unknown_labels_teach_no_classes():
    model, batch = small(**QUIET), batch_of(item(1, 4, 0, -1), item(2, 7, 1, -1))
    stats = both_turns(model, batch)
    assert stats["style_emotion"] == 0 and stats["style_speaker"] > 0
    for net in (model.style, model.classifier):
        assert not net.heads["emotion"].weight.grad.any() and net.heads["speaker"].weight.grad.any()


def test_turns_own_every_parameter_once():
    model = small()
    owned = [[id(p) for p in model.turn_parameters(turn)] for turn in model.turns]
    assert sorted(sum(owned, [])) == sorted(id(p) for p in model.parameters())
    assert set(owned[1]) == {id(p) for p in model.classifier.parameters()}


def test_each_turn_leaves_the_others_without_gradients():
    model, batch, cache = small(), batch_of(item(1, 4), item(2, 7)), BatchCache()
    Owners(model).only("main")
    model(turn="main", cache=cache, **batch)[0].backward()
    assert all(p.grad is None for p in model.classifier.parameters())
    assert model.recognizer.hidden.weight.grad.any()
    model.requires_grad_(True), model.zero_grad()
    model(turn="classifier", cache=cache, **batch)[0].backward()  # what it hears is detached: nothing need be frozen
    learned = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"classifier"}


def test_every_parameter_learns():
    model, batch = small(), batch_of(item(1, 4, 0, 1), item(2, 7, 1, 2))
    both_turns(model, batch, 0), both_turns(model, batch, 1)
    # A bias before a batch normalisation is one that it takes away again.
    before_norm = {f"{net}.convs.{k}.bias" for net in ("text", "classifier", "postnet") for k in range(3)}
    still = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert still <= before_norm


@pytest.mark.parametrize("detach", [True, False])
def test_the_style_encoder_learns_of_the_spectrogram_if_told_so(detach):
    weights = {"style": 0.0}
    model = small(detach_style=detach, weights=weights)
    both_turns(model, batch_of(item(1, 4), item(2, 7)))
    grad = model.style.out.weight.grad
    assert (grad is None or not grad.any()) == detach


def test_learns_to_read_hear_and_speak():
    model = small(text={"dropout": 0.0}, recognizer={**SMALL["recognizer"], "dropout": 0.0})
    tones = np.eye(10, dtype=np.float32)[: len(TOKENS)] * 4 - 6  # each phone is a band
    items = []
    for k, (sid, eid) in enumerate([(0, 1), (0, 2), (1, 1), (1, 2)]):
        text = np.random.default_rng(k).permutation(5) + 2
        feats = np.repeat(tones[text], 4, 0) + 0.7 * sid - 0.7 * eid
        items.append((f"u{k}", {"feats": feats, "text": text, "sids": np.int64(sid), "eids": np.int64(eid)}))
    batch = batch_of(*items)
    optims = [torch.optim.Adam(model.turn_parameters(turn), 1e-2) for turn in model.turns]
    first, last = {}, {}
    for step in range(50):
        for optim in optims:
            optim.zero_grad()
        stats = both_turns(model, batch, step)
        for turn, optim in zip(model.turns, optims, strict=True):
            nn.utils.clip_grad_norm_(model.turn_parameters(turn), 1.0)
            optim.step()
        last |= stats
        first = {**stats, **first}
    for name in ("tts_mel", "tts_post", "vc_mel", "vc_post"):
        assert last[name] < 0.8 * first[name], name
    assert last["contrastive"] < 0.6 * first["contrastive"] and last["text"] < 0.7 * first["text"]
    assert last["style_emotion"] < 0.8 * first["style_emotion"] and last["style_speaker"] < 0.8 * first["style_speaker"]


# Frames a step


def test_schedule_of_frames_a_step():
    model = small(reduction_schedule=[[0, 2], [10, 1]])
    assert [model.frames_a_step(step) for step in (0, 9, 10, 500)] == [2, 2, 1, 1]
    batch = batch_of(item(1, 4))
    model(turn="main", step=3, cache=BatchCache(), **batch)
    assert model.reduction == 2
    model(turn="main", step=10, cache=BatchCache(), **batch)
    assert model.reduction == 1
    model(step=3, **batch)
    assert model.reduction == 1  # validation changes nothing
    assert small().reduction == 2 and small().frames_a_step(0) == 2


@pytest.mark.parametrize("schedule", [[[5, 2]], [[0, 3]], [[0, 0]], [[0, 2], [20, 1], [10, 2]]])
def test_wrong_schedules_are_refused(schedule):
    with pytest.raises(UserError, match=r"reduction_schedule is .* from step 0 on in order, with 1 to 2 frames"):
        small(reduction_schedule=schedule)


@pytest.mark.parametrize(
    "edit, message",
    [
        ({"style_by": []}, "style_by is"),
        ({"style_by": ["emotion", "emotion"]}, "style_by is"),
        ({"style_by": ["voice"]}, "expected one or both of speaker, emotion"),
        ({"adversarial_loss": "mse"}, "expected uniform or ce"),
        ({"weights": {"contrastiv": 1.0}}, "'contrastiv' is no loss"),
        ({"speakers": []}, "the training data name them"),
    ],
)
def test_wrong_configurations_are_refused(edit, message):
    with pytest.raises(UserError, match=message):
        small(**edit)


def test_features_that_are_no_mel_spectrograms_are_refused(tiny_contract):
    model = small()
    model.check_contract()
    model.contract = tiny_contract
    with pytest.raises(UserError, match="is of the kind world"):
        model.check_contract()


def test_attention_that_does_not_follow_is_said_after_a_while():
    model = small()
    assert model.remark({"diagonal": 0.3}, 999) is None and model.remark({"diagonal": 0.6}, 5000) is None
    assert "diagonal 0.30" in model.remark({"diagonal": 0.3}, 1000)
    assert model.remark({}, 5000) is None


# Styles


@pytest.fixture
def measured():
    """A model that heard x neutral, angry and sad and y neutral and sad, and what it heard."""
    model = small().eval()
    heard = [(0, 1, 11), (0, 0, 30), (0, 2, 7), (1, 1, 22), (1, 2, 13), (0, 1, 40), (0, 1, 2)]
    utterances = [(s, e, recording(k, frames)) for k, (s, e, frames) in enumerate(heard)]
    strangers = [(-1, 0, recording(20, 9)), (1, -1, recording(21, 9))]
    model.measure_styles([*utterances, *strangers], batch=3)
    return model, utterances


def test_measured_styles_are_means_of_single_recordings(measured):
    model, utterances = measured
    found: dict[tuple[int, int], list] = {}
    with torch.no_grad():
        for s, e, feats in utterances:
            found.setdefault((s, e), []).append(model.style_of(feats))
    assert model.styles_count.tolist() == [[1, 3, 1], [0, 1, 1]]
    for place, styles in found.items():
        torch.testing.assert_close(model.styles_mean[place], torch.stack(styles).mean(0), rtol=1e-4, atol=1e-6)
    assert not model.styles_mean[1, 0].any()
    model.measure_styles(utterances[:1])  # anew, and not on top
    assert model.styles_count.sum() == 1


def test_at_most_so_many_recordings_are_measured(monkeypatch):
    class Data:
        labels = {f"u{k:03d}": (0, 1) for k in range(120)} | {f"v{k}": (1, 2) for k in range(3)}
        feats = {name: name for name in labels}

    model, taken = small(), []
    monkeypatch.setattr(model, "measure_styles", taken.extend)
    model.get_ready(Data)
    first = [utt for s, e, utt in taken if (s, e) == (0, 1)]
    assert MEASURED // 2 < len(first) <= MEASURED and first[0] == "u000" and first[-1] > "u110"  # from all over
    assert [utt for s, e, utt in taken if (s, e) == (1, 2)] == ["v0", "v1", "v2"]


def asked(model: Seq2Seq, source: dict, *args, **kwargs) -> torch.Tensor:
    with torch.no_grad():
        return model.asked_style(source, ConversionTarget(*args, **kwargs))[0]


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm()


def test_known_speakers_take_their_means(measured):
    model, _ = measured
    source = {"feats": recording(9, 20), "speaker": "x", "emotion": "neutral"}
    mean = model.styles_mean
    torch.testing.assert_close(asked(model, source, "sad"), unit(mean[0, 2]))
    torch.testing.assert_close(asked(model, source, "sad", "y"), unit(mean[1, 2]))
    torch.testing.assert_close(asked(model, {"phones": ["a"]}, "sad", "y"), unit(mean[1, 2]))


def test_intensity_is_a_way_from_the_source_to_the_target_and_beyond(measured):
    model, _ = measured
    source = {"feats": recording(9, 20), "speaker": "x", "emotion": "neutral"}
    neutral, sad = model.styles_mean[0, 1], model.styles_mean[0, 2]
    for intensity, expected in ((0.0, neutral), (1.0, sad), (0.5, neutral + sad), (2.0, 2 * sad - neutral)):
        torch.testing.assert_close(asked(model, source, "sad", intensity=intensity), unit(expected))
    said = {"phones": ["a"], "speaker": "x"}  # a text starts at the neutral voice
    torch.testing.assert_close(asked(model, said, "sad", intensity=0.0), unit(neutral))


def test_unknown_speakers_keep_their_style_moved_by_what_the_emotion_changes_in_others(measured):
    model, _ = measured
    source = {"feats": recording(9, 20), "speaker": "z", "emotion": "neutral"}
    with torch.no_grad():
        own = model.style_of(source["feats"])
    mean = model.styles_mean
    moved = own + (mean[:, 2] - mean[:, 1]).mean(0)  # both speakers were heard so
    torch.testing.assert_close(asked(model, source, "sad"), unit(moved))
    torch.testing.assert_close(asked(model, {**source, "emotion": None}, "sad"), unit(moved))
    torch.testing.assert_close(asked(model, source, "angry"), unit(own + mean[0, 0] - mean[0, 1]))  # x alone
    torch.testing.assert_close(asked(model, {**source, "emotion": "angry"}, "sad"), unit(own + mean[0, 2] - mean[0, 0]))
    torch.testing.assert_close(asked(model, source, "sad", intensity=0.0), own)
    torch.testing.assert_close(asked(model, source, "neutral"), own)
    missing = {"feats": source["feats"], "speaker": "y", "emotion": "sad"}  # known, but never heard angry
    expected = unit(mean[1, 2] + mean[0, 0] - mean[0, 2])
    torch.testing.assert_close(asked(model, missing, "angry"), expected)


def test_the_emotion_of_a_reference_in_a_known_voice(measured):
    model, _ = measured
    source = {"feats": recording(9, 20), "speaker": "x", "emotion": "neutral"}
    reference = {"feats": recording(10, 33)}
    with torch.no_grad():
        share = model.style(model.given(reference["feats"]), torch.tensor([33]))[1]["emotion"][0].softmax(0)
    assert (share > 0.01).all()
    goal = share @ model.styles_mean[0]  # as x would sound, not as who is heard in the reference
    torch.testing.assert_close(asked(model, source, reference=reference), unit(goal))
    torch.testing.assert_close(asked(model, source, "sad", style="reference", reference=reference), unit(goal))
    torch.testing.assert_close(
        asked(model, source, "sad", style="mean", reference=reference), unit(model.styles_mean[0, 2])
    )
    half = asked(model, source, reference=reference, intensity=0.5)
    torch.testing.assert_close(half, unit(model.styles_mean[0, 1] + goal))
    spoken = model.convert({"phones": ["a", "b"]}, ConversionTarget(speaker="x", reference=reference))
    assert spoken["scores"] == pytest.approx(share.numpy(), abs=1e-5)
    with pytest.raises(UserError, match="needs a reference recording"):
        asked(model, source, "sad", style="reference")


def test_the_style_of_a_reference_where_styles_tell_no_speakers():
    model = small(style_by=["emotion"]).eval()
    model.measure_styles([(0, 1, recording(0, 12))])
    reference = {"feats": recording(10, 33)}
    with torch.no_grad():
        there = model.style_of(reference["feats"])
    source = {"feats": recording(9, 20), "speaker": "x", "emotion": "neutral"}
    torch.testing.assert_close(asked(model, source, reference=reference), there)


def test_another_known_voice_starts_from_its_own_neutral(measured):
    model, _ = measured
    mean = model.styles_mean
    source = {"feats": recording(9, 20), "speaker": "x", "emotion": "neutral"}
    expected = unit(mean[1, 1] + mean[0, 0] - mean[0, 1])  # y was never heard angry; x was, and neutral
    torch.testing.assert_close(asked(model, source, "angry", "y"), expected)
    torch.testing.assert_close(asked(model, {"phones": ["a"], "emotion": "sad"}, "angry", "y"), expected)


def test_the_emotion_of_an_unlabelled_recording_is_heard(measured):
    model, _ = measured
    source = {"feats": recording(9, 20), "speaker": None, "emotion": None}
    with torch.no_grad():
        own, scores = model.style(model.given(source["feats"]), torch.tensor([20]))
    came = model.emotions[int(scores["emotion"].argmax())]
    expected = own[0] + model.shift(came, "sad") if came != "sad" else own[0]
    torch.testing.assert_close(asked(model, source, "sad"), unit(expected))


@pytest.mark.parametrize(
    "source, target, message",
    [
        ({}, {"emotion": "sadd"}, "emotion 'sadd' is unknown.*did you mean sad"),
        ({}, {"emotion": None}, "no emotion was named; this model has angry, neutral, sad"),
        ({"feats": None}, {"emotion": "sad", "speaker": "zz"}, "speaker 'zz' is unknown"),
        ({"feats": None, "speaker": None}, {"emotion": "sad"}, "no speaker was named"),
        ({}, {"emotion": "sad", "voice": np.zeros(3)}, "not from vectors"),
    ],
)
def test_styles_that_there_are_not(measured, source, target, message):
    given = {"feats": recording(9, 20), "phones": ["a"], "speaker": "x", "emotion": "neutral", **source}
    with pytest.raises(UserError, match=message):
        asked(measured[0], given, **target)


def test_emotions_that_nobody_was_heard_in():
    model = small().eval()
    source = {"feats": recording(9, 20), "speaker": "z", "emotion": "neutral"}
    with pytest.raises(UserError, match="no speaker of the training is both neutral and sad"):
        asked(model, source, "sad")
    with pytest.raises(UserError, match="no style of theirs was measured"):
        asked(model, {"phones": ["a"]}, "sad", "x")


# From one stage to the other


def kept(model: Seq2Seq, folder, **more):
    """Path of the model's weights in a model directory."""
    folder.mkdir()
    conf = {"speakers": list(model.speakers), "emotions": list(model.emotions), "tokens": list(model.tokens)}
    config = {"system": "seq2seq", "system_conf": conf, "feats_contract": {**model.contract.to_dict(), **more}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(model.state_dict(), folder / "latest.pth")
    return str(folder / "latest.pth")


@pytest.mark.parametrize("style_by", [["emotion"], ["speaker", "emotion"]])
def test_stage_two_starts_from_stage_one(tmp_path, style_by):
    first = small(style_by=["speaker"], speakers=["p1", "p2", "p3"], emotions=["other"])
    first.styles_mean.fill_(3.0), first.styles_count.fill_(2), first.reduction.fill_(1)
    path = kept(first, tmp_path / "exp")
    tokens = ["<pad>", "<unk>", "new", "c", "sil", "a"]
    torch.manual_seed(5)
    second = small(style_by=style_by, tokens=tokens)
    with torch.no_grad():
        for p in second.parameters():
            p.add_(0.01)
    drawn = {name: value.clone() for name, value in second.state_dict().items()}
    load_pretrained_model(adopt(second, path), second, ignore_init_mismatch=False)
    old, now = first.state_dict(), second.state_dict()
    for table in ("embedding.weight", "recognizer.out.weight", "recognizer.out.bias"):
        for label in ("<pad>", "<unk>", "c", "sil", "a"):
            assert torch.equal(now[table][tokens.index(label)], old[table][TOKENS.index(label)]), (table, label)
        assert torch.equal(now[table][2], drawn[table][2])  # a phone that stage I never saw
    redrawn = {name for name in now if ".heads." in name}
    redrawn |= {"styles_mean", "styles_count", "feats_mean", "feats_std", "reduction"}
    assert len(redrawn) == 5 + 4 * len(style_by)
    assert all(torch.equal(now[name], drawn[name]) for name in redrawn)
    others = set(now) - redrawn - {"embedding.weight", "recognizer.out.weight", "recognizer.out.bias"}
    assert len(others) > 50 and all(torch.equal(now[name], old[name]) for name in others)


def test_a_start_on_other_features_is_refused(tmp_path):
    path = kept(small(style_by=["speaker"]), tmp_path / "exp", hop=100)
    with pytest.raises(UserError, match="hop"):
        adopt(small(), path)


def test_a_model_that_is_told_the_strength_starts_from_one_that_is_not(tmp_path):
    first = small(style_by=["speaker"])
    path = kept(first, tmp_path / "exp")
    second = small(strength=True)
    assert "strength_in.weight" in adopt(second, path)
    assert not second.strength_in.weight.any()  # so it begins as the other


def test_a_start_of_another_size_is_refused(tmp_path):
    path = kept(small(style_by=["speaker"], hidden=8), tmp_path / "exp")
    with pytest.raises(UserError, match="the sizes in system_conf have to be those of its config.yaml"):
        adopt(small(), path)


# Speaking


@pytest.mark.parametrize("seed", range(3))
def test_conversion_of_a_recording(measured, seed):
    model, _ = measured
    torch.manual_seed(seed)
    for p in model.recognizer.parameters():
        nn.init.normal_(p, std=0.4)
    source = {"feats": recording(9, 41), "speaker": "x", "emotion": "neutral", "phones": ["a", "b", "c"]}
    made = model.convert(source, ConversionTarget("sad"))
    phones, steps = len(made["phones"]), len(made["attention"])
    assert phones >= 1 and made["feats"].shape == (2 * steps, 10) and np.isfinite(made["feats"]).all()
    assert made["attention"].shape == (steps, phones)
    assert made["durations"].sum() == len(made["feats"]) and len(made["durations"]) == phones
    assert made["heard_attention"].shape == (phones + 1, 21)
    assert made["phone_errors"] == error_rate(source["phones"], made["phones"])
    assert made["f0"] is None and made["power"] is None
    assert made["whole"] == (made["ending"] != "limit" and made["heard_whole"])
    assert steps * 2 * 0.0125 <= START + PER_PHONE * phones


def test_speech_of_a_text(measured):
    model, _ = measured
    made = model.convert({"phones": ["sil", "a", "zz", "sil"], "speaker": "y"}, ConversionTarget("sad"))
    assert made["phones"] == ["sil", "a", "zz", "sil"] and made["attention"].shape[1] == 4
    assert "heard_attention" not in made and "phone_errors" not in made
    assert made["durations"].sum() == len(made["feats"]) <= (START + 4 * PER_PHONE) / 0.0125
    with pytest.raises(UserError, match="neither a recording to convert nor a text to say"):
        model.convert({"speaker": "x"}, ConversionTarget("sad"))


@pytest.mark.parametrize("bias, ending", [(50.0, "stop"), (-50.0, None)])
def test_it_always_ends(measured, bias, ending):
    model, _ = measured
    nn.init.constant_(model.decoder.stop.bias, bias)
    for phones in (["a"], ["a"] * 12):
        made = model.convert({"phones": phones, "speaker": "x"}, ConversionTarget("angry"))
        most = model.limits(len(phones)).most
        assert 0 < len(made["attention"]) <= most
        if ending is None:
            assert made["ending"] in ("attention", "limit") and made["whole"] == (made["ending"] == "attention")
        elif len(phones) == 1:
            assert made["ending"] == "stop" and made["whole"] and len(made["attention"]) == 1


def test_seeds_are_reproducible(measured):
    model, _ = measured
    source = {"phones": ["a", "b", "c"], "speaker": "x"}
    made = [model.convert(source, ConversionTarget("sad", seed=seed))["feats"] for seed in (0, 0, 1)]
    assert np.array_equal(made[0], made[1])
    assert made[0].shape != made[2].shape or not np.allclose(made[0], made[2])
    torch.manual_seed(7)  # nothing else is drawn from
    assert np.array_equal(made[0], model.convert(source, ConversionTarget("sad"))["feats"])


def test_sharper_bands_deviate_more_from_their_mean(measured):
    model, _ = measured
    source = {"phones": ["a", "b"], "speaker": "x"}
    plain = model.convert(source, ConversionTarget("sad"))["feats"]
    model.sharpen = 1.2
    sharp = model.convert(source, ConversionTarget("sad"))["feats"]
    np.testing.assert_allclose(sharp + 5, 1.2 * (plain + 5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [20, 33])
@pytest.mark.parametrize("reduction", [1, 2])
def test_teacher_forced_speech_has_the_frames_of_its_recording(frames, reduction):
    model = small(**QUIET).eval()
    model.reduction.fill_(reduction)
    model.schedule = [(0, reduction)]
    source = {"feats": recording(3, frames), "phones": ["a", "b", "c"], "speaker": "z", "emotion": None}
    made = model.teacher_forced(source)
    assert made.shape == (frames, 10) and made.dtype == np.float32
    text = np.array([TOKENS.index(phone) for phone in source["phones"]])
    given = {"feats": source["feats"], "text": text, "sids": np.int64(0), "eids": np.int64(0)}
    post = model(**batch_of(("u", given)))[1]["vc_post"].item()
    assert np.abs(made - source["feats"]).mean() / 2 == pytest.approx(post, rel=1e-4)  # what training does
    with pytest.raises(UserError, match="needs the phones"):
        model.teacher_forced({"feats": source["feats"]})


def test_pictures_are_attention(measured):
    model, _ = measured
    source = {"feats": recording(9, 20), "speaker": "x", "emotion": "neutral"}
    found = model.pictures(source, ConversionTarget("sad"))
    made = model.convert(source, ConversionTarget("sad"))
    assert np.array_equal(found["attention"], made["attention"].T)
    assert found["heard attention"].shape == (len(made["phones"]) + 1, 10)
    assert set(model.pictures({"phones": ["a"], "speaker": "x"}, ConversionTarget("sad"))) == {"attention"}
    for image in found.values():
        assert image.min() >= 0 and image.max() <= 1 + 1e-5
