import os

import pytest

from evc2.errors import UserError
from evc2.fileio.manifest import (
    NEED,
    Utterance,
    describe_folder,
    parse_emotion_map,
    read_manifest,
    require_folder,
    write_manifest,
)

LINE = {"utt": "anna-1", "speaker": "anna", "emotion": "happy", "gender": "f", "path": "a.wav", "text": "Hello there"}


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """Return a function that writes lines (changes of LINE) and gives the path; a.wav exists."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"x")

    def write(*changes, columns=NEED):
        rows = ["\t".join({**LINE, **change}.get(name, "") for name in columns) for change in changes]
        path = tmp_path / "m.tsv"
        path.write_text("\n".join(["\t".join(columns), *rows]) + "\n", encoding="utf-8")
        return path

    return write


def test_round_trip_and_absolute_paths(manifest, tmp_path):
    row = Utterance("anna-1", "anna", "calm", "f", "a.wav", "Wie  geht's\tdir?", words="0.1 0.4 wie 0.4 0.9 geht's")
    write_manifest(tmp_path / "m.tsv", [row])
    (back,) = read_manifest(tmp_path / "m.tsv", {"calm": "neutral"})
    assert (back.emotion, back.label) == ("neutral", "calm")
    assert back.path == str(tmp_path / "a.wav")
    assert back.text == "Wie geht's dir?"
    assert back.words == row.words


def test_byte_order_mark_windows_lines_and_quotes(manifest, tmp_path):
    path = manifest({"text": 'She said "no'}, {"utt": "anna-2"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    rows = read_manifest(path)
    assert [row.utt for row in rows] == ["anna-1", "anna-2"]
    assert rows[0].text == 'She said "no'


def test_pipes_are_kept_and_not_looked_for(manifest):
    assert read_manifest(manifest({"path": "sox x.wav -t wav - |"}))[0].path == "sox x.wav -t wav - |"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"emotion": "hapy"}, r"unknown emotion 'hapy' \(did you mean happy\?\)"),
        ({"utt": "bert-1"}, "does not start with its speaker's id 'anna'"),
        ({"path": "b.wav"}, "b.wav: no such file"),
        ({"path": ""}, "no path: no such file"),
        ({"utt": "anna/1"}, "without blanks and slashes"),
        ({"utt": "anna 1"}, "without blanks and slashes"),
        ({"speaker": "", "utt": "1"}, "speaker ''"),
        ({"gender": "x"}, "gender 'x'"),
        ({"start": "2", "stop": "1"}, "0 <= start < stop"),
        ({"start": "1"}, "0 <= start < stop"),
        ({"start": "nan", "stop": "nan"}, "0 <= start < stop"),
        ({"set": "tests"}, r"set 'tests' \(did you mean test\?\)"),
        ({"words": "0.1 0.2"}, "words: expected"),
        ({"words": "0.3 0.2 no"}, "words: expected"),
    ],
)
def test_bad_lines(manifest, change, message):
    path = manifest(change, columns=(*NEED, "start", "stop", "set", "words"))
    with pytest.raises(UserError, match=message) as error:
        read_manifest(path)
    assert "line 2" in str(error.value)


def test_problems_across_lines(manifest):
    with pytest.raises(UserError, match="line 3: duplicate id 'anna-1'"):
        read_manifest(manifest({}, {}))
    with pytest.raises(UserError, match="line 3: speaker 'anna' has another gender"):
        read_manifest(manifest({}, {"utt": "anna-2", "gender": "male"}))
    with pytest.raises(UserError, match="1 of 2 utterances have start and stop"):
        read_manifest(manifest({"start": "0", "stop": "1"}, {"utt": "anna-2"}, columns=(*NEED, "start", "stop")))


def test_many_problems_are_counted(manifest):
    with pytest.raises(UserError, match=r"(?s)25 problems.*and 5 more"):
        read_manifest(manifest(*({"utt": f"anna-{i}", "emotion": "x"} for i in range(25))))


def test_bad_files(manifest, tmp_path):
    with pytest.raises(UserError, match="no utterances"):
        read_manifest(manifest())
    with pytest.raises(UserError, match=r"unknown column 'emotoin' \(did you mean emotion\?\)"):
        read_manifest(manifest({}, columns=(*NEED, "emotoin")))
    with pytest.raises(UserError, match="expected the columns"):
        read_manifest(manifest({}, columns=NEED[:-1]))
    path = manifest({})
    path.write_text(path.read_text() + "anna-2\tanna\n")
    with pytest.raises(UserError, match=":3: expected 6 columns"):
        read_manifest(path)
    path.write_bytes(b"utt\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        read_manifest(path)
    with pytest.raises(UserError, match="no such file"):
        read_manifest(tmp_path / "none.tsv")


def test_emotion_map(manifest):
    assert parse_emotion_map("") == {}
    assert parse_emotion_map("excited:happy, calm:neutral") == {"excited": "happy", "calm": "neutral"}
    for text in ("calm", "calm:", ":calm", "calm:neutral,calm:sad"):
        with pytest.raises(UserError, match="expected pairs"):
            parse_emotion_map(text)
    with pytest.raises(UserError, match="did you mean neutral"):
        parse_emotion_map("calm:neutrl")
    with pytest.raises(UserError, match=r"no utterance is 'hpapy' \(did you mean happy\?\)"):
        read_manifest(manifest({}), {"hpapy": "sad"})


def test_a_file_name_with_a_tab_is_refused(tmp_path):
    with pytest.raises(UserError, match="rename"):
        write_manifest(tmp_path / "m.tsv", [Utterance(**{**LINE, "path": "a\tb.wav"})])
    assert os.listdir(tmp_path) == []


def test_words_key():
    assert Utterance(**LINE).words_key == Utterance(**{**LINE, "text": "hello, THERE!"}).words_key == "hello there"
    assert Utterance(**LINE, sentence="s1").words_key == "s1"
    assert Utterance(**{**LINE, "text": ""}).words_key == ""


def test_folder_messages(tmp_path):
    assert describe_folder(tmp_path) == "an empty folder"
    with pytest.raises(UserError, match="is an empty folder. Ask"):
        require_folder(str(tmp_path), "X", "Ask.")
    for i in range(8):
        (tmp_path / f"d{i}").mkdir()
    assert describe_folder(tmp_path) == "d0/ d1/ d2/ d3/ d4/ d5/ ... (8 entries)"
    assert require_folder(str(tmp_path), "X", "") == tmp_path
    with pytest.raises(UserError, match="--db_root is not given"):
        require_folder("", "X", "Ask.")
    with pytest.raises(UserError, match="found nothing"):
        require_folder(str(tmp_path / "none"), "X", "Ask.")
