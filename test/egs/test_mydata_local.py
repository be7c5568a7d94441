import unicodedata

import pytest

from evc2.errors import UserError
from evc2.fileio.manifest import read_manifest


@pytest.fixture
def put(tmp_path):
    def write(name, content=b"x"):
        path = tmp_path / "db" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write


@pytest.fixture
def read(local, tmp_path):
    def rows():
        local("mydata").main(["--db_root", str(tmp_path / "db"), "--manifest", str(tmp_path / "m.tsv")])
        return {row.utt: row for row in read_manifest(tmp_path / "m.tsv")}

    return rows


def test_folders_transcripts_and_synonyms(put, read, capsys):
    put("anna/Anger/take 1.wav")
    put("anna/Anger/take 1.txt", b"\xef\xbb\xbfGo  away!\r\n")
    put("anna/neutral/a.FLAC")
    put("bob jr/happy/a.mp3")
    put("bob jr/sad/b.ogg")
    put("transcripts.tsv", b"bob jr/happy/a.mp3\tHow nice\nanna/x.wav\tnothing\n")
    put("anna/neutral/.hidden.wav")
    put("anna/neutral/old/a.wav")
    put(".git/x/y.wav")
    put("README.txt")
    rows = read()
    assert {utt: (row.speaker, row.emotion, row.text) for utt, row in rows.items()} == {
        "anna-angry-take_1": ("anna", "angry", "Go away!"),
        "anna-neutral-a": ("anna", "neutral", ""),
        "bob_jr-happy-a": ("bob_jr", "happy", "How nice"),
        "bob_jr-sad-b": ("bob_jr", "sad", ""),
    }
    assert rows["anna-angry-take_1"].path.endswith("anna/Anger/take 1.wav")
    log = capsys.readouterr().err
    assert "1 audio files lie in folders below" in log
    assert "1 lines name no file: anna/x.wav" in log


def test_letters_with_accents_in_either_form(put, read):
    put(unicodedata.normalize("NFD", "zoé/sad/été.wav"))
    put("transcripts.tsv", (unicodedata.normalize("NFC", "zoé/sad/été.wav") + "\tOui\n").encode())
    (row,) = read().values()
    assert row.utt == unicodedata.normalize("NFC", "zoé-sad-été")
    assert row.text == "Oui"


@pytest.mark.parametrize(
    "files, message",
    [
        (["anna/angri/a.wav"], r"unknown emotion 'angri' \(did you mean angry\?\)"),
        (["angry/a.wav"], "expected a speaker's folder, found an emotion's"),
        (["anna/sad/a.wav", "anna/sad/a.mp3"], "would both be 'anna-sad-a'"),
        (["anna/sad/a b.wav", "anna/sad/a_b.wav"], "would both be 'anna-sad-a_b'"),
        (["anna/anger/a.wav", "anna/angry/a.wav"], "would both be 'anna-angry-a'"),
        (["anna/sad/a.aac"], r"expected <speaker>/<emotion>/\*.wav, found: anna/"),
        (["a.wav"], r"found: a.wav"),
    ],
)
def test_mistakes(put, read, files, message):
    for name in files:
        put(name)
    with pytest.raises(UserError, match=message):
        read()


def test_bad_transcripts(put, read):
    put("anna/sad/a.wav")
    put("transcripts.tsv", b"anna/sad/a.wav Hello")
    with pytest.raises(UserError, match="transcripts.tsv:1: expected"):
        read()
    put("transcripts.tsv", b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read()


def test_no_folder(local, tmp_path):
    with pytest.raises(UserError, match="Give a folder with <speaker>/<emotion>"):
        local("mydata").main(["--db_root", str(tmp_path / "none"), "--manifest", str(tmp_path / "m.tsv")])
