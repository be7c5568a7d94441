"""The two-stage conversion through the task: both stages, resuming, the styles that a training leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.evc_train import main as train
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import analyze
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.audio import write_audio
from evc2.fileio.datadir import Trial, read_table, write_table, write_trials
from evc2.systems import build
from evc2.train import checkpoint
from evc2.train.monitor import StatsBuffer

PRESETS = Path(__file__).parents[2] / "egs" / "TEMPLATE" / "evc1" / "conf" / "debug"
MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 200, "win": 512, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
TONES = {"a": 300.0, "b": 900.0, "c": 2500.0, "d": 5000.0, "sil": 0.0}
SHORT = {
    "num_iters_per_epoch": 5, "checkpoint_interval": 1e-7, "log_interval": 2, "ema_decay": 0.9, "ema_turn": "main",
    "use_tensorboard": False, "use_matplotlib": False, "media_interval": 0,
}  # fmt: skip
SETS = {
    "many": [(s, "other", i) for s in ("p1", "p2") for i in range(3)],
    "many_dev": [("p1", "other", 9), ("p9", "other", 9)],
    "train": [(s, e, i) for s in ("s1", "s2") for e in ("neutral", "sad") for i in range(3)] + [("s1", "other", 5)],
    "dev": [(s, e, 9) for s in ("s1", "s3") for e in ("neutral", "sad", "angry")],  # s3 and angry are not known
}
PHONES = {"many": "abd"}  # of the others: abc


def write_set(folder, rows, letters, contract, stats=None):
    """Tones for phones; sad ones are longer. Words of an utterance are those of its number."""
    folder.mkdir(parents=True)
    (folder / "feats.yaml").write_text(yaml.safe_dump(contract.to_dict()))
    tables = {name: {} for name in ("utt2spk", "utt2emo", "wav.scp", "phones", "utt2num_frames")}
    writers = [ArkWriter(folder / f"{name}.ark", folder / f"{name}.scp") for name in ("feats", "power")]
    with writers[0] as feats, writers[1] as power:
        for speaker, emotion, number in rows:
            utt, rng = f"{speaker}-{emotion}-{number}", np.random.default_rng(number)
            phones = ["sil", *rng.choice(list(letters), 4), "sil"]
            times = [
                np.arange(200 * n * (2 if emotion == "sad" else 1)) / 16000 for n in rng.integers(3, 6, len(phones))
            ]
            wav = [0.3 * np.sin(2 * np.pi * TONES[p] * t) for p, t in zip(phones, times, strict=True)]
            wav = np.concatenate(wav).astype(np.float32)
            write_audio(folder / f"wav/{utt}.wav", wav, 16000)
            made = analyze(wav, contract)
            feats[utt], power[utt] = made["feats"], made["power"]
            values = speaker, emotion, f"{folder}/wav/{utt}.wav", " ".join(phones), str(len(made["feats"]))
            for table, value in zip(tables.values(), values, strict=True):
                table[utt] = value
            if stats is not None:
                stats.add(speaker, emotion, made["feats"], duration=len(wav) / 16000)
    for name, table in tables.items():
        write_table(folder / name, table)
    (folder / "g2p.yaml").write_text("kind: arpabet\nlanguage: en-us\nlexicon: null\n")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Folder with data of both stages, their statistics, feats.yaml, and configurations for both."""
    root, contract = tmp_path_factory.mktemp("seq2seq"), FeatureContract.from_dict(MEL)
    (root / "feats.yaml").write_text(yaml.safe_dump(contract.to_dict()))
    stats = {name: Stats() for name in ("many", "train")}
    for name, rows in SETS.items():
        write_set(root / name, rows, PHONES.get(name, "abc"), contract, stats.get(name))
    for name, found in stats.items():
        found.save(root / f"{name}.npz")
    trials = [Trial(f"{s}-neutral-9-to-sad", f"{s}-neutral-9", s, "sad", f"{s}-sad-9") for s in ("s1", "s3")]
    write_trials(root / "dev" / "trials", trials)
    for name in ("train_seq2seq", "train_seq2seq_pretrain"):
        conf = yaml.safe_load((PRESETS / f"{name}.yaml").read_text()) | SHORT
        (root / f"{name}.yaml").write_text(yaml.safe_dump(conf))
    return root


