"""A feature dir small enough to train on in a test: two emotions that differ by a known shift."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter
from evc2.fileio.datadir import Trial, write_table, write_trials

CONTRACT = """kind: world
rate: 16000
f0_method: dio
f0_floor: 71.0
f0_ceil: 800.0
frame_period: 5.0
fft_size: 1024
order: 24
"""


def write_dir(folder: Path, count: int, seed: int) -> Stats:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    (folder / "feats.yaml").write_text(CONTRACT)
    spk, emo, stats, trials = {}, {}, Stats(), []
    writers = {n: ArkWriter(folder / f"{n}.ark", folder / f"{n}.scp") for n in ("feats", "f0", "power")}
    with writers["feats"] as feats, writers["f0"] as f0, writers["power"] as power:
        for s in ("s1", "s2"):
            for i in range(count):
                for e in ("neutral", "angry"):
                    utt, frames = f"{s}-{e}-{i}", int(rng.integers(40, 90))
                    spk[utt], emo[utt] = s, e
                    x = rng.normal(size=(frames, 24)).astype(np.float32) * 0.5 + (1.0 if e == "angry" else 0.0)
                    pitch = np.where(rng.random(frames) < 0.7, rng.normal(200, 20, frames), 0).astype(np.float32)
                    level = rng.normal(-5, 1, frames).astype(np.float32)
                    feats[utt], f0[utt], power[utt] = x, pitch, level
                    stats.add(s, e, x, pitch, level)
                trials.append(Trial(f"{s}-neutral-{i}-to-angry", f"{s}-neutral-{i}", s, "angry", f"{s}-angry-{i}"))
    write_table(folder / "utt2spk", spk)
    write_table(folder / "utt2emo", emo)
    write_table(folder / "wav.scp", {u: f"wav/{u}.wav" for u in spk})
    write_trials(folder / "trials", trials)
    return stats


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Folder with train/, dev/, stats.npz, feats.yaml and conf.yaml."""
    root = tmp_path_factory.mktemp("corpus")
    write_dir(root / "train", 3, 0).save(root / "stats.npz")
    write_dir(root / "dev", 2, 1)
    (root / "feats.yaml").write_text(CONTRACT)
    turn = {"optim": "adam", "lr": 1e-3, "betas": [0.5, 0.999]}
    config = {
        "system": "cyclegan",
        "system_conf": {
            "domains": ["neutral", "angry"],
            "generator": {"channels": 4, "num_res": 1},
            "discriminator": {"channels": 2},
        },
        "optims": {"generator": dict(turn, fused=True), "discriminator": dict(turn)},
        "schedulers": {"generator": {"scheduler": "constantthenlinear", "constant": 4, "decay": 10}},
        "batch_size": 2,
        "crop_frames": 32,
        "num_iters_per_epoch": 4,
        "max_epoch": 3,
        "ema_decay": 0.9,
        "ema_turn": "generator",
        "num_valid_trials": 2,
        "log_interval": 2,
        "checkpoint_interval": 1e-7,
        "media_interval": 0,
        "use_tensorboard": False,
        "use_matplotlib": False,
    }
    (root / "conf.yaml").write_text(yaml.safe_dump(config))
    return root


@pytest.fixture
def command(corpus):
    """Arguments of evc_train for an output folder, with further options."""

    def make(out: Path, *more: str) -> list[str]:
        return [
            "--config", str(corpus / "conf.yaml"), "--output_dir", str(out), "--resume", "true",
            "--feats_contract", str(corpus / "feats.yaml"), "--stats", str(corpus / "stats.npz"),
            "--train_dir", str(corpus / "train"), "--valid_dir", str(corpus / "dev"),
            "--valid_trials", str(corpus / "dev" / "trials"), *more,
        ]  # fmt: skip

    return make


@pytest.fixture
def contract(corpus):
    return FeatureContract.load(corpus / "feats.yaml")
