"""The emotion-transfer TTS through the task: training, resuming, starting from other labels, speaking."""

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.convert import main as convert
from evc2.bin.evc_train import main as train
from evc2.bin.gta import main as gta
from evc2.bin.pack import main as pack
from evc2.bin.show_contract import main as show_contract
from evc2.bin.synthesize import main as synthesize
from evc2.convert import EVC, TTS
from evc2.convert.tts import Controls
from evc2.convert.tts_batch import other_speakers, read_list
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import analyze
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import DataDir, Trial, read_table, write_table, write_trials

MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 256, "hop": 64, "win": 256, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
}  # fmt: skip
TONES = {"a": 300.0, "b": 900.0, "c": 2500.0, "sil": 0.0}
CONF = {
    "system": "emotts",
    "system_conf": {
        "hidden": 16,
        "encoder": {"inner": 24, "kernel": 3, "dropout": 0.1},
        "reference": {"channels": [4, 4], "size": 8},
        "predictor": {"inner": 24, "dropout": 0.1},
        "decoder": {"layers": 2, "heads": 2, "kernel": 5, "inner": 24, "dropout": 0.1},
    },
    "optims": {"main": {"optim": "adamw", "lr": 5e-3, "grad_clip": 1.0, "fused": True}},
    "schedulers": {"main": {"scheduler": "noamanneal", "warmup_steps": 3, "anneal_steps": [8]}},
    "batch_size": 4, "num_iters_per_epoch": 5, "max_epoch": 2, "num_valid_trials": 2, "media_interval": 1,
    "best_model_criterion": [["valid", "mcd_gv", "min"], ["valid", "loss", "min"]], "keep_nbest_models": 2,
    "ema_decay": 0.9, "seed": 0,
}  # fmt: skip
SETS = {
    "train": [("s1", e, i) for e in ("neutral", "sad", "other") for i in range(3)]
    + [("s2", e, i) for e in ("neutral", "sad") for i in range(3)],
    "dev": [(s, e, 9) for s in ("s1", "s2") for e in ("neutral", "sad")],
}


