"""A system that converts in its own time and reads text, through the commands: a tiny one that has not learned."""

import json

import numpy as np
import pytest
import torch
import yaml

from evc2.bin.convert import main as convert
from evc2.bin.extract_feats import main as extract_feats
from evc2.bin.format_wav import main as format_wav
from evc2.bin.gta import main as gta
from evc2.bin.measure_styles import main as measure_styles
from evc2.bin.pack import main as pack
from evc2.bin.synthesize import main as synthesize
from evc2.convert import EVC
from evc2.convert.gta import gta_part
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import analyze
from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir, read_table, write_table
from evc2.systems.seq2seq import Seq2Seq

MEL = {
    "name": "mel", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 200, "win": 512, "window": "hann",
    "center": False, "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
    "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
    "f0_method": "dio", "f0_floor": 71, "f0_ceil": 800,
}  # fmt: skip
CONF = {
    "speakers": ["s1", "s2"], "emotions": ["angry", "neutral"], "style_by": ["speaker", "emotion"],
    "tokens": ["<pad>", "<unk>", "sil", "sp", "a", "b", "c"], "g2p": {"kind": "arpabet", "language": "en-us"},
    "n_mels": 10, "hidden": 8, "text": {"layers": 1}, "recognizer": {"attention": 4, "filters": 2, "kernel": 5},
    "style": {"hidden": 6, "size": 6, "layers": 1}, "classifier": {"layers": 1}, "width": 2,
    "decoder": {"prenet": 4, "attention": 4, "filters": 2, "kernel": 5}, "postnet": {"channels": 4, "layers": 2},
}  # fmt: skip
VOCODER = ["--vocoder", "griffin_lim", "--vocoder_conf", "n_iter=2"]


def styles_of(folder, name) -> tuple[torch.Tensor, torch.Tensor]:
    weights = torch.load(folder / name, weights_only=True)
    return weights["styles_mean"], weights["styles_count"]


@pytest.fixture
def data(tiny_data):
    """Trials of two speakers in two emotions and of a stranger, with texts and phones."""
    utts = list(read_table(tiny_data / "utt2spk"))
    write_table(tiny_data / "text", {utt: "{a b c}" for utt in utts})
    rows = [line for line in (tiny_data / "trials").read_text().splitlines() if not line.startswith("s3")]
    (tiny_data / "trials").write_text("\n".join(rows) + "\n")
    return tiny_data


@pytest.fixture
def model(tmp_path, data):
    """Directory of a model that measured the styles of the data's speakers."""
    contract, stats, folder = FeatureContract.from_dict(MEL), Stats(), tmp_path / "exp/tiny/main"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    system, tables = Seq2Seq(**CONF).eval(), DataDir(data)
    system.contract, heard = contract, []
    for utt in tables.utts:
        speaker, emotion = (tables.table(name)[utt] for name in ("utt2spk", "utt2emo"))
        if speaker in CONF["speakers"]:
            found = analyze(read_audio(tables.table("wav.scp")[utt])[0], contract)
            stats.add(speaker, emotion, **found)
            heard.append((CONF["speakers"].index(speaker), CONF["emotions"].index(emotion), found["feats"]))
    system.feats_mean.fill_(-5.0), system.feats_std.fill_(2.0)
    system.measure_styles(heard)
    stats.save(folder / "stats.npz")
    config = {"system": "seq2seq", "system_conf": CONF, "feats_contract": contract.to_dict()}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(system.state_dict(), folder / "valid.loss.best.pth")
    return folder


@pytest.fixture
def dump(tmp_path, data):
    """Feature directory of the data."""
    FeatureContract.from_dict(MEL).save(tmp_path / "feats.yaml")
    common = ["--contract", str(tmp_path / "feats.yaml"), "--out", str(tmp_path / "dump")]
    format_wav(["--data_dir", str(data), "--trim", "false", *common])
    extract_feats(["--data_dir", str(tmp_path / "dump"), *common])
    return tmp_path / "dump"


def test_trials_and_lists_are_spoken(model, data, tmp_path):
    """By name and by the emotion of a recording; each leaves what became of it."""
    common = ["--model", str(model), *VOCODER]
    trials = ["--data_dir", str(data)]
    recording = read_table(data / "wav.scp")["s2-angry"]
    (tmp_path / "lines").write_text(f"u1|s1|angry|{{a b}}\nu2|s2|neutral|{{c}}|{recording}\n")
    for name, main, words, count in (
        ("hard", synthesize, trials, 3),
        ("text", convert, [*trials, "--input", "text"], 3),
        ("soft", synthesize, [*trials, "--tokens", "soft"], 3),
        ("list", synthesize, ["--list", str(tmp_path / "lines")], 2),
    ):
        out = tmp_path / name
        main([*common, *words, "--out", str(out)])
        assert len(read_table(out / "wav.scp")) == count
        assert json.loads((out / "attempts.json").read_text())["attempts"] == count
    hard, text, soft = (read_audio(tmp_path / name / "wav/s1-n2a.wav")[0] for name in ("hard", "text", "soft"))
    assert np.array_equal(hard, text)
    assert len(soft) != len(hard) or not np.allclose(soft, hard, atol=1e-4)


