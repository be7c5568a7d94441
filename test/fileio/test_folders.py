"""A folder for each speaker: ids, transcripts, parallel names, and mistakes. (Transcripts: also test_mydata_local.)"""

import pytest

from evc2.bin.folder_manifest import main
from evc2.bin.make_data import main as make_data
from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, read_trials
from evc2.fileio.manifest import read_manifest


@pytest.fixture
def put(tmp_path):
    def write(*names, content=b"x"):
        for name in names:
            path = tmp_path / "db" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return write


@pytest.fixture
def read(tmp_path):
    def rows(*options):
        main(["--db_root", str(tmp_path / "db"), "--manifest", str(tmp_path / "m.tsv"), *options])
        return {row.utt: row for row in read_manifest(tmp_path / "m.tsv")}

    return rows


def test_any_depth_and_any_format(put, read, capsys):
    put(
        "anna/1.wav",
        "anna/takes/two/a b.FLAC",
        "anna/.trash/3.wav",
        "anna/._1.wav",
        "ben-x/1.mp3",
        "top.wav",
        "empty/x",
    )
    put("anna/1.txt", content=b"Go away!")
    put("transcripts.tsv", content=b"ben-x/1.mp3\tHow nice\n")
    rows = read()
    assert {utt: (row.speaker, row.emotion, row.text, row.sentence) for utt, row in rows.items()} == {
        "anna-1": ("anna", "neutral", "Go away!", ""),
        "anna-takes-two-a_b": ("anna", "neutral", "", ""),
        "ben_x-1": ("ben_x", "neutral", "How nice", ""),
    }
    assert "3 recordings, 1 without a transcript" in capsys.readouterr().err


def test_same_names_are_the_same_words(put, read):
    put("a/x/001.wav", "a/002.wav", "b/y/001.wav")
    rows = read("--same_names", "true")
    assert {utt: row.words_key for utt, row in rows.items()} == {"a-x-001": "001", "a-002": "002", "b-y-001": "001"}


@pytest.mark.parametrize(
    "files, message",
    [
        (["a/x/1.wav", "a/x-1.wav"], "would both be 'a-x-1'; rename"),
        (["a/1.wav", "a/1.mp3"], "would both be 'a-1'"),
        (["a b/1.wav", "a_b/2.wav"], "would both be speaker 'a_b'"),
        (["1.wav"], r"expected <speaker>/\*.wav .*found: 1.wav"),
    ],
)
def test_mistakes(put, read, files, message):
    put(*files)
    with pytest.raises(UserError, match=message):
        read()


def test_to_data_directories(put, read, tmp_path):
    """Parallel names stay in one set and are each other's references; given lists are taken as they are."""
    put(*(f"{speaker}/{number:03d}.wav" for speaker in "ab" for number in range(20)))
    read("--same_names", "true")
    command = ["--manifest", str(tmp_path / "m.tsv"), "--out", str(tmp_path / "data"), "--domain_by", "speaker"]
    make_data(command)
    trials = read_trials(tmp_path / "data/test/trials")
    assert len(trials) == 4 and all(t.reference == t.speaker + t.source[1:] for t in trials)
    for name, number in (("train", "005"), ("dev", "001"), ("test", "002")):
        path = tmp_path / "lists" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"a-{number}\nb-{number}\n")
    make_data([*command, "--lists", str(tmp_path / "lists")])
    assert DataDir(tmp_path / "data/test").utts == ["a-002", "b-002"]


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="Give a folder with <speaker>"):
        main(["--db_root", str(tmp_path / "none"), "--manifest", str(tmp_path / "m.tsv")])