def command(corpus, out, *more, stage=2, conf=None):
    conf = conf or corpus / ("train_seq2seq.yaml" if stage == 2 else "train_seq2seq_pretrain.yaml")
    own, valid = ("train", "dev") if stage == 2 else ("many", "many_dev")
    trials = ["--valid_trials", str(corpus / "dev" / "trials"), "--directions", "neutral:sad"] if stage == 2 else []
    return [
        "--config", str(conf), "--output_dir", str(out), "--feats_contract", str(corpus / "feats.yaml"),
        "--stats", str(corpus / f"{own}.npz"), "--train_dir", str(corpus / own), "--valid_dir", str(corpus / valid),
        *trials, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(corpus):
    train(command(corpus, corpus / "pretrained", stage=1))
    return corpus / "pretrained"


@pytest.fixture(scope="module")
def trained(corpus):
    train(command(corpus, corpus / "exp"))
    return corpus / "exp"


def conf_of(folder) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())["system_conf"]


def weights_of(folder, name="latest.pth") -> dict[str, torch.Tensor]:
    return torch.load(folder / name, weights_only=True)


def test_labels_of_the_data_are_kept_with_the_model(corpus, trained, pretrained):
    conf = conf_of(trained)
    assert conf["speakers"] == ["s1", "s2"] and conf["emotions"] == ["neutral", "sad"]  # `other` is nobody's emotion
    assert conf["tokens"] == ["<pad>", "<unk>", "sil", "sp", "a", "b", "c"]
    natural = np.concatenate(list(ScpReader(corpus / "train" / "feats.scp").values()))
    weights = weights_of(trained)
    assert np.allclose(weights["feats_mean"], natural.mean(0), atol=1e-3)
    assert np.allclose(weights["feats_std"], natural.std(0), atol=1e-3) and weights["reduction"] == 2
    conf = conf_of(pretrained)
    assert conf["speakers"] == ["p1", "p2"] and conf["emotions"] == ["other"] and conf["tokens"][-1] == "d"


@pytest.mark.parametrize("stage", [1, 2])
def test_styles_of_a_saved_model_are_the_means_of_its_training_data(corpus, trained, pretrained, stage):
    folder, data = (pretrained, corpus / "many") if stage == 1 else (trained, corpus / "train")
    model = build("seq2seq", conf_of(folder)).eval()
    model.load_state_dict(weights_of(folder))
    feats, spk, emo = ScpReader(data / "feats.scp"), read_table(data / "utt2spk"), read_table(data / "utt2emo")
    assert model.styles_count.tolist() == ([[3], [3]] if stage == 1 else [[3, 3], [3, 3]])
    for s, speaker in enumerate(model.speakers):
        for e, emotion in enumerate(model.emotions):
            utts = [utt for utt in spk if (spk[utt], emo[utt]) == (speaker, emotion)]
            with torch.no_grad():
                expected = torch.stack([model.style_of(feats[utt]) for utt in utts]).mean(0)
            assert expected.any()
            torch.testing.assert_close(model.styles_mean[s, e], expected, rtol=1e-3, atol=1e-5)


def test_speakers_and_emotions_that_the_training_never_heard_are_validated_all_the_same(trained):
    stats = checkpoint.load(trained / "checkpoint.pth")["reporter"]["stats"]
    found = {name: float(np.asarray(value)) for name, value in stats[2]["valid"].items() if "time" not in name}
    for name in ("loss", "mcd_gv", "failures", "phone_errors", "diagonal", "tts_mel", "vc_mel", "style_speaker"):
        assert np.isfinite(found[name]), name
    assert (trained / "valid.mcd_gv.best.pth").exists() and (trained / "valid.loss.best.pth").exists()


