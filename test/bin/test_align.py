"""The command that finds durations: what it writes, resumes, leaves out and refuses."""

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.align import main
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.tables import read_table, write_table

CONTRACT = {
    "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 128, "win": 512, "window": "hann", "center": True,
    "pad": "reflect", "power": 1, "n_mels": 20, "fmin": 0, "fmax": 8000, "mel_scale": "slaney", "mel_norm": "slaney",
    "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
CONFIG = {
    "model_conf": {"states": 1, "cepstra": 12, "start": "flat"}, "optims": {"main": {"optim": "adam", "lr": 0.05}},
    "batch_size": 8, "num_iters_per_epoch": 30, "max_epoch": 2, "keep_nbest_models": 1, "log_interval": 10,
}  # fmt: skip
PHONES = ("sil", "a", "b", "c", "d", "e")


def write_dir(folder, count, seed, short=False):
    """Feature dir of phones with spectra of their own; returns the durations. ``short``: one with too few frames."""
    rng = np.random.default_rng(seed)
    spectra = 2 * np.random.default_rng(7).normal(size=(len(PHONES), 20))
    spectra[0] -= 5
    folder.mkdir()
    FeatureContract.from_dict(CONTRACT).save(folder / "feats.yaml")
    (folder / "g2p.yaml").write_text("kind: espeak\nlanguage: en-us\nlexicon: null\n")
    phones, durations = {}, {}
    with ArkWriter(folder / "feats.ark", folder / "feats.scp") as writer:
        for i in range(count):
            text = [0, *rng.permutation(np.arange(1, 6))[:4], 0]
            frames = rng.integers(4, 12, len(text))
            utt = f"s-{seed}-{i}"
            phones[utt], durations[utt] = " ".join(PHONES[k] for k in text), frames
            writer[utt] = np.repeat(spectra[text], frames, 0) + 0.3 * rng.normal(size=(frames.sum(), 20)) - 4
        if short:
            phones["s-short"] = "sil a b c sil"
            writer["s-short"] = np.zeros((4, 20))
    write_table(folder / "phones", phones)
    for name in ("utt2spk", "utt2emo", "wav.scp"):
        write_table(folder / name, dict.fromkeys(phones, {"utt2spk": "s", "utt2emo": "neutral"}.get(name, "x.wav")))
    return durations


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    root = tmp_path_factory.mktemp("align")
    truth = {"train": write_dir(root / "train", 24, 0, short=True), "dev": write_dir(root / "dev", 6, 1)}
    (root / "conf.yaml").write_text(yaml.safe_dump(CONFIG))
    main(command(root, root / "exp"))
    return root, truth


def command(root, out, *more):
    return ["--train_dir", str(root / "train"), "--data_dirs", str(root / "train"), str(root / "dev"),
            "--config", str(root / "conf.yaml"), "--out", str(out), *more]  # fmt: skip


def test_durations_are_found_and_fit(aligned):
    root, truth = aligned
    off = []
    for name, expected in truth.items():
        found, feats = ScpReader(root / name / "durations.scp"), ScpReader(root / name / "feats.scp")
        assert set(found) == set(expected)
        for utt, frames in expected.items():
            assert found[utt].sum() == len(feats[utt]) and found[utt].min() >= 1
            assert (found[utt] == found[utt].round()).all() and len(found[utt]) == len(frames)
            off.append(np.abs(np.cumsum(found[utt]) - np.cumsum(frames)))
    assert np.concatenate(off).mean() < 0.3


def test_what_cannot_be_aligned_is_listed(aligned):
    root, _ = aligned
    assert read_table(root / "train/durations_missing") == {"s-short": "4 frames, 5 phones"}
    assert not (root / "dev/durations_missing").exists()


def test_a_finished_training_is_used_and_a_broken_one_resumed(aligned, tmp_path):
    root, _ = aligned
    stamp = (root / "exp/2epoch.pth").stat().st_mtime_ns
    main(command(root, root / "exp"))
    assert (root / "exp/2epoch.pth").stat().st_mtime_ns == stamp
    half = {**CONFIG, "max_epoch": 1}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(half))
    main([*command(root, tmp_path / "exp"), "--config", str(tmp_path / "conf.yaml")])
    main(command(root, tmp_path / "exp"))
    whole, resumed = (torch.load(x / "exp/latest.pth", weights_only=True) for x in (root, tmp_path))
    assert all(torch.equal(whole[name], value) for name, value in resumed.items())


def test_a_trained_model_aligns_alone(aligned, capsys):
    root, _ = aligned
    before = {utt: x.tolist() for utt, x in ScpReader(root / "dev/durations.scp").items()}
    (root / "dev/durations.scp").unlink()
    main(["--data_dirs", str(root / "dev"), "--model", str(root / "exp")])
    assert {utt: x.tolist() for utt, x in ScpReader(root / "dev/durations.scp").items()} == before
    said = capsys.readouterr().out
    assert "6 utterances aligned, 0 left out" in said and "phones a second" in said


def test_wrong_input_is_named(aligned, tmp_path):
    root, _ = aligned
    with pytest.raises(UserError, match="--train_dir, --config and --out"):
        main(["--data_dirs", str(root / "dev")])
    with pytest.raises(UserError, match="expected a trained aligner"):
        main(["--data_dirs", str(root / "dev"), "--model", str(tmp_path)])
    write_dir(tmp_path / "other", 2, 3)
    (tmp_path / "other/g2p.yaml").write_text("kind: arpabet\nlanguage: en-us\nlexicon: null\n")
    with pytest.raises(UserError, match="one method"):
        main(["--data_dirs", str(tmp_path / "other"), "--model", str(root / "exp")])
    (tmp_path / "other/phones").unlink()
    with pytest.raises(UserError, match=r"no file phones; .*evc2\.bin\.phonemize"):
        main(["--data_dirs", str(tmp_path / "other"), "--model", str(root / "exp")])
    world = {"kind": "world", "rate": 16000, "frame_period": 5.0, "fft_size": 1024, "order": 24}
    world |= {"f0_method": "dio", "f0_floor": 71.0, "f0_ceil": 800.0}
    FeatureContract.from_dict(world).save(tmp_path / "other/feats.yaml")
    with pytest.raises(UserError, match="log-mel features, found kind 'world'"):
        main(["--data_dirs", str(tmp_path / "other"), "--model", str(root / "exp")])


def test_other_phones_are_not_trained_on_top(aligned, tmp_path):
    root, _ = aligned
    write_dir(tmp_path / "train", 6, 0)
    phones = read_table(tmp_path / "train/phones")
    write_table(tmp_path / "train/phones", {utt: row.replace("a", "z") for utt, row in phones.items()})
    with pytest.raises(UserError, match="another model_conf"):
        main(["--train_dir", str(tmp_path / "train"), "--data_dirs", str(tmp_path / "train"),
              "--config", str(root / "conf.yaml"), "--out", str(root / "exp")])  # fmt: skip


def test_a_wrong_key_is_named(aligned, tmp_path):
    root, _ = aligned
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump({**CONFIG, "model_conf": {"sates": 1}}))
    with pytest.raises(UserError, match="sates.*states"):
        main([*command(root, tmp_path / "exp"), "--config", str(tmp_path / "conf.yaml")])
