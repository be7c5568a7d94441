"""The VAE-GAN from audio to a voice: a training of three voices, its pictures, and conversions with what it left."""

import csv

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.convert import main as convert
from evc2.bin.evc_train import main as train
from evc2.convert import EVC
from evc2.errors import UserError
from evc2.evaluate.ssim import ssim
from evc2.feats.contract import FeatureContract
from evc2.feats.loudness import level
from evc2.feats.mel import analyze
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import Trial, write_table, write_trials
from evc2.vocoder import build_vocoder

MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 128, "win": 512, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 32, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "db", "floor": 1e-5, "floor_place": "clip", "scale": [-100, 0],
}  # fmt: skip
VOICES = {"ann": 220.0, "bob": 110.0, "cy": 160.0}
CONF = {
    "system": "vaegan",
    "system_conf": {
        "dim": 4, "encoder": {"n_res": 1}, "generator": {"n_res": 1}, "discriminator": {"dim": 4}, "window": 32,
        "loudness": -30.0,
    },
    "optims": {
        turn: {"optim": "adam", "lr": 2e-3, "betas": [0.5, 0.999], "grad_clip": 5.0}
        for turn in ("generator", "discriminator")
    },
    "schedulers": {
        "generator": {"scheduler": "constantthenlinearepoch", "constant": 1, "decay": 4},
        "discriminator": {"scheduler": "constantthenlinear", "constant": 2, "decay": 8},
    },
    "domain_by": "speaker", "batch_size": 2, "crop_frames": 32, "num_iters_per_epoch": 4, "max_epoch": 2,
    "num_valid_trials": 4, "media_interval": 1, "keep_nbest_models": 1, "ema_decay": 0.9, "ema_turn": "generator",
    "best_model_criterion": [["valid", "mcd_gv", "min"], ["valid", "cycle", "min"]], "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, voice):
    """Folder with train/, dev/, stats.npz, feats.yaml and conf.yaml of three voices."""
    root, contract = tmp_path_factory.mktemp("voices"), FeatureContract.from_dict(MEL)
    contract.save(root / "feats.yaml")
    (root / "conf.yaml").write_text(yaml.safe_dump(CONF))
    stats = Stats()
    for part, count in (("train", 3), ("dev", 2)):
        folder = root / part
        folder.mkdir()
        contract.save(folder / "feats.yaml")
        names = ("feats", "power")
        writers = {n: ArkWriter(folder / f"{n}.ark", folder / f"{n}.scp") for n in names}
        utts = {}
        with writers["feats"] as feats, writers["power"] as power:
            for speaker, f0 in VOICES.items():
                for k in range(count):
                    utts[f"{speaker}-{k}"] = speaker
                    found = analyze(voice(0.5 + 0.1 * k, f0=f0, seed=k), contract)
                    feats[f"{speaker}-{k}"], power[f"{speaker}-{k}"] = found["feats"], found["power"]
                    if part == "train":
                        stats.add(speaker, "neutral", found["feats"], None, found["power"])
        write_table(folder / "utt2spk", utts)
        write_table(folder / "utt2emo", dict.fromkeys(utts, "neutral"))
        write_table(folder / "wav.scp", {u: f"wav/{u}.wav" for u in utts})
        write_trials(
            folder / "trials",
            [Trial(f"{u}-to-{t}", u, t, "neutral", f"{t}-{u[-1]}") for u, s in utts.items() for t in VOICES if t != s],
        )
    stats.save(root / "stats.npz")
    return root


@pytest.fixture(scope="module")
def command(corpus):
    def make(out, *more):
        options = {"config": "conf.yaml", "feats_contract": "feats.yaml", "stats": "stats.npz"}
        options |= {"train_dir": "train", "valid_dir": "dev", "valid_trials": "dev/trials"}
        return [*(x for k, v in options.items() for x in (f"--{k}", str(corpus / v))), "--output_dir", str(out), *more]

    return make


@pytest.fixture(scope="module")
def trained(command, tmp_path_factory):
    out = tmp_path_factory.mktemp("exp")
    train(command(out, "--use_tensorboard", "true"))
    return out


@pytest.fixture(scope="module")
def evc(trained):
    vocoder = build_vocoder("griffin_lim", FeatureContract.from_dict(MEL), n_iter=4)
    return EVC.from_pretrained(trained, vocoder=vocoder)


def test_all_speakers_become_domains(trained):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["system_conf"]["domains"] == ["ann", "bob", "cy"]
    assert config["system_conf"]["domain_by"] == "speaker"
    assert (trained / "valid.mcd_gv.best.pth").exists() and (trained / "valid.cycle.best.pth").exists()


def test_a_picture_an_epoch_and_direction(trained):
    names = {p.name for p in (trained / "plots").iterdir()}
    pairs = [(a, b) for a in VOICES for b in VOICES if a != b]
    shown = {f"{a}_to_{b}_{e}epoch.png" for a, b in pairs for e in (1, 2)}
    assert names <= shown and len(names) >= 4  # of the four trials scored
    assert all(p.stat().st_size > 10_000 for p in (trained / "plots").iterdir())


def test_rates_go_down_by_epochs_or_steps(trained):
    state = torch.load(trained / "checkpoint.pth", weights_only=True)
    rates = [o["param_groups"][0]["lr"] for o in state["optimizers"]]
    assert rates == pytest.approx([2e-3 * 3 / 4, 2e-3 * 2 / 8])  # 2 epochs: 1 down of 4; 8 steps: 6 down of 8


def test_directions_choose_the_speakers(command, tmp_path):
    train(command(tmp_path, "--directions", "ann:cy,cy:ann", "--dry_run", "true"))
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["system_conf"]["domains"] == ["ann", "cy"]


def test_trials_without_references_are_shown_but_not_scored(command, corpus, tmp_path):
    lines = [line.rsplit(" ", 1)[0] for line in (corpus / "dev/trials").read_text().splitlines()]
    (tmp_path / "trials").write_text("\n".join(lines) + "\n")
    words = command(tmp_path / "exp", "--max_epoch", "1", "--use_tensorboard", "true")
    words[words.index("--valid_trials") + 1] = str(tmp_path / "trials")
    train(words)
    assert not (tmp_path / "exp/valid.mcd_gv.best.pth").exists() and (tmp_path / "exp/valid.cycle.best.pth").exists()
    assert len(list((tmp_path / "exp/plots").glob("*_1epoch.png"))) == 6


def test_what_does_not_fit_is_refused(command, corpus, tmp_path):
    config = yaml.safe_load((corpus / "conf.yaml").read_text()) | {"system": "cyclegan", "system_conf": {}}
    (corpus / "cyclegan.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="converts emotions and keeps the speaker"):
        train(command(tmp_path, "--config", str(corpus / "cyclegan.yaml")))
    with pytest.raises(UserError, match="no utterance of the domain 'dan'; domains found: ann, bob, cy"):
        train(command(tmp_path, "--directions", "ann:dan,dan:ann"))
    (corpus / "bands.yaml").write_text(yaml.safe_dump({**MEL, "n_mels": 40}))
    words = command(tmp_path)
    words[words.index("--feats_contract") + 1] = str(corpus / "bands.yaml")
    with pytest.raises(UserError, match=r"n_mels: 32 .*, 40|n_mels: 40 .*, 32|multiple of 16 bands"):
        train(words)


def test_any_voice_to_a_known_one(evc, voice):
    wav = voice(0.7, f0=190.0)
    out, info = evc.convert(wav, 16000, target_speaker="bob")
    assert len(out) == len(wav) and out.dtype == np.float32 and info["target_speaker"] == "bob"
    again, _ = evc.convert(wav, 16000, target_speaker="bob")
    assert np.array_equal(out, again)  # no noise at inference
    other, _ = evc.convert(wav, 16000, target_speaker="cy")
    assert not np.allclose(out, other)
    own, _ = evc.convert(wav, 16000, speaker="ann")  # without a target, the speaker's own generator
    assert len(own) == len(wav)


def test_quiet_recordings_are_raised_first(evc, voice):
    wav = voice(0.6)
    loud, info = evc.convert(wav, 16000, target_speaker="bob")
    quiet, low = evc.convert(0.01 * wav, 16000, target_speaker="bob")
    assert level(0.01 * wav) < -40 and low["given"]["feats"].mean() > info["given"]["feats"].mean() - 0.2
    assert level(quiet) > level(0.01 * wav) + 5


def test_who_is_wanted_must_be_said(evc, voice):
    wav = voice(0.4)
    with pytest.raises(UserError, match="no voice was named: give a target speaker .--target_speaker., one of ann"):
        evc.convert(wav, 16000)
    with pytest.raises(UserError, match="'bobb' is unknown .did you mean bob"):
        evc.convert(wav, 16000, target_speaker="bobb")


def test_details_of_a_folder(trained, tmp_path, voice, capsys):
    for k in range(2):
        write_audio(tmp_path / "in" / f"take{k}.wav", voice(0.5 + 0.3 * k, f0=220.0, seed=k), 16000)
    words = ["--model", str(trained), "--target_speaker", "bob", "--details", "true", "--vocoder", "griffin_lim"]
    words += ["--vocoder_conf", "n_iter=4", str(tmp_path / "in"), str(tmp_path / "out")]
    convert([*words, "--speaker", "ann"])
    said = capsys.readouterr().out
    assert "2 converted" in said and "mean of 2: ssim_reconstruction" in said
    for folder, suffix in (("gen", "wav"), ("ref", "wav"), ("plots", "png")):
        assert sorted(p.name for p in (tmp_path / "out" / folder).iterdir()) == [f"take0.{suffix}", f"take1.{suffix}"]
    with open(tmp_path / "out/details.tsv", encoding="utf-8") as f:
        rows = list(csv.DictReader(f, delimiter="\t"))
    evc = EVC.from_pretrained(trained)
    source = evc.model.images(
        torch.from_numpy(analyze(read_audio(tmp_path / "in/take0.wav")[0], evc.contract)["feats"])
    )
    own = evc.model.through(source[0].numpy().T, evc.model.domains.index("ann"))[0].T
    assert float(rows[0]["ssim_reconstruction"]) == pytest.approx(ssim(source[0].numpy(), own), abs=0.02)
    assert [r["name"] for r in rows] == ["take0.wav", "take1.wav"] and -1 <= float(rows[1]["ssim_cycle"]) <= 1
    convert(words)  # whose voice it is need not be known, but then there is nothing to reconstruct
    assert "no SSIM" in capsys.readouterr().out


def test_details_of_one_recording(trained, tmp_path, voice):
    write_audio(tmp_path / "a.wav", voice(0.5), 16000)
    words = ["--model", str(trained), "--target_speaker", "cy", "--details", "true", "--vocoder", "griffin_lim"]
    convert([*words, str(tmp_path / "a.wav"), str(tmp_path / "out")])
    assert (tmp_path / "out/gen/a.wav").exists() and (tmp_path / "out/ref/a.wav").exists()
    with pytest.raises(UserError, match="expected a folder, because of --details"):
        convert([*words, str(tmp_path / "a.wav"), str(tmp_path / "a.wav")])


def test_trials_say_whose_voice(trained, corpus, tmp_path, voice):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("ann", "bob"):
        write_audio(data / "wav" / f"{name}-0.wav", voice(0.5, f0=VOICES[name]), 16000)
    write_table(data / "wav.scp", {f"{n}-0": str(data / "wav" / f"{n}-0.wav") for n in ("ann", "bob")})
    write_table(data / "utt2spk", {f"{n}-0": n for n in ("ann", "bob")})
    write_table(data / "spk2utt", {n: f"{n}-0" for n in ("ann", "bob")})
    write_table(data / "utt2emo", dict.fromkeys(("ann-0", "bob-0"), "neutral"))
    write_trials(data / "trials", [Trial("t", "ann-0", "bob", "neutral"), Trial("u", "bob-0", "bob", "neutral")])
    words = ["--vocoder", "griffin_lim", "--vocoder_conf", "n_iter=4", "--plot", "true"]
    convert(["--model", str(trained), "--data_dir", str(data), "--out", str(tmp_path / "out"), *words])
    assert sorted(p.name for p in (tmp_path / "out/wav").iterdir()) == ["t.wav", "u.wav"]
    assert sorted(p.name for p in (tmp_path / "out/plots").iterdir()) == ["t.png", "u.png"]
