"""SERTask and what is made of its trainings: a judge that judges, and says how well."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.ser_judge import main as ser_judge
from evc2.bin.ser_train import main as ser_train
from evc2.errors import UserError
from evc2.evaluate.judge_neural import NeuralJudge
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ArkWriter
from evc2.fileio.datadir import utts_by_speaker, write_table

CONTRACT = {
    "name": "ser", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 256, "win": 512, "window": "hann", "center": True,
    "pad": "constant", "power": 2, "n_mels": 16, "fmin": 60, "fmax": 7000, "mel_scale": "slaney", "mel_norm": "none",
    "log_base": "e", "floor": 1e-4, "floor_place": "add", "scale": "none",
}  # fmt: skip
CONFIG = {
    "model_conf": {"channels": 2, "hidden": 8, "dropout": 0.1, "mixup": 0.0},
    "optims": {"main": {"optim": "adamw", "lr": 0.01}},
    "batch_size": 8, "crop_frames": 48, "num_iters_per_epoch": 12, "max_epoch": 3, "ema_decay": 0.5, "log_interval": 6,
    "use_tensorboard": False, "use_matplotlib": False,
}  # fmt: skip


def write_feats(folder: Path, speakers: list[str]) -> None:
    """Two emotions that differ by the slope of the spectrum, four speakers that differ by its level."""
    rng = np.random.default_rng(len(speakers))
    folder.mkdir(parents=True)
    FeatureContract.from_dict(CONTRACT).save(folder / "feats.yaml")
    spk, emo, vocoder = {}, {}, {}
    with ArkWriter(folder / "feats.ark", folder / "feats.scp") as feats:
        for number, speaker in enumerate(speakers):
            for k in range(6):
                for emotion, slope in (("angry", 2.0), ("neutral", -2.0)):
                    for kind in ("natural", "world"):
                        utt = f"{speaker}-{emotion}-{k}-{kind}"
                        shape = number + slope * np.linspace(-1, 1, 16)
                        feats[utt] = (rng.normal(size=(60 + 5 * k, 16)) + shape).astype(np.float32)
                        spk[utt], emo[utt], vocoder[utt] = speaker, emotion, kind
    for name, table in (("utt2spk", spk), ("utt2emo", emo), ("utt2vocoder", vocoder)):
        write_table(folder / name, table)
    write_table(folder / "spk2utt", utts_by_speaker(spk))
    write_table(folder / "wav.scp", {utt: f"{utt}.wav" for utt in spk})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("ser")
    write_feats(root / "all", ["s1", "s2", "s3", "s4"])
    write_feats(root / "fold1", ["s3", "s4"])
    write_feats(root / "fold2", ["s1", "s2"])
    (root / "spk2fold").write_text("s1 1\ns2 1\ns3 2\ns4 2\n")
    (root / "conf.yaml").write_text(yaml.safe_dump(CONFIG))
    for fold in (1, 2):
        ser_train(command(root, fold, root / "exp" / f"fold{fold}.seed0"))
    return root


def command(root, fold, out, *more):
    return [
        "--config", str(root / "conf.yaml"), "--output_dir", str(out), "--feats_contract", str(root / "all/feats.yaml"),
        "--train_dir", str(root / f"fold{fold}"), "--valid_dir", str(root / f"fold{fold}"), *more,
    ]  # fmt: skip


def judged(root, out, *more):
    ser_judge(["--exp", str(root / "exp"), "--data_dir", str(root / "all"), "--spk2fold", str(root / "spk2fold"),
               "--out", str(out), *more])  # fmt: skip
    return NeuralJudge.load(out)


def test_a_judge_hears_unseen_speakers(trained, tmp_path):
    judge = judged(trained, tmp_path / "judge")
    assert judge.labels == ["neutral", "angry"] and set(judge.folds.values()) == {"1", "2"}
    assert judge.accuracy["natural"]["all"]["mean"] > 0.9 and judge.accuracy["world"]["all"]["utterances"] == 48
    text = (tmp_path / "judge" / "RESULTS.md").read_text()
    assert "36 steps each" in text and "Heard as, natural" in text


def test_the_judge_takes_the_networks_that_have_not_heard_the_speaker(trained, tmp_path):
    judge = judged(trained, tmp_path / "judge")
    assert judge.networks("s1") is judge.members["1"] and judge.networks("s4") is judge.members["2"]
    assert len(judge.networks("stranger")) == 2
    wav = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    scores, embedding = judge.judge(wav, "s1")
    assert scores.shape == (2,) and scores.sum() == pytest.approx(1) and embedding.shape == (32,)
    assert judge.judge(wav, None)[1].shape == (64,)


def test_resumes_bit_equal(trained, tmp_path):
    out = tmp_path / "run"
    ser_train(command(trained, 1, out, "--max_epoch", "1"))
    ser_train(command(trained, 1, out, "--resume", "true"))
    found = torch.load(out / "latest.pth", weights_only=True)
    whole = torch.load(trained / "exp/fold1.seed0/latest.pth", weights_only=True)
    assert all(torch.equal(found[name], value) for name, value in whole.items())


def test_a_damaged_or_foreign_judge_is_refused(trained, tmp_path):
    judged(trained, tmp_path / "judge")
    said = json.loads((tmp_path / "judge/judge.json").read_text())
    (tmp_path / "judge/fold1.0.pth").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"fold1\.0\.pth"):
        NeuralJudge.load(tmp_path / "judge")
    (tmp_path / "judge/judge.json").write_text(json.dumps({**said, "kind": "other"}))
    with pytest.raises(UserError, match="expected kind"):
        NeuralJudge.load(tmp_path / "judge")
    with pytest.raises(UserError, match="expected an emotion judge"):
        NeuralJudge.load(tmp_path / "nowhere")


def test_wrong_options_are_named(trained, tmp_path):
    with pytest.raises(UserError, match="chanels.*channels"):
        ser_train(command(trained, 1, tmp_path / "x", "--model_conf", "chanels=4"))
    with pytest.raises(UserError, match="not among the labels"):
        ser_train(command(trained, 1, tmp_path / "x", "--labels", "neutral", "sad"))
    (tmp_path / "spk2fold").write_text("s1 1\ns2 1\ns3 2\ns4 3\n")
    with pytest.raises(UserError, match="none of fold 3"):
        ser_judge(["--exp", str(trained / "exp"), "--data_dir", str(trained / "all"), "--out", str(tmp_path / "j"),
                   "--spk2fold", str(tmp_path / "spk2fold")])  # fmt: skip


def test_help_needs_no_torch():
    code = "import sys; from evc2.bin.ser_judge import get_parser; get_parser().format_help()"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
