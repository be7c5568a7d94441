"""The recipe for ESD: its sets, trials, and the data of its first stage of training."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, read_trials, validate
from evc2.fileio.manifest import Utterance, read_manifest
from evc2.fileio.split import read_lists

RECIPE = Path(__file__).parents[2] / "egs/esd/evc1"
EMOTIONS = ("Neutral", "Angry", "Happy", "Sad", "Surprise")  # in the order of their numbers
SETS = ("train", "dev", "test")


@pytest.fixture
def esd(local):
    return local("esd")


def lay_out(root, speaker="0013", sentences=range(1, 351), emotions=EMOTIONS, folders=False, encoding="utf-8"):
    """Empty recordings (stage 1 does not open them) and the texts of a speaker."""
    lines = []
    for emotion in emotions:
        for k in sentences:
            number = EMOTIONS.index(emotion) * 350 + k
            part = ("Evaluation" if k <= 20 else "test" if k <= 50 else "train") if folders else ""
            path = root / speaker / emotion / part / f"{speaker}_{number:06d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            lines.append(f"{path.stem}\tSentence {k}.\t{emotion}")
    (root / speaker / f"{speaker}.txt").write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))


def run(script, *options):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([script, *options], cwd=RECIPE, env=environment, capture_output=True, text=True, timeout=100)


def make(tmp_path, *options):
    done = run("local/data.sh", "--db_root", tmp_path / "db", "--out", tmp_path / "data", *options)
    assert done.returncode == 0, done.stderr
    return tmp_path / "data", done.stderr


def counts(data, *names):
    found = {}
    for name in names or SETS:
        validate(data / name, need=("wav.scp", "utt2spk", "spk2utt", "text", "utt2emo"))
        found[name] = Counter(DataDir(data / name).table("utt2emo").values())
    return found


@pytest.mark.parametrize("folders, encoding", [(False, "utf-8"), (True, "utf-16"), (True, "gb18030")])
def test_official_sets(tmp_path, folders, encoding):
    """300/20/30 of each emotion by number, with the folders of newer archives and without; texts in any encoding."""
    lay_out(tmp_path / "db/ESD", folders=folders, encoding=encoding)
    data, log = make(tmp_path, "--speakers", "0013")
    emotions = ("neutral", "angry", "happy", "sad", "surprised")
    assert counts(data) == {name: dict.fromkeys(emotions, n) for name, n in (("train", 300), ("dev", 20), ("test", 30))}
    utts = {name: DataDir(data / name).utts for name in SETS}
    assert utts["dev"][0] == "0013_000001" and utts["test"][0] == "0013_000021" and utts["train"][0] == "0013_000051"
    assert utts["dev"][-1] == "0013_001420" and utts["test"][-1] == "0013_001450" and utts["train"][-1] == "0013_001750"
    assert DataDir(data / "test").table("text")["0013_000371"] == "Sentence 21."
    assert "dev: 80 trials, 80 with a reference" in log and "test: 120 trials, 120 with a reference" in log


def test_trials_are_of_the_same_words(tmp_path):
    lay_out(tmp_path / "db")
    data, _ = make(tmp_path, "--directions", "neutral:sad,angry:happy")
    trials = {trial.id: trial for trial in read_trials(data / "test/trials")}
    assert len(trials) == 60
    assert trials["0013_000021-to-sad"].reference == "0013_001071"  # 1050 + 21
    assert trials["0013_000400-to-happy"].reference == "0013_000750"
    assert {trial.speaker for trial in trials.values()} == {"0013"}


def test_few_sentences_are_drawn_and_the_same_in_all_emotions(tmp_path):
    """Twenty sentences: 16/2/2, the same for every speaker that has them, whatever their numbers say."""
    for speaker in ("0011", "0012"):
        lay_out(tmp_path / "db", speaker, range(51, 71))
    data, log = make(tmp_path)
    assert "0011: 20 sentences instead of 350, so the sets are drawn: 16 for train, 2 for dev, 2 for test" in log
    sentences = {}
    for name, number in (("train", 16), ("dev", 2), ("test", 2)):
        rows = DataDir(data / name).table("utt2sentence")
        sentences[name] = set(rows.values())
        assert len(sentences[name]) == number and len(rows) == number * 5 * 2
    assert len(set.union(*sentences.values())) == 20
    trials = read_trials(data / "test/trials")
    assert len(trials) == 2 * 4 * 2 and all(trial.reference for trial in trials)


def test_at_least_one_sentence_each(esd):
    def rows(sentences, emotions=("neutral", "sad")):
        return [Utterance(f"0011_{e}_{k}", "0011", e, "", "x", "t", sentence=k) for e in emotions for k in sentences]

    chosen = esd.sets_of_speaker(rows("abc"))
    assert Counter(chosen.values()) == {"train": 2, "dev": 2, "test": 2}
    assert all(chosen[f"0011_neutral_{k}"] == chosen[f"0011_sad_{k}"] for k in "abc")
    # Sentences that one emotion lacks (RAVDESS has four neutral recordings, eight others) stay in training.
    chosen = esd.sets_of_speaker(rows("abcdefgh", ["sad"]) + rows("abcd", ["neutral"]))
    assert Counter(chosen.values()) == {"train": 2 + 6, "dev": 2, "test": 2}
    assert {chosen[f"0011_sad_{k}"] for k in "efgh"} == {"train"}
    with pytest.raises(UserError, match="no utterance for dev and test: 4 utterances of 0011 have too few"):
        esd.make_sets(rows("ab"))


def test_speakers_that_are_not_trained_on(tmp_path):
    for speaker in ("0001", "0011", "0012", "0019"):
        lay_out(tmp_path / "db", speaker, emotions=EMOTIONS[:2])
    data, log = make(tmp_path, "--directions", "neutral:angry", "--test_speakers", "0019")
    found = {name: DataDir(data / name) for name in (*SETS, "test_known")}
    assert {name: (len(d.utts), d.speakers) for name, d in found.items()} == {
        "train": (1200, ["0011", "0012"]),  # without the speaker of Mandarin
        "dev": (80, ["0011", "0012"]),
        "test": (60, ["0019"]),
        "test_known": (120, ["0011", "0012"]),
    }
    trials = read_trials(data / "test/trials")
    assert len(trials) == 30 and trials[0].source == "0019_000021" and trials[0].reference == "0019_000371"
    data, _ = make(tmp_path, "--directions", "neutral:angry", "--speakers", "0001 0019", "--test_speakers", "0019")
    assert DataDir(data / "train").speakers == ["0001"] and DataDir(data / "test").speakers == ["0019"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--speakers", "0015"], "no utterance is of '0015'"),
        (["--test_speakers", "0013"], "nobody to train on"),
        (["--speakers", "0013", "--test_speakers", "0019"], "no utterance is of '0019'"),
        (["--download", "true"], "ESD is given on request"),
        (["--db_root", ""], "hltsingapore.github.io/ESD"),
        (["--directions", "neutral:fearful"], "no utterance is fearful"),
        (["--pretrain_db", "vctk:"], "expected DIR, CORPUS:DIR or CORPUS:DIR:TRANSCRIPTS"),
        (["--pretrain_db", "/nowhere"], "VCTK: expected a folder"),
    ],
)
def test_mistakes(tmp_path, options, message):
    lay_out(tmp_path / "db")
    done = run("local/data.sh", "--db_root", tmp_path / "db", "--out", tmp_path / "data", *options)
    assert done.returncode != 0 and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "data").exists()


@pytest.fixture
def speech(tmp_path):
    """VCTK with speakers of 104, 30 and 2 utterances, one of them of ten seconds, and LJSpeech with 5."""
    root = tmp_path / "vctk"
    for speaker, number in (("p225", 104), ("p226", 30), ("p227", 2)):
        for i in range(number):
            for suffix in ("wav48/{}/{}_{:03d}.wav", "txt/{}/{}_{:03d}.txt"):
                path = root / suffix.format(speaker, speaker, i)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"Sentence {i}.")  # a wav without a header is as long as it may be
    for name, seconds in (("000", 10.0), ("001", 9.9)):
        soundfile.write(root / f"wav48/p225/p225_{name}.wav", np.zeros(round(seconds * 1000)), 1000)
    lj = tmp_path / "lj"
    (lj / "wavs").mkdir(parents=True)
    for i in range(5):
        (lj / f"wavs/LJ001-000{i}.wav").write_bytes(b"")
    (lj / "metadata.csv").write_text("".join(f"LJ001-000{i}|Line {i}.\n" for i in range(5)))
    return root, lj


def test_data_of_the_first_stage(tmp_path, speech):
    """Of each speaker 20 for test and 10 for dev, a tenth where there are few, none of two; no emotions, no trials."""
    data, log = make(tmp_path, "--pretrain_db", f"{speech[0]},ljspeech:{speech[1]}")
    assert "VCTK: left out: 1 longer than 9.98 s: p225_000" in log
    found = Counter((s, name) for name in SETS for s in DataDir(data / name).table("utt2spk").values())
    assert found == {
        ("p225", "train"): 73, ("p225", "dev"): 10, ("p225", "test"): 20,
        ("p226", "train"): 24, ("p226", "dev"): 3, ("p226", "test"): 3,
        ("LJ", "train"): 3, ("LJ", "dev"): 1, ("LJ", "test"): 1,
        ("p227", "train"): 2,
    }  # fmt: skip
    assert counts(data)["train"] == {"other": 102}
    assert not list(data.glob("*/trials"))
    more = ["--pretrain_db", f"vctk:{speech[0]}", "--pretrain_speakers", "1", "--pretrain_per_speaker", "40"]
    data, _ = make(tmp_path, *more, "--pretrain_least", "40", "--pretrain_test", "5", "--pretrain_dev", "4")
    assert [len(DataDir(data / name).utts) for name in SETS] == [31, 4, 5]
    assert DataDir(data / "train").speakers == ["p225"]


def test_manifest_and_lists_hold_the_same(esd, tmp_path):
    lay_out(tmp_path / "db", "0013", range(1, 11))
    esd.main(["--db_root", str(tmp_path), "--manifest", str(tmp_path / "m.tsv"), "--lists", str(tmp_path / "lists")])
    rows = read_manifest(tmp_path / "m.tsv")
    assert set(read_lists(tmp_path / "lists")) == {row.utt for row in rows} and len(rows) == 50


@pytest.fixture
def recipe(tmp_path):
    """call(*WORDS) -> the options of each call of evc.sh that run.sh makes, in a copy where that only notes them."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "run.sh").write_bytes((RECIPE / "run.sh").read_bytes())
    (folder / "utils").symlink_to(RECIPE / "utils")
    (folder / "conf/tuning").mkdir(parents=True)
    (folder / "conf/tuning/train_seq2seq_pretrain_small.yaml").write_text("")
    (folder / "evc.sh").write_text('#!/bin/bash\nprintf "%s\\0" "$@" >> calls\nprintf "\\n" >> calls\n')
    for name in ("run.sh", "evc.sh"):
        (folder / name).chmod(0o755)

    def call(*words):
        (folder / "calls").unlink(missing_ok=True)
        done = subprocess.run(["./run.sh", *words], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        calls = []
        for line in (folder / "calls").read_text().splitlines():
            given = line.split("\0")[:-1]
            assert len(given) % 2 == 0, given
            calls.append(dict(zip(given[::2], given[1::2], strict=True)))  # the last value of an option wins
        return calls, done.stdout

    call.folder = folder
    return call


def test_two_stages(recipe, tmp_path):
    best = "exp/pretrain/train_seq2seq_pretrain/valid.loss.best.pth"
    ((two,), log) = recipe("--db_root", str(tmp_path))
    assert (two["--split"], two["--speakers"], two["--train_configs"]) == ("0013", "0013", "conf/train_seq2seq.yaml")
    assert two["--pretrained_model"] == "" and f"no {best} of stage I" in log
    (recipe.folder / best).parent.mkdir(parents=True)
    (recipe.folder / best).write_text("")
    own = ["--train_args", "--max_epoch 2", "--pretrain-db=a:b", "--pretrain_opts", "--train_args '--max_epoch 9'"]
    own += ["--speakers", "0011 0013", "--nj", "3", "--local_data_opts", "--pretrain_speakers 9", "--strength", "true"]
    ((one, two), log) = recipe("--db_root", str(tmp_path), *own)
    assert "no exp" not in log and two["--pretrained_model"] == best
    assert (two["--split"], two["--train_args"], two["--nj"]) == ("0011_0013", "--max_epoch 2", "3")
    assert (one["--split"], one["--train_args"], one["--nj"]) == ("pretrain", "--max_epoch 9", "3")
    assert one["--train_config"] == "conf/train_seq2seq_pretrain.yaml" and one["--inference_model"] == Path(best).name
    assert one["--local_data_opts"] == "--pretrain_speakers 9 --pretrain_db a:b" and one["--directions"] == "none"
    assert [one[name] for name in ("--skip_eval", "--pretrained_model", "--speakers", "--db_root")] == [
        "true",
        "",
        "",
        "",
    ]
    assert (one["--strength"], two["--strength"]) == ("false", "true")  # of no emotion there is no strength
    ((one,), log) = recipe("--pretrain_db", "a:b")
    assert one["--split"] == "pretrain" and "stage I is done" in log


def test_what_starts_from_the_first_stage(recipe):
    other = recipe.folder / "exp/pretrain/debug_x_seq2seq/valid.loss.best.pth"
    other.parent.mkdir(parents=True)
    other.write_text("")
    for words, start in (
        (["--pretrain_config", "conf/debug/x_seq2seq.yaml"], str(other.relative_to(recipe.folder))),
        (["--pretrain_config", "conf/debug/x_seq2seq.yaml", "--pretrained_model", "own.pth"], "own.pth"),
        (["--pretrain_config", "conf/debug/x_seq2seq.yaml", "--pretrained_model", ""], ""),
        (["--pretrain_config", "conf/debug/x_seq2seq.yaml", "--train_config", "conf/train_munit.yaml"], ""),
        (["--train_config", "conf/debug/x_seq2seq.yaml"], ""),
    ):
        (two,), log = recipe("--split", "x", *words)
        assert two["--pretrained_model"] == start, words
        assert ("training starts from nothing" in log) == (len(words) == 2 and not start)


def test_the_configuration_of_the_first_stage_follows_that_of_the_second(recipe):
    """Sizes and features have to be the same, so of tuning/train_seq2seq_small.yaml it is ..._pretrain_small.yaml."""
    for second, first in (
        ([], "conf/train_seq2seq_pretrain.yaml"),
        (["--train_config", "conf/tuning/train_seq2seq_small.yaml"], "conf/tuning/train_seq2seq_pretrain_small.yaml"),
        (["--train_configs", "conf/tuning/train_seq2seq_mine.yaml"], "conf/train_seq2seq_pretrain.yaml"),
        (["--train_config", "conf/train_munit.yaml"], "conf/train_seq2seq_pretrain.yaml"),
        (["--pretrain_config", "conf/x.yaml"], "conf/x.yaml"),
    ):
        ((one,), _) = recipe("--pretrain_db", "a:b", *second)
        assert one["--train_config"] == first, second


def test_test_speakers_and_the_name_of_the_split(recipe):
    ((two,), _) = recipe("--test_speakers", "0019 0020")
    assert (two["--speakers"], two["--split"]) == ("", "all_to_0019_0020")
    assert two["--local_data_opts"] == ' --test_speakers "0019 0020"'
    ((two,), _) = recipe("--test_speakers=0019", "--speakers", "0011,0012")
    assert two["--split"] == "0011_0012_to_0019"


def test_help_and_missing_values(tmp_path):
    done = run("./run.sh", "--pretrain_db", "a:b", "--nj", "3", "--help")
    assert done.returncode == 0, done.stderr
    shown = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip().startswith("--")}
    assert "(default: 0013)" in shown["--split"] and "(default: 3)" in shown["--nj"]
    assert "(default: conf/train_seq2seq.yaml)" in shown["--train_configs"]
    for name in ("pretrain_db", "pretrain_config", "pretrain_opts", "test_speakers"):  # its own, at the head
        assert f"--{name} " in done.stdout.partition("usage: ")[0], name
    assert run("./run.sh", "-h").stdout.startswith("ESD: emotional voice conversion")
    for words, message in (
        (["--pretrain_db"], "--pretrain_db needs a value"),
        (["--pretrain_db", "a:b", "--db_root", str(tmp_path / "none")], "expected the folder of ESD"),
    ):
        done = run("./run.sh", *words)
        assert done.returncode == 1 and message in done.stderr
