import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evc2.bin.make_data import main as make_data
from evc2.errors import UserError
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir, read_trials
from evc2.fileio.manifest import read_manifest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs/zerospeech/evc1"


@pytest.fixture
def zerospeech(local):
    return local("zerospeech")


def wav(path, seconds=0.095):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds)), 16000)


def lay_out(language, synthesis="test/S002_0000000001.wav V001\n"):
    """S015 with 12 unit files, S016 with 3; 12 of each voice; S002 and S003 with a sentence and a snippet each."""
    for speaker, part, number in (
        ("S015", "unit", 12),
        ("S016", "unit", 3),
        ("V001", "voice", 12),
        ("V002", "voice", 12),
    ):
        for i in range(number):
            wav(language / "train" / part / f"{speaker}_{i:010d}.wav")
    for speaker in ("S002", "S003"):
        wav(language / "test" / f"{speaker}_0000000001.wav", 1.5)
        wav(language / "test" / f"{speaker}_0000000501.wav")
    (language / "test" / "._S002_0000000001.wav").write_bytes(b"x" * 100)
    if synthesis is not None:
        (language / "synthesis.txt").write_text(synthesis)
    return language


def read(zerospeech, root, *options):
    out = Path(root).parent / "out"
    zerospeech.main(["--db_root", str(root), "--out", str(out), *options])
    return out, {row.utt: row for row in read_manifest(out / "manifest.tsv")}


@pytest.mark.parametrize("below, given", [("english", ""), ("2019/english", ""), ("2020/2019/english", ""),
                                          ("2020/2019/english", "2020"), ("2019/english", "2019"),
                                          ("2019/english", "2019/english"), ("mine", "mine")])  # fmt: skip
def test_where_a_language_may_lie(zerospeech, tmp_path, capsys, below, given):
    lay_out(tmp_path / "db" / below)
    _, rows = read(zerospeech, tmp_path / "db" / given)
    assert len(rows) == 12 + 3 + 12 + 12 + 4
    row = rows["S015_0000000003"]
    assert (row.speaker, row.emotion, row.set, row.gender) == ("S015", "neutral", "train", "")
    assert row.path == str(tmp_path / "db" / below / "train/unit/S015_0000000003.wav")
    assert {row.set for row in rows.values() if row.speaker in ("S002", "S003")} == {"test"}
    log = capsys.readouterr().err
    assert f"found {tmp_path / 'db' / below}" in log and "39 training files of 4 speakers, 4 test files" in log


def test_sets_lists_and_trials(zerospeech, tmp_path):
    """Through make_data: dev is drawn from those with 10 files or more, and goes to each voice but its own."""
    lay_out(tmp_path / "english", "S002_0000000001 V002\ntest/S003_0000000001.wav V001\ntest/S002_0000000001 V002\n")
    out, _ = read(zerospeech, tmp_path)
    lists = {path.name: path.read_text().split("\n")[:-1] for path in (out / "local").glob("*.txt")}
    assert [len(lists[f"{name}.txt"]) for name in ("rec_train_files", "gan_train_files", "eval_files")] == [39, 24, 4]
    assert lists["rec_train_files.txt"][0] == "train/unit/S015_0000000000.wav"
    assert lists["rec_train_files.txt"][15:] == lists["gan_train_files.txt"]
    assert lists["gan_train_files.txt"][0] == "train/voice/V001_0000000000.wav"
    assert lists["eval_files.txt"][1] == "test/S002_0000000501.wav"
    assert lists["synthesis.txt"] == ["test/S002_0000000001.wav V002", "test/S003_0000000001.wav V001"]
    assert (out / "voices").read_text() == "V001 V002\n" and (out / "local/language").read_text() == "english\n"
    command = ["--manifest", str(out / "manifest.tsv"), "--trials", str(out / "trials"), "--domain_by", "speaker"]
    command += ["--out", str(tmp_path / "data"), "--targets", "V001 V002", "--dev_fraction", "0.05"]
    make_data([*command, "--dev_least", "10"])
    sets = {name: DataDir(tmp_path / "data" / name).utts for name in ("train", "dev", "test")}
    assert [len(sets[name]) for name in ("train", "dev", "test")] == [36, 3, 4]
    assert [utt[:4] for utt in sets["dev"]] == ["S015", "V001", "V002"]
    trials = [(t.id, t.speaker, t.reference) for t in read_trials(tmp_path / "data/test/trials")]
    assert trials == [("S002_0000000001-to-V002", "V002", None), ("S003_0000000001-to-V001", "V001", None)]
    trials = [(t.source[:4], t.speaker) for t in read_trials(tmp_path / "data/dev/trials")]
    assert trials == [("S015", "V001"), ("S015", "V002"), ("V001", "V002"), ("V002", "V001")]


