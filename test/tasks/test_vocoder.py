"""VocoderTask: every vocoder trained for some steps from wavs, stopped, resumed, fine-tuned, and synthesised with."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.show_model import main as show_model
from evc2.bin.voc_train import main as voc_train
from evc2.bin.vocode import main as vocode
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel
from evc2.feats.mel_conversion import converter
from evc2.fileio.ark import ArkWriter
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import write_table
from evc2.nets.vocoders import build_generator, unit_range
from evc2.tasks.vocoder import VocoderTask
from evc2.vocoder import build_vocoder

CONTRACT = {
    "name": "tiny", "kind": "mel", "rate": 8000, "n_fft": 128, "hop": 32, "win": 128, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": None, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
CONF = {
    "hifigan": {
        "generator": {
            "channels": 8, "upsample_scales": [8, 4], "upsample_kernel_sizes": [16, 8], "resblock_kernel_sizes": [3],
            "resblock_dilations": [[1]],
        },
        "discriminator": {"net": "melgan", "scales": 1, "channels": 4, "max_downsample_channels": 4,
                          "downsample_scales": [2]},
    },
    "melgan": {
        "generator": {"channels": 32, "upsample_scales": [8, 4], "stacks": 1},
        "discriminator": {"net": "melgan", "scales": 1, "channels": 4, "max_downsample_channels": 4,
                          "downsample_scales": [2]},
        "adversarial": "hinge",
    },
    "wavernn": {
        "generator": {"upsample_scales": [8, 4], "rnn_dims": 12, "fc_dims": 12, "compute_dims": 8, "res_out_dims": 8,
                      "res_blocks": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    for name, count in (("train", 4), ("dev", 2)):
        folder = root / name
        folder.mkdir()
        FeatureContract.from_dict(CONTRACT).save(folder / "feats.yaml")
        wavs, spk, samples = {}, {}, {}
        with ArkWriter(folder / "feats.ark", folder / "feats.scp") as feats:
            for i in range(count):
                t = np.arange(2000 + 300 * i) / 8000
                wav = 0.3 * np.sin(2 * np.pi * (150 + 40 * i) * t) * (1 + 0.5 * np.sin(2 * np.pi * 5 * t)) / 1.5
                utt = f"s{i % 2}-{name}-{i}"
                write_audio(folder / f"{utt}.wav", wav, 8000)
                wavs[utt], spk[utt], samples[utt] = str(folder / f"{utt}.wav"), f"s{i % 2}", str(len(wav))
                feats[utt] = log_mel(read_audio(wavs[utt])[0], FeatureContract.from_dict(CONTRACT))
        write_table(folder / "wav.scp", wavs)
        write_table(folder / "utt2spk", spk)
        write_table(folder / "utt2num_samples", samples)
    FeatureContract.from_dict(CONTRACT).save(root / "feats.yaml")
    return root


def words(corpus: Path, vocoder: str, out: Path, *more: str, **config) -> list[str]:
    turns = ("main",) if vocoder == "wavernn" else ("discriminator", "generator")
    content = {
        "vocoder": vocoder, "vocoder_conf": CONF[vocoder],
        "optims": {turn: {"optim": "adam", "lr": 1e-3, "fused": True} for turn in turns},
        "batch_size": 3, "crop_frames": 12, "num_iters_per_epoch": 3, "max_epoch": 2, "ema_decay": 0.5,
        "checkpoint_interval": 1e-7, "log_interval": 2, "use_tensorboard": False, "use_matplotlib": False, **config,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "conf.yaml").write_text(yaml.safe_dump(content))
    return [
        "--config", str(out / "conf.yaml"), "--output_dir", str(out / "exp"), "--train_dir", str(corpus / "train"),
        "--valid_dir", str(corpus / "dev"), "--feats_contract", str(corpus / "feats.yaml"), "--resume", "true", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Folder of a training of each vocoder."""
    made = {}
    for vocoder in CONF:
        out = tmp_path_factory.mktemp(vocoder)
        voc_train(words(corpus, vocoder, out, use_tensorboard=True, media_interval=1))
        made[vocoder] = out / "exp"
    return made