def write_set(folder, rows, contract, stats=None):
    """Tones for phones; sad ones are longer. Words of an utterance are those of its number."""
    folder.mkdir(parents=True)
    (folder / "feats.yaml").write_text(yaml.safe_dump(contract.to_dict()))
    tables = {name: {} for name in ("utt2spk", "utt2emo", "wav.scp", "phones", "text", "utt2num_frames")}
    writers = {
        name: ArkWriter(folder / f"{name}.ark", folder / f"{name}.scp") for name in ("feats", "power", "durations")
    }
    with writers["feats"] as feats, writers["power"] as power, writers["durations"] as durations:
        for speaker, emotion, number in rows:
            utt = f"{speaker}-{emotion}-{number}"
            rng = np.random.default_rng(number)
            phones = ["sil", *rng.choice(list("abc"), 5), "sil"]
            frames = rng.integers(4, 8, len(phones)) * (2 if emotion == "sad" else 1)
            wav = [
                0.3 * np.sin(2 * np.pi * TONES[p] * np.arange(64 * n) / 16000)
                for p, n in zip(phones, frames, strict=True)
            ]
            wav = np.concatenate(wav).astype(np.float32)
            write_audio(folder / f"wav/{utt}.wav", wav, 16000)
            made = analyze(wav, contract)
            feats[utt], power[utt], durations[utt] = made["feats"], made["power"], frames.astype(np.float32)
            values = (
                speaker,
                emotion,
                str(folder / f"wav/{utt}.wav"),
                " ".join(phones),
                "Kids talk.",
                str(len(made["feats"])),
            )
            for table, value in zip(tables.values(), values, strict=True):
                table[utt] = value
            if stats is not None:
                stats.add(speaker, emotion, made["feats"], duration=len(wav) / 16000)
    for name, table in tables.items():
        write_table(folder / name, table)
    (folder / "g2p.yaml").write_text("kind: arpabet\nlanguage: en-us\nlexicon: null\n")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Folder with train/, dev/, stats.npz, feats.yaml and conf.yaml."""
    root = tmp_path_factory.mktemp("emotts")
    contract, stats = FeatureContract.from_dict(MEL), Stats()
    (root / "feats.yaml").write_text(yaml.safe_dump(contract.to_dict()))
    write_set(root / "train", SETS["train"], contract, stats)
    write_set(root / "dev", SETS["dev"], contract)
    trials = [Trial(f"{s}-neutral-9-to-sad", f"{s}-neutral-9", s, "sad", f"{s}-sad-9") for s in ("s1", "s2")]
    write_trials(root / "dev" / "trials", trials)
    stats.save(root / "stats.npz")
    (root / "conf.yaml").write_text(yaml.safe_dump(CONF))
    return root


def command(corpus, out, conf="conf.yaml", *more):
    return [
        "--config", str(corpus / conf), "--output_dir", str(out), "--feats_contract", str(corpus / "feats.yaml"),
        "--stats", str(corpus / "stats.npz"), "--train_dir", str(corpus / "train"), "--valid_dir", str(corpus / "dev"),
        "--valid_trials", str(corpus / "dev" / "trials"), "--directions", "neutral:sad", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus):
    train(command(corpus, corpus / "exp"))
    return corpus / "exp"


def test_labels_of_the_data_are_kept_with_the_model(trained):
    conf = yaml.safe_load((trained / "config.yaml").read_text())["system_conf"]
    assert conf["speakers"] == ["s1", "s2"] and conf["emotions"] == ["neutral", "sad"]  # `other` is nobody's emotion
    assert conf["tokens"][:4] == ["<pad>", "<unk>", "sil", "sp"] and {"a", "b", "c"} <= set(conf["tokens"])
    assert "AA1" not in conf["tokens"]  # a row that nothing trains would say noise; a phone of the data stands in
    assert conf["g2p"] == {"kind": "arpabet", "language": "en-us", "lexicon": None, "silence": True}
    weights = torch.load(trained / "latest.pth", weights_only=True)
    natural = np.concatenate(list(ScpReader(trained.parent / "train/feats.scp").values()))
    assert np.allclose(weights["feats_mean"], natural.mean(0), atol=1e-3)


def test_it_scores_and_shows_spoken_trials(trained):
    assert (trained / "valid.mcd_gv.best.pth").exists() and (trained / "valid.loss.best.pth").exists()
    assert [path.name for path in sorted((trained / "plots").glob("*.png"))] == [
        "neutral_to_sad_1epoch.png",
        "neutral_to_sad_2epoch.png",
    ]


def test_a_resumed_training_ends_bit_equal(corpus, trained, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "exp"
    train(command(corpus, out, "conf.yaml", "--max_epoch", "1"))
    assert not (out / "2epoch.pth").exists()
    train(command(corpus, out, "conf.yaml", "--resume", "true"))
    assert "continuing at epoch 2" in caplog.text
    one, two = (torch.load(path / "latest.pth", weights_only=True) for path in (trained, out))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_other_labels_take_their_rows_from_a_trained_model(corpus, trained, tmp_path):
    conf = {**CONF, "max_epoch": 1, "num_iters_per_epoch": 1, "ema_decay": 0.0}
    conf["optims"] = {"main": {"optim": "sgd", "lr": 0.0}}
    tokens = ["<pad>", "<unk>", "new", "c", "sil", "b", "a"]
    conf["system_conf"] = {**conf["system_conf"], "emotions": ["angry", "sad", "neutral"], "tokens": tokens}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    words = command(corpus, tmp_path / "exp", tmp_path / "conf.yaml", "--init_param", str(trained / "latest.pth"))
    train(words)
    old = yaml.safe_load((trained / "config.yaml").read_text())["system_conf"]
    before, after = (torch.load(path / "latest.pth", weights_only=True) for path in (trained, tmp_path / "exp"))
    rows = after["encoder.embedding.weight"]
    for name in ("c", "sil", "b", "a"):
        assert torch.equal(rows[tokens.index(name)], before["encoder.embedding.weight"][old["tokens"].index(name)]), (
            name
        )
    assert torch.equal(after["emotion_tokens.tokens"][1], before["emotion_tokens.tokens"][1])
    assert torch.equal(after["emotion_tokens.tokens"][2], before["emotion_tokens.tokens"][0])
    assert torch.equal(after["voice.weight"], before["voice.weight"])
    assert torch.equal(after["decoder.heads.0.weight"], before["decoder.heads.0.weight"])

    # From there to data that lack a phone which it knows: the phone stays, with its row.
    del conf["system_conf"]["tokens"]
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    start = str(tmp_path / "exp" / "latest.pth")
    train(command(corpus, tmp_path / "next", tmp_path / "conf.yaml", "--init_param", start))
    tokens_now = yaml.safe_load((tmp_path / "next/config.yaml").read_text())["system_conf"]["tokens"]
    last = torch.load(tmp_path / "next" / "latest.pth", weights_only=True)["encoder.embedding.weight"]
    assert torch.equal(last[tokens_now.index("new")], rows[tokens.index("new")])


@pytest.mark.parametrize(
    "edit, message",
    [
        ({"hidden": 24}, r"has \(32, 16\) there and \(48, 24\) here; the sizes"),
        ({"encoder": {"layers": 2, "inner": 24, "kernel": 3}}, "no such weight there"),
    ],
)
def test_a_start_of_other_sizes_is_refused(corpus, trained, tmp_path, edit, message):
    conf = {**CONF, "system_conf": {**CONF["system_conf"], **edit}}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    words = command(corpus, tmp_path / "exp", tmp_path / "conf.yaml", "--init_param", str(trained / "latest.pth"))
    with pytest.raises(UserError, match=message):
        train(words)


def test_a_training_does_not_go_on_with_other_labels(corpus, trained, tmp_path):
    out = tmp_path / "exp"
    train(command(corpus, out, "conf.yaml", "--max_epoch", "1"))
    conf = {**CONF, "system_conf": {**CONF["system_conf"], "speakers": ["s1", "s2", "s3"]}}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    with pytest.raises(UserError, match="with other speakers than the data have now .None became s3."):
        train(command(corpus, out, tmp_path / "conf.yaml", "--resume", "true"))


def test_a_start_without_its_labels_is_refused(corpus, trained, tmp_path):
    (tmp_path / "lone.pth").write_bytes((trained / "latest.pth").read_bytes())
    with pytest.raises(UserError, match="expected the configuration of the model that training starts from"):
        train(command(corpus, tmp_path / "exp", "conf.yaml", "--init_param", str(tmp_path / "lone.pth")))


@pytest.mark.parametrize(
    "edit, message",
    [
        ({"unlabelled": ["*"], "emotions": []}, None),
        ({"hiden": 3}, "did you mean hidden"),
        ({"spk_embed_dim": 4}, "there are no speaker vectors"),
        ({"speakers": ["s1"]}, "speakers s2 are not among"),
    ],
)
def test_configurations(corpus, tmp_path, edit, message):
    conf = {**CONF, "max_epoch": 1, "num_iters_per_epoch": 1, "system_conf": {**CONF["system_conf"], **edit}}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    words = command(corpus, tmp_path / "exp", tmp_path / "conf.yaml")
    if message is None:
        return train(words)
    with pytest.raises(UserError, match=message):
        train(words)


@pytest.fixture(scope="module")
def tts(trained):
    from evc2.vocoder import build_vocoder

    return TTS.from_pretrained(trained, vocoder=build_vocoder("griffin_lim", FeatureContract.from_dict(MEL)))


def test_speech_is_as_long_as_its_frames(tts):
    wav, info = tts.synthesize("{sil a b c sil}", "s2", "sad")
    assert info["phones"] == ["sil", "a", "b", "c", "sil"]
    assert len(info["feats"]) == info["durations"].sum() and abs(len(wav) - 64 * len(info["feats"])) <= 64
    assert info["scores"] == {"neutral": 0.0, "sad": 1.0} and np.isfinite(wav).all()


def test_unknown_words_and_phones_are_spoken_somehow(tts):
    wav, info = tts.synthesize("Xyzzy 42, naïve 🙂!", "s1", "neutral")
    assert len(wav) and info["phones"][0] == info["phones"][-1] == "sil"


@pytest.mark.parametrize("kind, said", [("arpabet", ["sil", "D", "a", "sil"]), ("espeak", ["sil", "d", "a", "sil"])])
def test_phones_in_braces_are_read_as_a_lexicon_is(tts, monkeypatch, kind, said):
    monkeypatch.setitem(tts.model.g2p, "kind", kind)
    assert tts.phones("{d a}") == tts.phones("{sil d a sil}") == said


def test_silence_around_a_recording_is_not_heard(tts, corpus):
    wav, rate = read_audio(read_table(corpus / "dev/wav.scp")["s2-sad-9"])
    hiss = np.random.default_rng(0).normal(scale=1e-5, size=(2, rate)).astype(np.float32)
    short, long = (np.concatenate([hiss[0, :n], wav, hiss[1, :n]]) for n in (rate // 20, rate))
    near, far = (tts.synthesize("{a b}", "s1", reference=(x, rate))[1]["scores"] for x in (short, long))
    assert near == pytest.approx(far, abs=1e-2)
    stereo = tts.synthesize("{a b}", "s1", reference=(np.stack([long, long], 1), rate))[1]["scores"]
    assert stereo == pytest.approx(far, abs=1e-4)
    assert len(tts.reference(long, rate)["feats"]) == pytest.approx(len(tts.reference(short, rate)["feats"]), abs=3)


def test_soft_token_of_a_recording(tts):
    rng = np.random.default_rng(0)
    _, info = tts.synthesize("{a b}", "s1", reference=(0.1 * rng.normal(size=8000).astype(np.float32), 16000))
    assert sum(info["scores"].values()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"speaker": "s1"}, "either an emotion"),
        ({"emotion": "sad"}, "give a speaker .*one of s1, s2"),
        ({"speaker": "s3", "emotion": "sad"}, "speaker 's3' is unknown"),
        ({"speaker": "s1", "emotion": "mad"}, "emotion 'mad' is unknown.*did you mean sad"),
        ({"speaker": "s1", "reference": (np.zeros(8000, np.float32), 16000)}, "is silent"),
    ],
)
def test_what_is_asked_is_checked(tts, asked, message):
    with pytest.raises(UserError, match=message):
        tts.synthesize("{a}", **asked)


@pytest.mark.parametrize("bad", [{"speed": 0.0}, {"intensity": 3}, {"pitch": 40}, {"speed": float("nan")}])
def test_controls_have_ranges(bad):
    with pytest.raises(UserError, match="expected a number from"):
        Controls(**bad)


def test_a_voice_of_its_own_needs_a_model_on_vectors(tts):
    with pytest.raises(UserError, match="EmoTTS. knows the voices of its training by name.*one of s1, s2"):
        tts.voice(np.ones(16000, np.float32), 16000)


def test_recordings_are_not_converted(trained, corpus, tmp_path):
    source = next(iter(read_table(corpus / "dev/wav.scp").values()))
    with pytest.raises(UserError, match="speaks text instead of converting"):
        convert(["--model", str(trained), "--emotion", "sad", source, str(tmp_path / "out.wav")])
    evc = EVC.from_pretrained(trained)
    with pytest.raises(UserError, match="evc2 synthesize"):
        evc.convert(*read_audio(source), "sad")


def test_trials_are_spoken_by_either_command(trained, corpus, tmp_path):
    common = ["--model", str(trained), "--data_dir", str(corpus / "dev"), "--vocoder", "griffin_lim"]
    for name, main, more in (
        ("hard", convert, []),
        ("soft", convert, ["--style", "reference"]),
        ("same", synthesize, ["--tokens", "soft"]),
    ):
        main([*common, "--out", str(tmp_path / name), *more])
        assert set(read_table(tmp_path / name / "wav.scp")) == {"s1-neutral-9-to-sad", "s2-neutral-9-to-sad"}
    soft, same, hard = (read_audio(tmp_path / n / "wav/s1-neutral-9-to-sad.wav")[0] for n in ("soft", "same", "hard"))
    assert np.array_equal(soft, same)
    assert len(soft) != len(hard) or not np.allclose(soft, hard, atol=1e-4)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--style", "mean"], "style 'mean'.*offers token, reference"),
        (["--duration", "scale"], "duration scale: this system speaks text"),
        (["--f0", "keep"], "f0 keep: this system"),
        (["--spectrum_intensity", "0.5"], "spectrum_intensity 0.5: this system"),
    ],
)
def test_options_of_recordings_are_refused(trained, corpus, tmp_path, words, message):
    common = ["--model", str(trained), "--data_dir", str(corpus / "dev"), "--vocoder", "griffin_lim"]
    with pytest.raises(UserError, match=message):
        convert([*common, "--out", str(tmp_path), *words])


def test_soft_tokens_of_trials_come_from_other_speakers(corpus):
    data = DataDir(corpus / "dev")
    trials = {f"t{i}": Trial(f"t{i}", "s1-neutral-9", "s1", "sad", "s1-sad-9") for i in range(5)}
    assert set(other_speakers(data, trials).values()) == {"s2-sad-9"}
    with pytest.raises(UserError, match="no utterance of another speaker is happy"):
        other_speakers(data, {"t": Trial("t", "s1-neutral-9", "s1", "happy", None)})


def test_single_sentences_and_lists(trained, corpus, tmp_path, capsys):
    pack(["--model", str(trained), "--model_file", "latest.pth", "--out", str(tmp_path / "m.zip")])
    common = ["--model", str(tmp_path / "m.zip"), "--vocoder", "griffin_lim"]
    (tmp_path / "said").mkdir()
    words = ["--text", "Kids talk!", "--speaker", "s1", "--emotion", "sad", "--plot", "true", "--speed", "2"]
    synthesize([*common, *words, "--out", str(tmp_path / "said")])
    assert capsys.readouterr().out.strip().endswith("Kids_talk_s1_sad.wav")
    assert (tmp_path / "said/Kids_talk_s1_sad.png").stat().st_size > 1000
    recording = read_table(corpus / "dev/wav.scp")["s2-sad-9"]
    synthesize(
        [
            *common,
            "--text",
            "Kids",
            "--speaker",
            "s1",
            "--ref_audio",
            recording,
            "--pitch",
            "3",
            "--out",
            str(tmp_path / "x.wav"),
        ]
    )
    assert "heard in the recording: " in capsys.readouterr().out
    (tmp_path / "list").write_text(f"# comment\nu1|s1|sad|{{a b c}}\nu2|s2|neutral|Kids talk|{recording}\n")
    synthesize([*common, "--list", str(tmp_path / "list"), "--out", str(tmp_path / "batch")])
    assert set(read_table(tmp_path / "batch/wav.scp")) == {"u1", "u2"}
    with pytest.raises(UserError, match="u1: soft tokens need a recording"):
        synthesize([*common, "--list", str(tmp_path / "list"), "--tokens", "soft", "--out", str(tmp_path / "b2")])


@pytest.mark.parametrize(
    "words, message",
    [
        (["--text", "x", "--speaker", "s1"], "either --emotion"),
        (["--text", "x", "--emotion", "sad"], "either --speaker"),
        (["--text", "x", "--speaker", "s1", "--emotion", "sad", "--njobs", "2", "--job", "1"], "go with --list"),
        (["--list", "x", "--speaker", "s1"], "--speaker: goes with --text"),
        (["--list", "nowhere"], "expected a readable list"),
        (["--text", "x", "--speaker", "s1", "--emotion", "sad", "--speed", "9"], "expected a number from 0.25 to 4"),
    ],
)
def test_options_that_do_not_go_together(words, message):
    with pytest.raises(UserError, match=message):
        synthesize(["--model", "nothing", "--out", "x.wav", *words])


@pytest.mark.parametrize(
    "text, message",
    [
        ("a|b|c\n", ":1: expected id"),
        ("a|s1|sad|x\na|s1|sad|y\n", "a comes twice"),
        ("a|s1|sad|\n", ":1: expected"),
        ("\n", "holds no line"),
    ],
)
def test_lists_are_checked(tmp_path, text, message):
    (tmp_path / "list").write_text(text)
    with pytest.raises(UserError, match=message):
        read_list(tmp_path / "list")


def test_teacher_forced_features_are_in_time(trained, corpus, tmp_path):
    gta(["--model", str(trained), "--data_dir", str(corpus / "dev"), "--out", str(tmp_path / "gta")])
    made, real = ScpReader(tmp_path / "gta/feats.scp"), ScpReader(corpus / "dev/feats.scp")
    assert all(made[utt].shape == real[utt].shape for utt in real)


def test_a_configuration_says_what_it_needs(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("system: emotts\nfeats_contract: conf/feats_hifigan.yaml\n")
    (tmp_path / "b.yaml").write_text("system: cyclegan\n")
    (tmp_path / "d.yaml").write_text("system: seq2seq\nfeats_contract: conf/feats_seq2seq.yaml\n")
    needs = {"a": "hifigan.yaml learned", "b": "world.yaml none", "d": "seq2seq.yaml phones"}
    for name, expected in needs.items():
        show_contract(["--needs_of", str(tmp_path / f"{name}.yaml")])
        assert capsys.readouterr().out.strip() == f"conf/feats_{expected}"
    with pytest.raises(UserError, match="expected a readable YAML file"):
        show_contract(["--needs_of", str(tmp_path / "c.yaml")])