def test_without_synthesis_all_sentences_go_to_each_voice(zerospeech, tmp_path, capsys):
    lay_out(tmp_path / "surprise", synthesis=None)
    out, _ = read(zerospeech, tmp_path, "--language", "surprise")
    assert "no synthesis.txt; 2 files of over 1 s go to each voice" in capsys.readouterr().err
    pairs = [line.split() for line in (out / "trials").read_text().splitlines()]
    assert pairs == [[f"S00{s}_0000000001", f"V00{v}"] for s in (2, 3) for v in (1, 2)]
    assert (out / "local/language").read_text() == "surprise\n"


@pytest.mark.parametrize(
    "lines, message",
    [
        ("test/S002_0000000001.wav\n", r":1: expected `test/<file>.wav <voice>`, found 'test/S002_0000000001.wav '"),
        ("S002_0000000001 V001\nS002_0000000010 V001\n", r":2: .*'S002_0000000010' in test/ \(did you mean S002_00000"),
        ("S002_0000000001 V011\n", r":1: there is no voice 'V011' \(did you mean V001\?\); known: V001 V002"),
        ("S002_0000000001 S015\n", "there is no voice 'S015'"),
        ("\n", "synthesis.txt: empty; expected lines"),
    ],
)
def test_bad_synthesis_lists(zerospeech, tmp_path, lines, message):
    lay_out(tmp_path / "english", lines)
    with pytest.raises(UserError, match=message):
        read(zerospeech, tmp_path)


def test_some_training_speakers(zerospeech, tmp_path, capsys):
    lay_out(tmp_path / "english", "S002_0000000001 V001\nS003_0000000001 V002\n")
    out, rows = read(zerospeech, tmp_path, "--speakers", "S016 V002")
    assert {row.speaker for row in rows.values()} == {"S016", "V002", "S002", "S003"}
    assert (out / "trials").read_text() == "S003_0000000001 V002\n"
    assert "1 of 2 sentences go to a voice that is left out" in capsys.readouterr().err
    for speakers, message in (
        ("S061", r"no training file is of 'S061' \(did you mean S01\d\?\) among 4"),
        ("S015", "none of them is a voice to convert to; voices: V001 V002"),
    ):
        with pytest.raises(UserError, match=message):
            read(zerospeech, tmp_path, "--speakers", speakers)
    (tmp_path / "english/synthesis.txt").write_text("S002_0000000001 V001\n")
    with pytest.raises(UserError, match="no sentence is to be given one of the voices V002"):
        read(zerospeech, tmp_path, "--speakers", "V002")


def test_transcripts_parallel_set_and_empty_files(zerospeech, tmp_path, capsys):
    folder = lay_out(tmp_path / "english")
    soundfile.write(folder / "test/S003_0000000502.wav", np.zeros(0), 16000)
    for part, speaker in (("source", "S015"), ("voice", "V001")):
        wav(folder / "train/parallel" / part / f"{speaker}_0000000001.wav")
    texts = tmp_path / "texts"
    texts.write_text("test/S002_0000000001.wav\tOne  two\nV001_0000000000\tThree\nnobody\tFour\n\n")
    _, rows = read(zerospeech, tmp_path, "--transcripts", str(texts))
    assert rows["S002_0000000001"].text == "One two" and rows["V001_0000000000"].text == "Three"
    assert len(rows) == 43 and rows["S015_0000000000"].text == ""
    log = capsys.readouterr().err
    assert "1 lines name no recording, e.g. 'nobody'" in log and "test: 1 empty files left out" in log
    out, rows = read(zerospeech, tmp_path, "--parallel", "true")
    assert len(rows) == 45 and rows["V001-parallel_0000000001"].set == rows["S015-parallel_0000000001"].set == "train"
    assert (out / "local/parallel").read_text() == "true\n"
    texts.write_text("S002_0000000001 One\n")
    with pytest.raises(UserError, match="texts:1: expected `<file><TAB>text`"):
        read(zerospeech, tmp_path, "--transcripts", str(texts))
    with pytest.raises(UserError, match="nothing readable"):
        read(zerospeech, tmp_path, "--transcripts", str(tmp_path / "none"))


