import pytest

from evc2.errors import UserError
from evc2.fileio.corpus import atomic_folder, summary, write_corpus, write_data_dir
from evc2.fileio.datadir import DataDir, read_trials, validate
from evc2.fileio.manifest import Utterance
from evc2.fileio.trials import Trial


def utterance(utt, speaker="a", emotion="sad", **more):
    values = {"gender": "f", "path": f"/x/{utt}.wav", "text": "Some words", **more}
    return Utterance(utt, speaker, emotion, **values)


SETS = {name: [utterance(f"a-{name}-{i}") for i in range(2)] for name in ("train", "dev", "test")}
TRIALS = {name: [Trial("t", f"a-{name}-0", "a", "happy", f"a-{name}-1")] for name in ("dev", "test")}


def test_write_corpus(tmp_path):
    write_corpus(tmp_path / "data", SETS, TRIALS)
    for name in SETS:
        validate(tmp_path / "data" / name, need=("wav.scp", "utt2spk", "spk2utt", "text", "utt2emo", "spk2gender"))
        assert (tmp_path / "data/lists" / f"{name}.txt").read_text() == f"a-{name}-0\na-{name}-1\n"
    data = DataDir(tmp_path / "data/test")
    assert data.table("wav.scp") == {"a-test-0": "/x/a-test-0.wav", "a-test-1": "/x/a-test-1.wav"}
    assert data.table("spk2utt") == {"a": "a-test-0 a-test-1"}
    assert read_trials(tmp_path / "data/test/trials") == TRIALS["test"]
    assert not data.has("segments") and not data.has("utt2intensity") and not data.has("ctm")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_a_failure_leaves_the_earlier_result(tmp_path):
    write_corpus(tmp_path / "data", SETS, TRIALS)
    bad = {**SETS, "test": [utterance("a-1"), utterance("a-b-1", "a-b"), utterance("a-c", "a")]}
    with pytest.raises(UserError, match="speakers are not in order") as error:
        write_corpus(tmp_path / "data", bad, TRIALS)
    assert str(tmp_path / "data/test") in str(error.value)
    assert DataDir(tmp_path / "data/test").utts == ["a-test-0", "a-test-1"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]
    write_corpus(tmp_path / "data", {**SETS, "train": SETS["train"][:1]}, TRIALS)
    assert DataDir(tmp_path / "data/train").utts == ["a-train-0"]


def test_foreign_folders_are_not_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="not a result of this step"):
        write_corpus(tmp_path / "data", SETS, TRIALS)
    assert (tmp_path / "data/thesis.tex").read_text() == "years of work"


def test_atomic_folder_clears_what_a_kill_left(tmp_path):
    (tmp_path / ".x.partial").mkdir()
    (tmp_path / ".x.partial/half").write_text("")
    with pytest.raises(KeyboardInterrupt):
        with atomic_folder(tmp_path / "x") as new:
            assert list(new.iterdir()) == []
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "x") as new:
        (new / "f").write_text("1")
    assert (tmp_path / "x/f").read_text() == "1"


def test_optional_tables(tmp_path):
    rows = [
        utterance("a-1", intensity="strong", sentence="s1", repetition="1", words="0.5 1.25 some 1.25 2 words"),
        utterance("a-2", text=""),
        utterance("b-1", "b", gender=""),
    ]
    write_data_dir(tmp_path, rows)
    data = DataDir(tmp_path)
    assert data.table("utt2intensity") == {"a-1": "strong", "a-2": "none", "b-1": "none"}
    assert data.table("utt2sentence")["a-1"] == "s1" and data.table("utt2repetition")["a-1"] == "1"
    assert data.table("text")["a-2"] == "<unk>"
    assert not data.has("spk2gender")  # a table for some speakers only would break Kaldi's rules
    assert (tmp_path / "ctm").read_text() == "a-1 1 0.50 0.75 some\na-1 1 1.25 0.75 words\n"
    validate(tmp_path)


def test_no_text_at_all(tmp_path):
    write_data_dir(tmp_path, [utterance("a-1", text="")])
    assert not (tmp_path / "text").exists()


def test_segments(tmp_path):
    rows = [
        utterance("a-1", path="/x/tape 1.wav", start="0.5", stop="2"),
        utterance("a-2", path="/x/tape 1.wav", start="2", stop="3.25"),
        utterance("a-3", path="/y/tape 1.wav", start="0", stop="1"),
        utterance("a-4", path="/y/other.wav", start="0", stop="1"),
    ]
    write_data_dir(tmp_path, rows)
    validate(tmp_path)
    data = DataDir(tmp_path)
    assert sorted(data.table("wav.scp").values()) == ["/x/tape 1.wav", "/y/other.wav", "/y/tape 1.wav"]
    first, start, stop = data.table("segments")["a-1"].split()
    assert data.table("wav.scp")[first] == "/x/tape 1.wav" and (start, stop) == ("0.5", "2")
    assert data.table("segments")["a-4"] == "other 0 1"


def test_summary():
    sets = {"train": [utterance("a-1"), utterance("b-1", "b", "happy")], "dev": [utterance("a-2")], "test": []}
    assert summary(sets) == (
        "train/dev/test  happy    sad    all\n"
        "             a      -  1/1/0  1/1/0\n"
        "             b  1/0/0      -  1/0/0\n"
        "           all  1/0/0  1/1/0  2/1/0"
    )