def test_jobs_leave_one_report(model, data, tmp_path):
    (tmp_path / "list").write_text("u1|s1|angry|{a b}\nu2|s2|neutral|{c}\n")
    words = ["--model", str(model), *VOCODER, "--list", str(tmp_path / "list"), "--out", str(tmp_path / "out")]
    for job in ("1", "2"):
        synthesize([*words, "--njobs", "2", "--job", job])
    assert not (tmp_path / "out/attempts.json").exists()
    synthesize([*words, "--njobs", "2", "--merge", "true"])
    assert json.loads((tmp_path / "out/attempts.json").read_text())["attempts"] == 2


def test_a_recording_without_its_silence(model, data, tmp_path):
    source = read_table(data / "wav.scp")["s1-neutral"]
    convert(["--model", str(model), *VOCODER, "--emotion", "angry", "--plot", "true", source, str(tmp_path / "o.wav")])
    assert len(read_audio(tmp_path / "o.wav")[0]) and (tmp_path / "o.png").stat().st_size > 1000


def test_what_the_system_cannot_do(model, data, tmp_path):
    recording, out = read_table(data / "wav.scp")["s1-neutral"], tmp_path / "out"
    words = ["--model", str(model), *VOCODER, "--text", "{a}", "--emotion", "angry", "--voice_wav", recording]
    with pytest.raises(UserError, match=r"Seq2Seq. knows the voices.*by name.*--speaker., one of s1, s2"):
        synthesize([*words, "--out", str(tmp_path / "x.wav")])
    words = ["--model", str(model), *VOCODER, "--emotion", "angry", "--details", "true", recording, str(out)]
    with pytest.raises(UserError, match="--details: Seq2Seq does not convert mel spectrograms as images"):
        convert(words)
    assert not out.exists()


def test_styles_are_measured_anew(model, dump, tmp_path, capsys):
    """Of a list, the mean of those recordings; what the list lacks stays, and so does the weights' file."""
    (tmp_path / "list").write_text("s1-angry\ns3-neutral\n")
    before, trained = styles_of(model, "valid.loss.best.pth")[0], (model / "valid.loss.best.pth").read_bytes()
    words = ["--model", str(model), "--data_dir", str(dump)]
    measure_styles([*words, "--utts", str(tmp_path / "list")])
    said = capsys.readouterr().out
    assert said.split()[:3] == ["s1", "angry", "1"] and "--model_file styles.pth" in said
    after, counts = styles_of(model, "styles.pth")
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)  # the same recording as in training
    feats = ScpReader(dump / "feats.scp")
    system = Seq2Seq(**CONF).eval()
    system.load_state_dict(torch.load(model / "styles.pth", weights_only=True))
    with torch.no_grad():
        torch.testing.assert_close(after[0, 0], system.style_of(feats["s1-angry"]), rtol=1e-4, atol=1e-5)
    assert counts.tolist() == [[1, 1], [1, 1]] and (model / "valid.loss.best.pth").read_bytes() == trained
    measure_styles([*words, "--out", "all.pth", "--model_file", "styles.pth"])
    assert (model / "all.pth").is_file()


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint.prev", "9epoch", "v.mcd.best", "latest", "v.mcd.ave_5best"])
def test_files_of_a_training_are_not_replaced(model, dump, name):
    with pytest.raises(UserError, match="trainings write files of such names"):
        measure_styles(["--model", str(model), "--data_dir", str(dump), "--out", f"{name}.pth"])
    assert sorted(p.name for p in model.glob("*.pth")) == ["valid.loss.best.pth"]


def test_styles_go_to_a_model_directory(model, dump, tmp_path):
    pack(["--model", str(model), "--out", str(tmp_path / "m.zip")])
    for words, message in (
        (["--model", str(tmp_path / "m.zip")], "expected a model directory .*found a file"),
        (["--model", str(model), "--out", "a/b.pth"], "expected a file's name that ends in .pth"),
        (["--model", str(model), "--out", "styles.pt"], "expected a file's name that ends in .pth"),
    ):
        with pytest.raises(UserError, match=message):
            measure_styles([*words, "--data_dir", str(dump)])


def test_teacher_forced_speech_needs_phones_of_every_utterance(model, dump, tmp_path):
    words = ["--model", str(model), "--data_dir", str(dump), "--out", str(tmp_path / "gta")]
    utts = list(read_table(dump / "utt2spk"))
    with pytest.raises(UserError, match="5 utterances have no phones .s1-angry, s1-neutral, s2-angry.*stage 3"):
        gta(words)
    write_table(dump / "phones", dict.fromkeys(utts[1:], "sil a b sil"))
    with pytest.raises(UserError, match=f"1 utterances have no phones .{utts[0]}.,"):
        gta(words)
    assert not (tmp_path / "gta/arks").exists()
    write_table(dump / "phones", dict.fromkeys(utts, "sil a b sil"))
    gta(words)
    made, natural = ScpReader(tmp_path / "gta/feats.scp"), ScpReader(dump / "feats.scp")
    assert {utt: made[utt].shape for utt in made} == {utt: natural[utt].shape for utt in natural}
    evc = EVC.from_pretrained(model)
    evc.model.strength = True
    with pytest.raises(UserError, match="5 utterances have no strength of .*stage 4 with --strength true"):
        gta_part(evc, DataDir(dump), tmp_path / "gta")