def test_abx_task_and_bitrate_list_are_noted(zerospeech, tmp_path):
    folder = lay_out(tmp_path / "2019/english")
    out, _ = read(zerospeech, tmp_path)
    assert not (out / "local/abx_task").exists() and not (out / "local/bitrate_list").exists()
    (folder / "abx.item").write_text("x")
    out, _ = read(zerospeech, tmp_path)
    assert (out / "local/abx_task").read_text() == f"{folder}/abx.item\n"
    (tmp_path / "2019/ABXTasks").mkdir()
    (tmp_path / "2019/ABXTasks/byCtxt_acSpkr.abx").write_bytes(b"x")
    out, _ = read(zerospeech, tmp_path, "--bitrate_list", str(folder / "synthesis.txt"))
    assert (out / "local/abx_task").read_text() == f"{tmp_path}/2019/ABXTasks/byCtxt_acSpkr.abx\n"
    assert (out / "local/bitrate_list").read_text() == f"{folder}/synthesis.txt\n"
    with pytest.raises(UserError, match="--abx_task none.abx: no such file"):
        read(zerospeech, tmp_path, "--abx_task", "none.abx")


def test_wrong_folders(zerospeech, tmp_path):
    with pytest.raises(UserError, match="--db_root is not given. The corpus is had from https://zerospeech.com"):
        zerospeech.main(["--out", str(tmp_path / "out")])
    with pytest.raises(UserError, match="--download true: we know of no public address .* The corpus is had from"):
        zerospeech.main(["--out", str(tmp_path / "out"), "--db_root", str(tmp_path), "--download", "true"])
    (tmp_path / "db/2017").mkdir(parents=True)
    with pytest.raises(UserError, match=r"expected english/ with train/unit/\*.wav.*, found: 2017/. The corpus is had"):
        read(zerospeech, tmp_path / "db")
    folder = lay_out(tmp_path / "db/surprise")
    with pytest.raises(UserError, match="is the folder of surprise, asked for is english.* --split surprise"):
        read(zerospeech, folder)
    (folder / "test").rename(folder / "tests")
    with pytest.raises(UserError, match="found no test/"):
        read(zerospeech, folder, "--language", "surprise")
    (folder / "test").mkdir()
    with pytest.raises(UserError, match="test: expected .wav files, found: an empty folder"):
        read(zerospeech, folder, "--language", "surprise")
    wav(folder / "test/S002.wav")
    with pytest.raises(UserError, match="S002.wav: expected <speaker>_<utterance>.wav"):
        read(zerospeech, folder, "--language", "surprise")