@pytest.mark.parametrize("vocoder", CONF)
def test_a_training_is_a_vocoder(trained, corpus, vocoder, tmp_path):
    out = trained[vocoder]
    best = out / f"valid.{'loss' if vocoder == 'wavernn' else 'mel_l1'}.best.pth"
    assert best.exists() and list((out / "tensorboard" / "valid").glob("events*"))
    vocode(["--data_dir", str(corpus / "dev"), "--vocoder", str(out), "--out", str(tmp_path)])
    for line in (tmp_path / "wav.scp").read_text().splitlines():
        utt, path = line.split()
        wav, rate = read_audio(path)
        assert rate == 8000 and len(wav) == len(read_audio(corpus / "dev" / f"{utt}.wav")[0])
        assert np.isfinite(wav).all() and np.abs(wav).max() > 0
    contract = FeatureContract.from_dict(CONTRACT)
    mel = {"feats": log_mel(wav, contract)}
    sounds = [build_vocoder(str(path))(mel, contract=contract) for path in (out, best)]
    assert np.array_equal(*sounds)
    with pytest.raises(UserError, match="fmin: 50.0 .features., 0.0 .vocoder."):
        build_vocoder(str(out), FeatureContract.from_dict({**CONTRACT, "fmin": 50}))
    with pytest.raises(UserError, match="state of a training run"):
        build_vocoder(str(out / "checkpoint.pth"))


@pytest.mark.parametrize("vocoder", ["hifigan", "wavernn"])
def test_resumed_equals_undisturbed(trained, corpus, vocoder, tmp_path):
    command = words(corpus, vocoder, tmp_path, "--max_epoch", "1", use_tensorboard=False)
    voc_train(command)
    voc_train([*command, "--max_epoch", "2"])
    a, b = (torch.load(p / "latest.pth", weights_only=True) for p in (tmp_path / "exp", trained[vocoder]))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("vocoder", ["melgan", "wavernn"])
def test_fine_tuning_on_generated_mels_starts_from_given_weights(trained, corpus, vocoder, tmp_path):
    more = ["--init_vocoder", str(trained[vocoder]), "--train_feats_dir", str(corpus / "train")]
    command = words(corpus, vocoder, tmp_path, *more, "--valid_feats_dir", str(corpus / "dev"), max_epoch=1)
    turn = "main" if vocoder == "wavernn" else "generator"
    voc_train([*command, "--optims", f"{turn}.lr=0.0"])
    before, after = (
        dict(build_vocoder(str(p)).net.named_parameters()) for p in (trained[vocoder], tmp_path / "exp")
    )  # not the running statistics of norms, which follow the new features
    assert before.keys() == after.keys()
    assert all(torch.allclose(value, after[name], rtol=1e-4, atol=1e-6) for name, value in before.items())
    with pytest.raises(UserError, match="go together"):
        voc_train(command[:-2])


@pytest.mark.long
def test_two_processes_train_like_one(corpus, tmp_path):
    """The generator's pass is made outside of the wrapped model: its gradients must be averaged all the same."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "evc2.bin.voc_train"]
    subprocess.run([*run, *words(corpus, "hifigan", tmp_path / "one", batch_size=4)], env=environment, check=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    dist = ["--dist_world_size", "2", "--dist_master_addr", "127.0.0.1", "--dist_master_port", str(port)]
    dist += ["--dist_backend", "gloo", "--multiprocessing_distributed", "false"]
    command = [*run, *words(corpus, "hifigan", tmp_path / "two", batch_size=4), *dist, "--dist_rank"]
    jobs = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(2)]
    assert [j.wait(200) for j in jobs] == [0, 0]
    one, two = (torch.load(tmp_path / n / "exp/latest.pth", weights_only=True) for n in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=5e-4)


def test_mistakes_are_named(corpus, tmp_path):
    with pytest.raises(UserError, match="did you mean hifigan"):
        voc_train(words(corpus, "hifigan", tmp_path, "--vocoder", "hifigen"))
    with pytest.raises(UserError, match="did you mean generator"):
        voc_train(words(corpus, "hifigan", tmp_path, vocoder_conf={"generater": {}}))
    with pytest.raises(UserError, match="LOW HIGH"):
        voc_train(words(corpus, "hifigan", tmp_path, "--gain", "1.0", "0.5"))
    with pytest.raises(UserError, match="hop 32"):
        voc_train(words(corpus, "hifigan", tmp_path, vocoder_conf={"generator": {"version": "v1"}}))


# Part of a configuration's name -> the contract that it is for, where that is not the universal HiFi-GAN's.
FEATURES = {"vaegan": "vaegan", "seq2seq": "seq2seq", "wavernn_wa": "seq2seq"}
CONFIGS = sorted((Path(__file__).parents[2] / "egs/TEMPLATE/voc1/conf").rglob("train_*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_configuration_is_a_vocoder(path):
    """Every key is one that exists, and the sizes fit the contract that it is for, mostly the universal HiFi-GAN's."""
    name = next((name for part, name in FEATURES.items() if part in path.stem), "hifigan")
    contract = FeatureContract.load(
        path.parents[0 if path.parent.name == "conf" else 1] / f"../../evc1/conf/feats_{name}.yaml"
    )
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    args = VocoderTask.get_parser().parse_args(["--config", str(path)])
    assert args.vocoder == config["vocoder"] and set(args.optims) <= set(VocoderTask.model_class(args).turns)
    with torch.device("meta"):
        generator = build_generator(config["vocoder"], config["vocoder_conf"]["generator"], contract)
    assert sum(p.numel() for p in generator.parameters()) > 0