class Killed(BaseException):
    """Stands for the end of the process: nothing in the trainer catches it."""


@pytest.mark.parametrize("stop_at", [3, 7])
def test_a_killed_training_ends_bit_equal(corpus, trained, tmp_path, monkeypatch, caplog, stop_at):
    caplog.set_level("INFO")
    seen, add = [], StatsBuffer.add

    def failing(self, stats, weight):
        seen.append("lr_main" in stats)
        if sum(seen) == stop_at + 1 and seen[-1]:
            raise Killed
        add(self, stats, weight)

    monkeypatch.setattr(StatsBuffer, "add", failing)
    with pytest.raises(Killed):
        train(command(corpus, tmp_path / "exp"))
    monkeypatch.undo()
    assert not (tmp_path / "exp" / "2epoch.pth").exists()
    train(command(corpus, tmp_path / "exp", "--resume", "true"))
    assert f"continuing at epoch {1 if stop_at == 3 else 2}" in caplog.text
    one, two = weights_of(trained), weights_of(tmp_path / "exp")
    assert one.keys() == two.keys() and [name for name in one if not torch.equal(one[name], two[name])] == []


def still(corpus, tmp_path, **edit):
    """A configuration of stage II that makes one step of size 0."""
    conf = yaml.safe_load((corpus / "train_seq2seq.yaml").read_text()) | {"max_epoch": 1, "num_iters_per_epoch": 1}
    conf |= {"ema_decay": 0.0, "optims": {turn: {"optim": "sgd", "lr": 0.0} for turn in ("main", "classifier")}}
    conf |= {"schedulers": {}}
    conf["system_conf"] |= edit
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump(conf))
    return path


@pytest.mark.parametrize("style_by", [["emotion"], ["speaker", "emotion"]])
def test_stage_two_starts_from_stage_one(corpus, pretrained, tmp_path, style_by):
    conf = still(corpus, tmp_path, style_by=style_by)
    train(command(corpus, tmp_path / "exp", "--init_param", str(pretrained / "latest.pth"), conf=conf))
    old, now = conf_of(pretrained)["tokens"], conf_of(tmp_path / "exp")["tokens"]
    assert set(old) <= set(now) and "c" in now  # what stage I learned stays, with its rows; c is new
    before, after = weights_of(pretrained), weights_of(tmp_path / "exp")
    for table in ("embedding.weight", "recognizer.out.weight", "recognizer.out.bias"):
        for label in old:
            assert torch.equal(after[table][now.index(label)], before[table][old.index(label)]), (table, label)
    model = build("seq2seq", conf_of(tmp_path / "exp"))
    labels = set(model.label_rows)
    moved = [name for name, _ in model.named_parameters() if name not in labels]
    assert len(moved) > 50 and [name for name in moved if not torch.equal(after[name], before[name])] == []
    assert after["style.heads.emotion.weight"].shape == (2, 16)
    assert after["styles_mean"].shape == (2, 2, 16) and after["styles_mean"].any()
    natural = np.concatenate(list(ScpReader(corpus / "train" / "feats.scp").values()))
    assert np.allclose(after["feats_mean"], natural.mean(0), atol=1e-3)  # of the new data


def test_a_start_of_another_size_is_refused(corpus, pretrained, tmp_path):
    conf = still(corpus, tmp_path, hidden=16)
    with pytest.raises(UserError, match="the sizes in system_conf have to be those of its config.yaml"):
        train(command(corpus, tmp_path / "exp", "--init_param", str(pretrained / "latest.pth"), conf=conf))


def test_data_without_emotions_are_refused_for_stage_two(corpus, tmp_path):
    words = command(corpus, tmp_path / "exp", stage=1, conf=corpus / "train_seq2seq.yaml")
    with pytest.raises(UserError, match="every utterance is labelled 'other'"):
        train(words)