def shell(*words, **more):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(words, cwd=RECIPE, env=environment, capture_output=True, text=True, timeout=100, **more)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The toy corpus and its data, by local/data.sh in a process of its own."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("zerospeech")
    command = ["local/data.sh", "--toy", "true", "--split", "toy", "--domain_by", "speaker", "--db_root", folder / "db"]
    done = shell(*command, "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    return folder


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_toy_corpus(toy):
    sets = {name: DataDir(toy / "data" / name) for name in ("train", "dev", "test")}
    assert [len(sets[name].utts) for name in ("train", "dev", "test")] == [126, 10, 96]
    trials = read_trials(toy / "data/test/trials")
    assert len(trials) == 12 and {trial.speaker for trial in trials} == {"V001", "V002"}
    names = [f"{trial.speaker}_{trial.source.partition('_')[2]}" for trial in trials]
    assert len(set(names)) == 12  # as wavs of a submission
    english = toy / "db/2019/english"
    lengths = sorted(soundfile.info(path).duration for path in (english / "test").glob("*_*.wav"))
    assert 0.08 <= lengths[0] < 0.095 and lengths[47] <= 0.3 and lengths[48] > 1.5
    clips = [read_audio(path)[0] for path in sorted(english.rglob("*.wav"))]
    assert all(0.02 < np.abs(clip).max() < 0.95 for clip in clips)
    assert all(np.std(clip[:200]) > 1e-5 for clip in clips)  # no digital silence
    assert (toy / "data/local/abx_task").read_text() == f"{english}/abx.item\n"


def test_toy_corpus_is_the_same_again_and_is_not_done_again(toy, tmp_path):
    command = [sys.executable, "local/toy_zerospeech.py", "--out", tmp_path / "db"]
    assert shell(*command).returncode == 0
    assert digest(tmp_path / "db") == digest(toy / "db")
    assert "is up to date" in shell(*command).stderr
    assert shell(*command, "--seed", "1").returncode == 0
    assert digest(tmp_path / "db") != digest(toy / "db")


def test_toy_abx_task_is_easy_for_spectra_and_chance_for_what_knows_nothing(toy):
    from evc2.evaluate.zerospeech.abx import score
    from evc2.evaluate.zerospeech.corpus import load
    from evc2.evaluate.zerospeech.items import read_items
    from evc2.feats.contract import FeatureContract
    from evc2.feats.mel import log_mel

    contract = FeatureContract.load(RECIPE / "conf/feats_zerospeech.yaml")
    items = read_items(toy / "db/2019/english/abx.item")
    wavs = {name: read_audio(toy / f"db/2019/english/test/{name}.wav")[0] for name in dict.fromkeys(items.names)}
    ends = np.array([len(wavs[name]) / 16000 for name in items.names])
    assert (items.offsets <= ends + 0.001).all() and (items.offsets - items.onsets > 0.08).all()

    def error(embeddings):
        return score(items, load(items.names, items.onsets, items.offsets, embeddings, 0.016))

    found = error({name: log_mel(wav, contract) for name, wav in wavs.items()})
    assert found["error"] < 25 and found["speaker_pairs"] == 12 and found["triplets"] >= 2400
    assert error({name: np.ones((len(wav) // 256, 3)) for name, wav in wavs.items()})["error"] == 50


def test_methods_of_training():
    for options, configs in (
        ([], "conf/train_vqvae.yaml conf/train_vqvae_melgan.yaml"),
        (["--method", "2"], "conf/train_vqvae.yaml conf/train_vqvae_joint.yaml"),
        (["--stage", "4", "--method=3"], "conf/train_vqvae_scratch.yaml"),
        (["--method", "2", "--train_configs", "a b"], "a b"),
    ):
        done = shell("./run.sh", *options, "--help")
        assert f"(default: {configs})\n" in done.stdout, done.stderr
    for word in (["4"], []):
        done = shell("./run.sh", "--method", *word)
        assert done.returncode == 1 and "--method: expected 1, 2 or 3, found" in done.stderr


def test_scores_are_left_out_without_units(tmp_path):
    (tmp_path / "wav.scp").write_text("a b\n")
    (tmp_path / "config.yaml").write_text("system: vaegan\n")
    for model in (tmp_path, tmp_path / "none"):
        done = shell("local/score.sh", "--data_dir", "d", "--decode_dir", tmp_path, "--model", model, "--nj", "1")
        assert done.returncode == 0 and "no conversions by a system with units" in done.stdout
    if subprocess.run(["which", "shellcheck"], capture_output=True).returncode == 0:
        done = shell("shellcheck", "local/score.sh")
        assert done.returncode == 0, done.stdout


def test_report(local, tmp_path):
    report = local("zerospeech", "zerospeech_report")
    about = {"commit": "abc", "date": "today"}
    abx = {"error": 12.345, "phone_pairs": 9, "speaker_pairs": 2, "contexts": 5}
    files = {
        "units.bitrate": {"bits_per_second": 56.5, "symbols": 16, "rows": 40, "files": 2, "seconds": 3, "entropy": 3.5,
                          "missing": ["a"]},
        "units.abx": {"official": False, "task": "items of x/y.item", "abx": {"cosine": abx, "levenshtein": abx},
                      "about": about},
        "mel.abx": {"official": False, "task": "t", "abx": {"cosine": {**abx, "error": 9.0}}},
        "mel.speaker": {"accuracy": 100.0, "chance": 25.0, "speakers": 4, "test": 12},
    }  # fmt: skip
    with pytest.raises(UserError, match="found none"):
        report.main(["--results", str(tmp_path), "--title", "t", "--out", str(tmp_path / "z")])
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    report.main(["--results", str(tmp_path), "--title", "corpus", "--out", str(tmp_path / "z")])
    text = (tmp_path / "z.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert rows[1] == ["units (one-hot)", "56.50", "16", "12.35", "12.35", "-"]
    assert rows[2] == ["mel spectrogram (for comparison)", "-", "-", "9.00", "-", "100.0, 25.0"]
    assert "another task than the official one" in text and "(y.item): 9 phone pairs" in text and "evc2 abc" in text
    assert "1 files of the bitrate list have no embedding" in text
    assert set(json.loads((tmp_path / "z.json").read_text())["embeddings"]) == {"units", "mel"}
