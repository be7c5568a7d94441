"""Voices made of harmonics, a small model that is real but untrained, recipes: what several folders of tests share."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORLD = {
    "name": "tiny",
    "kind": "world",
    "rate": 16000,
    "f0_method": "dio",
    "f0_floor": 71.0,
    "f0_ceil": 800.0,
    "frame_period": 5.0,
    "fft_size": 1024,
    "order": 24,
}
#: Middle F0 in Hz and level of the voices that the tiny statistics are of.
VOICES = {
    ("s1", "neutral"): (120.0, 0.1),
    ("s1", "angry"): (180.0, 0.3),
    ("s2", "neutral"): (200.0, 0.1),
    ("s2", "angry"): (300.0, 0.3),
}


def make_voice(seconds: float, rate: int = 16000, f0: float = 140.0, level: float = 0.2, seed: int = 0) -> np.ndarray:
    """A vowel-like sound, pitch moving by a few per cent, between a breathy start and end: float32 [n]."""
    n = round(seconds * rate)
    rng = np.random.default_rng(seed)
    t = np.arange(n) / rate
    pitch = f0 * (1 + 0.08 * np.sin(2 * np.pi * 1.3 * t + seed))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wav = sum(
        np.cos(k * phase) * np.exp(-((k * f0 - 600) ** 2) / 2e6) for k in range(1, int(min(4000, rate / 2.2) / f0))
    )
    edge = np.clip(np.minimum(t, seconds - t) / 0.08, 0.0, 1.0)
    wav = level * wav / np.abs(wav).max() * edge + 0.003 * rng.standard_normal(n)
    return wav.astype(np.float32)


@pytest.fixture(scope="session")
def voice() -> Callable[..., np.ndarray]:
    return make_voice


@pytest.fixture(scope="session")
def copy_recipe() -> Callable[[Path, str], Path]:
    """copy_recipe(root, corpus) -> root/egs/<corpus>: a checkout with the recipes of this corpus and nothing that was
    made by running them, so that a test never touches the real one.
    """

    def copy(root: Path, corpus: str) -> Path:
        for name in {"TEMPLATE", corpus}:

            def left_out(folder: str, names: list[str]) -> set[str]:
                # Only right in egs/<corpus>/<task>: local/ may well have a folder `data`.
                made = {"data", "dump", "exp", "downloads"}
                return set(names) & made if Path(folder).parents[1] == ROOT / "egs" else set()

            shutil.copytree(ROOT / "egs" / name, root / "egs" / name, symlinks=True, ignore=left_out)
        shutil.copytree(ROOT / "utils", root / "utils")
        for name in ("evc2", "tools"):
            (root / name).symlink_to(ROOT / name)
        return root / "egs" / corpus

    return copy


@pytest.fixture(scope="session")
def tiny_contract():
    from evc2.feats.contract import FeatureContract

    return FeatureContract.from_dict(WORLD)


@pytest.fixture(scope="session")
def tiny_stats(tiny_contract):
    from evc2.feats import world
    from evc2.feats.stats import Stats

    stats = Stats()
    for seed, ((speaker, emotion), (f0, level)) in enumerate(VOICES.items()):
        found = world.analyze(make_voice(1.0, f0=f0, level=level, seed=seed), tiny_contract)
        stats.add(speaker, emotion, found["feats"], found["f0"], found["power"])
    return stats


@pytest.fixture(scope="session")
def tiny_conf() -> dict:
    small = {"channels": 4}
    return {"domains": ["neutral", "angry"], "generator": {**small, "num_res": 1}, "discriminator": small}


@pytest.fixture(scope="session")
def tiny_weights(tiny_conf):
    torch = pytest.importorskip("torch")
    from evc2.systems import build

    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build("cyclegan", tiny_conf).state_dict()


@pytest.fixture
def tiny_model(tmp_path: Path, tiny_conf, tiny_weights, tiny_stats, tiny_contract) -> Path:
    """A model directory as training leaves it, anew for every test."""
    import torch

    folder = tmp_path / "exp" / "tiny" / "main"
    folder.mkdir(parents=True)
    config = {
        "system": "cyclegan",
        "system_conf": tiny_conf,
        "feats_contract": tiny_contract.to_dict(),
        "labels": {"speakers": ["s1", "s2"], "emotions": ["angry", "neutral"]},
        "seed": 0,
        "output_dir": "/somewhere/exp",
        "train_data_path_and_name_and_type": [["/somewhere/feats.scp", "feats", "kaldi_ark"]],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(tiny_weights, folder / "valid.mcd.best.pth")
    torch.save(tiny_weights, folder / "3epoch.pth")
    torch.save({"model": tiny_weights, "optimizers": [{}], "step": 3}, folder / "checkpoint.pth")
    tiny_stats.save(folder / "stats.npz")
    return folder


@pytest.fixture
def tiny_f0_model(tmp_path: Path, tiny_stats, tiny_contract) -> Path:
    """The same of a system for F0 alone, to go beside it."""
    torch = pytest.importorskip("torch")
    from evc2.systems import build

    folder = tmp_path / "exp" / "tiny" / "f0"
    folder.mkdir(parents=True)
    conf = {
        "domains": ["neutral", "angry"],
        "generator": {"channels": 4, "num_res": 1},
        "discriminator": {"channels": 2},
    }
    config = {"system": "cyclegan_cwt", "system_conf": conf, "feats_contract": tiny_contract.to_dict()}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        torch.save(build("cyclegan_cwt", conf).state_dict(), folder / "1epoch.pth")
    tiny_stats.save(folder / "stats.npz")
    return folder


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A data directory of five utterances and four trials, the last without a reference, one with a new speaker."""
    from evc2.fileio.audio import write_audio
    from evc2.fileio.datadir import Trial, utts_by_speaker, write_table, write_trials

    folder = tmp_path / "data"
    wavs, spk, emo = {}, {}, {}
    recordings = [("s1", "neutral"), ("s1", "angry"), ("s2", "neutral"), ("s2", "angry"), ("s3", "neutral")]
    for seed, (speaker, emotion) in enumerate(recordings):
        f0, level = VOICES.get((speaker, emotion), (150.0, 0.1))
        utt = f"{speaker}-{emotion}"
        path = tmp_path / "audio" / f"{utt}.wav"
        write_audio(path, make_voice(0.6, f0=f0, level=level, seed=seed), 16000)
        wavs[utt], spk[utt], emo[utt] = str(path), speaker, emotion
    for name, table in (("wav.scp", wavs), ("utt2spk", spk), ("utt2emo", emo), ("spk2utt", utts_by_speaker(spk))):
        write_table(folder / name, table)
    trials = [
        Trial("s1-n2a", "s1-neutral", "s1", "angry", "s1-angry"),
        Trial("s2-a2n", "s2-angry", "s2", "neutral", "s2-neutral"),
        Trial("s2-n2a", "s2-neutral", "s2", "angry", "s2-angry"),
        Trial("s3-n2a", "s3-neutral", "s3", "angry"),
    ]
    write_trials(folder / "trials", trials)
    return folder