def test_show_model_counts_the_published_generator(capsys):
    conf = Path(__file__).parents[2] / "egs/TEMPLATE"
    words = ["--config", str(conf / "voc1/conf/tuning/train_hifigan_repo.yaml")]
    with pytest.raises(UserError, match="give --contract"):
        show_model(words)
    show_model([*words, "--contract", str(conf / "evc1/conf/feats_hifigan.yaml")])
    # 13.92 million (Kong et al., table 1), and the lengths of the kernels, which weight norm keeps apart.
    table = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert table["generator"] == "13,936,130" and set(table) == {"generator", "discriminator", "total"}


def test_wavernn_of_the_seq2seq_conversion(capsys):
    """Both trainings have one network: the published one, whose mels are levels of -100 to 0 dB as 0 to 1."""
    conf = Path(__file__).parents[2] / "egs/TEMPLATE"
    contract = FeatureContract.load(conf / "evc1/conf/feats_seq2seq.yaml")
    settings = []
    for name in ("wa1", "wa2"):
        path = conf / f"voc1/conf/tuning/train_wavernn_{name}.yaml"
        show_model(["--config", str(path), "--contract", str(conf / "evc1/conf/feats_seq2seq.yaml")])
        assert "total 4,480,935" in " ".join(capsys.readouterr().out.split())  # 4.481 M with 512 classes
        settings.append(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert settings[0]["vocoder_conf"] == settings[1]["vocoder_conf"]
    net = build_generator("wavernn", settings[0]["vocoder_conf"]["generator"], contract)
    assert (net.hop, net.n_mels, net.classes, net.pad) == (200, 80, 512, 2)
    assert [round(value, 4) for value in net.mel_range.tolist()] == [-11.5129, 0.0]  # ln of 1e-5 and of 1
    assert [(c["crop_frames"] - 2 * net.pad) * net.hop for c in settings] == [1000, 1000]
    levels = FeatureContract.from_dict({**contract.to_dict(), "log_base": "db", "scale": [-100, 0]}, "levels")
    mel = np.random.default_rng(0).uniform(-11.5, 0, (9, 80)).astype(np.float32)
    as_levels = converter(contract, levels)(mel)
    low, high = net.mel_range
    assert np.allclose((mel - low.item()) / (high - low).item(), as_levels, atol=1e-6)
    assert unit_range(levels) == (0.0, 1.0)


def test_a_range_goes_with_the_weights(corpus, tmp_path):
    """Training, copying and fine-tuning with mel_range; weights without it are another network's."""
    conf = {"generator": {**CONF["wavernn"]["generator"], "mel_range": "contract"}}
    voc_train(words(corpus, "wavernn", tmp_path, max_epoch=1, vocoder_conf=conf))
    vocoder = build_vocoder(str(tmp_path / "exp"))
    assert vocoder.net.mel_range.tolist() == pytest.approx([np.log(1e-5), 0.0])
    mel = {"feats": np.full((20, 10), -5, np.float32)}
    assert vocoder(mel, contract=FeatureContract.from_dict(CONTRACT)).shape == (20 * 32,)
    more = ["--init_vocoder", str(tmp_path / "exp")]
    voc_train(words(corpus, "wavernn", tmp_path / "next", *more, max_epoch=1, vocoder_conf=conf))
    with pytest.raises(UserError, match="e.g. mel_range; use the same generator settings"):
        voc_train(words(corpus, "wavernn", tmp_path / "other", *more, max_epoch=1))
