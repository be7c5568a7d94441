"""The VQ-VAE from audio to voices: its phases through the task, units, and conversions by what they left."""

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.convert import main as convert
from evc2.bin.evc_train import main as train
from evc2.bin.pack import main as pack
from evc2.convert import EVC
from evc2.convert.units import load_units
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import analyze
from evc2.feats.stats import Stats
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import Trial, write_table, write_trials

MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 256, "hop": 64, "win": 256, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "10", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
SPEAKERS = {"S1": 220.0, "S2": 130.0, "V1": 110.0, "V2": 180.0}
ENCODER = {"channels": 8, "embed_dim": 4, "n_embed": 8, "n_res": 1}
ADAM = {"optim": "adam", "lr": 1e-3}
COMMON = {
    "system": "vqvae", "domain_by": "speaker", "batch_size": 4, "crop_frames": 32, "num_iters_per_epoch": 3,
    "max_epoch": 2, "gain": [0.3, 1.0], "num_valid_trials": 2, "media_interval": 1, "keep_nbest_models": 2,
    "best_model_criterion": [["valid", "mel_l1", "min"]], "seed": 0,
}  # fmt: skip
MELGAN = {
    "generator": {"channels": 16, "upsample_scales": [8, 8, 4], "stacks": 1},
    "discriminator": {"scales": 1, "channels": 4, "max_downsample_channels": 8, "downsample_scales": [2, 2]},
    "mel_weight": 5.0, "cycle": "both", "cycle_weight": 1.0,
}  # fmt: skip
TURNS = {"discriminator": ADAM | {"start_step": 2}, "generator": ADAM}
PHASES = {
    "vqvae": {
        "system_conf": {
            "voices": ["V*"], "encoder": ENCODER, "adversary": "alternating", "classifier": {"channels": 4},
        },
        "optims": {"speaker_classifier": ADAM, "vqvae": ADAM | {"grad_clip": 5.0}},
    },
    "vocoder": {
        "system_conf": {"voices": ["V*"], "trains": "vocoder", "encoder": ENCODER, **MELGAN},
        "optims": TURNS, "ignore_init_mismatch": True,
    },
    "vocoder_encoder": {
        "system_conf": {"voices": ["V*"], "trains": "vocoder_encoder", "encoder": ENCODER, **MELGAN},
        "optims": TURNS, "ignore_init_mismatch": True,
    },
    "joint": {
        "system_conf": {
            "voices": ["*"], "trains": "joint", "encoder": ENCODER, "adversary": "reversal", "encoder_lr": 2.0,
            "classifier": {"channels": 4}, **MELGAN,
        },
        "optims": TURNS,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, voice):
    """Folder with train/, dev/, stats.npz, feats.yaml and a configuration for each phase."""
    root, contract = tmp_path_factory.mktemp("units"), FeatureContract.from_dict(MEL)
    contract.save(root / "feats.yaml")
    for name, conf in PHASES.items():
        (root / f"{name}.yaml").write_text(yaml.safe_dump({**COMMON, **conf}))
    stats = Stats()
    for part, count in (("train", 3), ("dev", 1)):
        folder = root / part
        folder.mkdir()
        contract.save(folder / "feats.yaml")
        utts, samples, paths = {}, {}, {}
        for speaker, f0 in SPEAKERS.items():
            for k in range(count):
                utt = f"{speaker}-{part}{k}"
                wav = voice(0.4 + 0.1 * k, f0=f0, seed=k)
                paths[utt] = str(folder / f"{utt}.wav")
                write_audio(paths[utt], wav, 16000)
                utts[utt], samples[utt] = speaker, str(len(wav))
                found = analyze(wav, contract)
                if part == "train":
                    stats.add(speaker, "neutral", found["feats"], None, found["power"])
        write_table(folder / "utt2spk", utts)
        write_table(folder / "utt2emo", dict.fromkeys(utts, "neutral"))
        write_table(folder / "utt2num_samples", samples)
        write_table(folder / "wav.scp", paths)
        from evc2.bin.extract_feats import main as extract_feats

        extract_feats(["--data_dir", str(folder), "--contract", str(root / "feats.yaml"), "--out", str(folder)])
        write_trials(folder / "trials", [Trial(f"{u}-to-V1", u, "V1", "neutral") for u, s in utts.items() if s != "V1"])
    stats.save(root / "stats.npz")
    return root


def words(root, phase, out, *more):
    return [
        "--config", str(root / f"{phase}.yaml"), "--output_dir", str(out), "--feats_contract", str(root / "feats.yaml"),
        "--stats", str(root / "stats.npz"), "--train_dir", str(root / "train"), "--valid_dir", str(root / "dev"),
        "--valid_trials", str(root / "dev" / "trials"), "--directions", "", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Phase -> model directory; the vocoders start from the VQ-VAE."""
    made = {name: tmp_path_factory.mktemp("trained") / name for name in PHASES}
    for phase, out in made.items():
        init = ["--init_param", str(made["vqvae"] / "latest.pth")] if phase.startswith("vocoder") else []
        train(words(corpus, phase, out, *init))
    return made


def load(folder, name="latest.pth"):
    return torch.load(folder / name, weights_only=True)


def test_phases_hand_on_what_they_should(trained):
    first, frozen, learning = (load(trained[name]) for name in ("vqvae", "vocoder", "vocoder_encoder"))
    same = [k for k in first if k.startswith(("encoder.", "decoder.", "speaker_table."))]
    assert len(same) > 50 and all(torch.equal(first[k], frozen[k]) for k in same)
    assert not torch.equal(first["encoder.enc_b.0.weight"], learning["encoder.enc_b.0.weight"])
    assert torch.equal(first["decoder.layers.0.weight"], learning["decoder.layers.0.weight"])
    assert frozen["voice_table.weight"].shape[0] == 2 and load(trained["joint"])["voice_table.weight"].shape[0] == 4
    config = yaml.safe_load((trained["vocoder"] / "config.yaml").read_text())
    assert config["system_conf"]["speakers"] == sorted(SPEAKERS) and config["system_conf"]["voices"] == ["V1", "V2"]


@pytest.mark.parametrize("phase", PHASES)
def test_any_recording_gets_a_voice(trained, phase, voice, tmp_path):
    out = trained[phase]
    assert (out / "valid.mel_l1.best.pth").exists() and list((out / "tensorboard" / "valid").glob("events*"))
    assert list((out / "plots").glob("*.png"))
    stranger = voice(0.3, f0=150.0, seed=9)
    write_audio(tmp_path / "in.wav", stranger, 16000)
    options = [] if phase != "vqvae" else ["--vocoder", "griffin_lim"]
    made = {}
    for target in ("V1", "V2"):
        command = ["--model", str(out), "--target_speaker", target, *options]
        convert([*command, str(tmp_path / "in.wav"), str(tmp_path / f"{target}.wav")])
        made[target], rate = read_audio(tmp_path / f"{target}.wav")
        assert rate == 16000 and len(made[target]) == len(stranger) and np.abs(made[target]).max() > 0
    assert not np.allclose(made["V1"], made["V2"])
    unknown = "S1" if phase.startswith("vocoder") else "V3"
    with pytest.raises(UserError, match=f"'{unknown}' is unknown.*V1"):
        EVC.from_pretrained(out).convert(stranger, 16000, target_speaker=unknown)


def test_a_vocoder_that_is_asked_for_takes_precedence(trained, voice):
    from evc2.vocoder import build_vocoder

    contract = FeatureContract.from_dict(MEL)
    wav = voice(0.3, f0=150.0, seed=9)
    own = EVC.from_pretrained(trained["vocoder"]).convert(wav, 16000, target_speaker="V1")[0]
    evc = EVC.from_pretrained(trained["vocoder"], vocoder=build_vocoder("griffin_lim", contract))
    other = evc.convert(wav, 16000, target_speaker="V1")[0]
    assert len(own) == len(other) and not np.allclose(own, other)


def test_a_pack_leaves_out_what_only_training_needs(trained, voice, tmp_path):
    model = trained["joint"]
    pack(["--model", str(model), "--model_file", "latest.pth", "--out", str(tmp_path / "p.zip")])
    wav = voice(0.3, f0=150.0, seed=9)
    a, b = (
        EVC.from_pretrained(p, model_file=f).convert(wav, 16000, target_speaker="S2")[0]
        for p, f in ((model, "latest.pth"), (tmp_path / "p.zip", None))
    )
    assert np.array_equal(a, b)
    assert (tmp_path / "p.zip").stat().st_size < 0.9 * (model / "latest.pth").stat().st_size


@pytest.mark.parametrize("samples", [100, 255, 256, 257, 3000])
def test_units_have_a_row_for_every_code_of_the_true_length(trained, samples):
    encode = load_units(trained["vocoder"])
    wav = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    units = encode(wav, 16000)
    rows = -(-samples // 256)  # 4 frames of 64 samples
    assert units.bottom.shape == (rows,) and units.top.shape == (-(-rows // 2),) and units.dense.shape == (rows, 8)
    assert units.rows("bottom").shape == (rows, 8) and (units.rows("bottom").sum(1) == 1).all()
    both = units.rows("both")
    assert both.shape == (rows, 16) and (both.sum(1) == 2).all()
    assert [int(r[8:].argmax()) for r in both] == [int(units.top[i // 2]) for i in range(rows)]
    assert units.rows("dense") is units.dense
    with pytest.raises(UserError, match="bottom, both, dense"):
        units.rows("top")


def test_averages_leave_the_codebooks(trained):
    out = trained["vqvae"]
    mean = load(out, "valid.mel_l1.ave_2best.pth")
    best = load(out, "valid.mel_l1.best.pth")
    models = [load(out, f"{k}epoch.pth") for k in (1, 2)]
    name = "decoder.layers.0.weight"
    assert torch.allclose(mean[name], (models[0][name] + models[1][name]) / 2)
    assert not torch.equal(models[0]["encoder.quantize_b.codes"], models[1]["encoder.quantize_b.codes"])
    assert torch.equal(mean["encoder.quantize_b.codes"], best["encoder.quantize_b.codes"])


@pytest.mark.parametrize("phase", ["vqvae", "joint"])
def test_resumed_equals_undisturbed(trained, corpus, phase, tmp_path):
    command = words(corpus, phase, tmp_path / "exp")
    train([*command, "--max_epoch", "1"])
    train([*command, "--resume", "true"])
    a, b = load(tmp_path / "exp"), load(trained[phase])
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_mistakes_are_named(corpus, trained, tmp_path):
    with pytest.raises(UserError, match="domain_by speaker"):
        train(words(corpus, "vqvae", tmp_path, "--domain_by", "emotion"))
    with pytest.raises(UserError, match=r"no speaker is like X\*.*S1"):
        train(words(corpus, "vqvae", tmp_path, "--system_conf", "voices=[X*]"))
    with pytest.raises(UserError, match="no turn 'speaker_classifier' as it is configured; turns: vqvae"):
        train(words(corpus, "vqvae", tmp_path, "--system_conf", "adversary=none"))
    with pytest.raises(UserError, match="trained VQ-VAE"):
        train(words(corpus, "vocoder", tmp_path))
    with pytest.raises(UserError, match="has no units"):
        load_units(_other_system(tmp_path / "other"))


def _other_system(folder):
    """A model directory of a system without units."""
    from evc2.systems import build

    conf = {"domains": ["a", "b"], "dim": 4, "encoder": {"n_res": 1}, "generator": {"n_res": 1},
            "discriminator": {"dim": 4}, "window": 32}  # fmt: skip
    contract = {**MEL, "n_mels": 16, "log_base": "db", "scale": [-100, 0]}
    folder.mkdir()
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"system": "vaegan", "system_conf": conf, "feats_contract": contract})
    )
    stats = Stats()
    stats.add("a", "neutral", np.zeros((5, 16), np.float32), None, np.zeros(5, np.float32))
    stats.save(folder / "stats.npz")
    torch.save(build("vaegan", conf).state_dict(), folder / "latest.pth")
    return folder
