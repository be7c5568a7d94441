"""Corpora of speech with its text: small folders in the official layouts."""

import numpy as np
import pytest
import soundfile

from evc2.bin.text_corpus import CORPORA, get_parser, main
from evc2.errors import UserError
from evc2.fileio.corpora import CORPORA as READERS
from evc2.fileio.manifest import read_manifest

RATE = 8000


def record(path, seconds=0.2):
    """A tone between silences, in the format of the path's suffix."""
    n = round(seconds * RATE)
    wav = np.zeros(n)
    wav[n // 4 : n // 2] = 0.1 * np.sin(np.arange(n // 2 - n // 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, RATE)


def write(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))


@pytest.fixture
def rows_of(tmp_path):
    """Run the command on tmp_path/db; return utterance -> row."""

    def rows_of(corpus, *options):
        main(["--corpus", corpus, "--db_root", str(tmp_path / "db"), "--manifest", str(tmp_path / "m.tsv"), *options])
        return {row.utt: row for row in read_manifest(tmp_path / "m.tsv")}

    return rows_of


def ljspeech(root):
    for i in range(1, 6):
        record(root / f"wavs/LJ001-000{i}.{'wav' if i < 4 else 'flac'}")
    lines = [
        'LJ001-0001|He said "No. 5".|He said "Number five".',
        "LJ001-0002|Only raw.|",
        "LJ001-0003|Two fields.",
        "LJ001-0009|No such recording.|No such recording.",
        "a line without bars",
    ]
    write(root / "metadata.csv", "\r\n".join(lines) + "\r\n")
    write(root / "wavs/._LJ001-0001.wav", "left by macOS")


def test_ljspeech(rows_of, tmp_path, capsys):
    ljspeech(tmp_path / "db/LJSpeech-1.1")
    rows = rows_of("ljspeech")
    assert {utt: row.text for utt, row in rows.items()} == {
        "LJ001-0001": 'He said "Number five".',
        "LJ001-0002": "Only raw.",
        "LJ001-0003": "Two fields.",
    }
    assert {(r.speaker, r.gender, r.emotion, r.set) for r in rows.values()} == {("LJ", "f", "other", "")}
    assert rows["LJ001-0003"].path == str(tmp_path / "db/LJSpeech-1.1/wavs/LJ001-0003.wav")
    log = capsys.readouterr().err
    assert "LJSpeech: 3 utterances of 1 speakers" in log
    for line in (
        "2 recordings without a text: LJ001-0004 LJ001-0005",
        "1 texts without a recording: LJ001-0009",
        "1 lines of another form: metadata.csv:5",
    ):
        assert f"LJSpeech: left out: {line}" in log


def test_further_transcripts(rows_of, tmp_path):
    ljspeech(tmp_path / "db")
    write(tmp_path / "db/more.csv", "LJ001-0004|Four.|Four.\nLJ001-0002|Second.|\n")
    texts = {utt: row.text for utt, row in rows_of("ljspeech", "--metadata", "more.csv").items()}
    assert texts["LJ001-0004"] == "Four." and texts["LJ001-0002"] == "Second." and len(texts) == 4
    write(tmp_path / "db/transcripts.tsv", "wavs/LJ001-0005.flac\tFive.\n")
    assert rows_of("ljspeech")["LJ001-0005"].text == "Five."
    write(tmp_path / "more.tsv", "LJ001-0005\tFive.\nLJ001-0004\n")
    with pytest.raises(UserError, match=r"more.tsv:2: expected `name<TAB>text` or .*found 'LJ001-0004'"):
        rows_of("ljspeech", "--transcripts", str(tmp_path / "more.tsv"))
    with pytest.raises(UserError, match="nowhere.csv: no such file of transcripts"):
        rows_of("ljspeech", "--transcripts", "nowhere.csv")


def test_ones_own_in_that_layout(rows_of, tmp_path):
    record(tmp_path / "db/my voice/wavs/a b.wav")
    write(tmp_path / "db/my voice/metadata.csv", "a b|Hello there.\n")
    (row,) = rows_of("ljspeech").values()
    assert (row.utt, row.speaker, row.gender, row.text) == ("my_voice-a_b", "my_voice", "", "Hello there.")


def librispeech(root, subset="train-clean-100"):
    for name in ("103-1240-0000", "103-1240-0001", "1034-5-0000"):
        speaker, chapter, _ = name.split("-")
        record(root / f"{subset}/{speaker}/{chapter}/{name}.flac")
    write(root / f"{subset}/103/1240/103-1240.trans.txt", "103-1240-0000 CHAPTER ONE\n103-1240-0001 I'LL GO\nbroken\n")
    write(root / f"{subset}/1034/5/1034-5.trans.txt", "1034-5-0000 THE LAW\n")
    write(
        root / "SPEAKERS.TXT", ";ID  |SEX| SUBSET\n103  | F | train-clean-100 | 25.03 | A | B\n1034 | M | x | 1 | C\n"
    )


@pytest.mark.parametrize("part", ["", "LibriSpeech", "LibriSpeech/train-clean-100"])
def test_librispeech(rows_of, tmp_path, capsys, part):
    """SPEAKERS.TXT is found below --db_root and, for one subset, beside it."""
    librispeech(tmp_path / "db/LibriSpeech")
    rows = rows_of("librispeech", "--db_root", str(tmp_path / "db" / part))
    assert {utt: (row.speaker, row.gender, row.text) for utt, row in rows.items()} == {
        "103-1240-0000": ("103", "f", "chapter one"),
        "103-1240-0001": ("103", "f", "i'll go"),
        "1034-5-0000": ("1034", "m", "the law"),
    }
    assert "1 lines of another form: 103-1240.trans.txt:3" in capsys.readouterr().err


def test_librispeech_with_a_table_of_transcripts(rows_of, tmp_path):
    """A selection of the corpus: fewer folders, texts in one table."""
    for name in ("part/103-1240-0000", "other/533/533-1-0002"):
        record(tmp_path / f"db/{name}.flac")
    write(tmp_path / "t.tsv", "part/103-1240-0000.flac\tMrs. Rachel Lind.\n533-1-0002\tAnd on.\n")
    rows = rows_of("librispeech", "--transcripts", str(tmp_path / "t.tsv"))
    assert {utt: row.text for utt, row in rows.items()} == {
        "103-1240-0000": "Mrs. Rachel Lind.",
        "533-1-0002": "And on.",
    }
    assert {row.gender for row in rows.values()} == {""}


def test_vctk_080(rows_of, tmp_path, capsys):
    for speaker in ("p225", "p315"):
        record(tmp_path / f"db/VCTK-Corpus/wav48/{speaker}/{speaker}_001.wav")
    write(tmp_path / "db/VCTK-Corpus/txt/p225/p225_001.txt", "Please call Stella.\n")
    write(tmp_path / "db/VCTK-Corpus/speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION \n225  23  F  English  x\n")
    record(tmp_path / "db/VCTK-Corpus/wav48/p225/p225_002.wav")
    write(tmp_path / "db/VCTK-Corpus/txt/p225/p225_002.txt", "Caf\xe9.\n", "latin-1")
    (row,) = rows_of("vctk").values()  # p315 has no texts
    log = capsys.readouterr().err
    assert "1 lines of another form: p225_002.txt" in log and "2 recordings without a text: p225_002 p315_001" in log
    assert (row.utt, row.speaker, row.gender, row.text) == ("p225_001", "p225", "f", "Please call Stella.")


def test_vctk_092(rows_of, tmp_path):
    root = tmp_path / "db"
    for name in ("p225/p225_001_mic1", "p225/p225_001_mic2", "p280/p280_002_mic1", "s5/s5_003_mic2"):
        record(root / f"wav48_silence_trimmed/{name}.flac")
    for name in ("p225/p225_001", "p280/p280_002", "s5/s5_003"):
        write(root / f"txt/{name}.txt", f"Text of {name[-3:]}.\n")
    write(root / "speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\np225  23  F  English\ns5  24  M  x\n")
    rows = rows_of("vctk")
    assert {utt: (row.gender, row.path.rsplit("/", 1)[1]) for utt, row in rows.items()} == {
        "p225_001": ("f", "p225_001_mic1.flac"),
        "p280_002": ("", "p280_002_mic1.flac"),
        "s5_003": ("m", "s5_003_mic2.flac"),
    }


ESD = [("neutral", 1, "dev"), ("angry", 371, "test"), ("happy", 1050, "train"), ("sad", 1100, "test")]
ESD += [("surprised", 1401, "dev"), ("surprised", 1451, "train")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "gb18030"])
@pytest.mark.parametrize("sub", ["", "train/", "Evaluation/"])
def test_esd(rows_of, tmp_path, encoding, sub):
    """Numbers give the official sets and the sentence; text files come in all encodings, with tabs or blanks."""
    words = {"surprised": "Surprise"}
    for emotion, number, _ in ESD:
        folder = words.get(emotion, emotion.capitalize())
        for speaker in ("0011", "0001"):
            record(tmp_path / f"db/ESD/{speaker}/{folder}/{sub}{speaker}_{number:06d}.wav")
    lines = [f"0011_{number:06d} He said ‘{number}’.\t{emotion}" for emotion, number, _ in ESD]
    lines[1:] = [line.replace(" ", "\t", 1) for line in lines[1:]]
    lines[0] = lines[0].replace("\t", "  ")
    write(tmp_path / "db/ESD/0011/0011.txt", "\n".join([*lines, "0011_000009", ""]), encoding)
    write(tmp_path / "db/ESD/0001/0001.txt", "".join(f"0001_{n:06d}\t打远一看，\t中立\n" for _, n, _ in ESD), encoding)
    rows = rows_of("esd")
    for emotion, number, part in ESD:
        row = rows[f"0011_{number:06d}"]
        assert (row.speaker, row.emotion, row.set, row.text) == ("0011", emotion, part, f"He said ‘{number}’.")
        assert rows[f"0001_{number:06d}"].text == "打远一看，"
    assert rows["0011_000001"].sentence == rows["0011_001401"].sentence == "en-001"
    assert rows["0011_001050"].sentence == "en-350" and rows["0001_001401"].sentence == "zh-001"
    assert {row.emotion for row in rows_of("esd", "--emotion", "other").values()} == {"other"}
    assert {row.set for row in rows_of("esd", "--set", "train").values()} == {"train"}


def test_esd_without_folders_of_emotions(rows_of, tmp_path):
    for number in (350, 351, 1750):
        record(tmp_path / f"db/0012/0012_{number:06d}.wav")
    write(tmp_path / "db/0012/0012.txt", "".join(f"0012_{n:06d}\tHi.\tx\n" for n in (350, 351, 1750)))
    assert [row.emotion for row in rows_of("esd").values()] == ["neutral", "angry", "surprised"]


def test_limits(rows_of, tmp_path, capsys):
    for speaker in (1, 22):
        for i in range(8):
            record(tmp_path / f"db/{speaker}/7/{speaker}-7-{i:04d}.flac", 0.1 + 0.1 * i)
    (tmp_path / "db/1/7/1-7-0008.flac").write_bytes(b"no header")  # its length is not known: stage 2 will say so
    texts = "".join(f"{s}-7-{i:04d} WORD\n" for s in (1, 22) for i in range(9))
    write(tmp_path / "db/t.trans.txt", texts)
    rows = rows_of("librispeech", "--max_seconds", "0.55")
    assert set(rows) == {f"{s}-7-{i:04d}" for s in (1, 22) for i in range(5)} | {"1-7-0008"}
    assert "6 longer than 0.55 s: 1-7-0005 1-7-0006 1-7-0007 22-7-0005 22-7-0006 ..." in capsys.readouterr().err
    assert len(rows_of("librispeech", "--max_seconds", "0")) == 17
    drawn = set(rows_of("librispeech", "--max_seconds", "0.55", "--max_per_speaker", "3"))
    assert sorted(utt.split("-")[0] for utt in drawn) == ["1"] * 3 + ["22"] * 3
    assert drawn < set(rows)
    assert set(rows_of("librispeech", "--max_per_speaker", "3", "--speakers", "22", "--max_seconds", "0.55")) == {
        utt for utt in drawn if utt.startswith("22")
    }  # the draw is a speaker's own
    with pytest.raises(UserError, match=r"speakers: no utterance is of '2'"):
        rows_of("librispeech", "--speakers", "2")
    with pytest.raises(UserError, match="all recordings are longer than 0.05 s; raise --max_seconds"):
        rows_of("librispeech", "--max_seconds", "0.05", "--speakers", "22")


@pytest.mark.parametrize("corpus", CORPORA)
def test_nothing_found_says_what_was_expected(rows_of, tmp_path, corpus):
    with pytest.raises(UserError, match=r"expected a folder at --db_root .*found nothing\. Expected "):
        rows_of(corpus)
    write(tmp_path / "db/notes.txt", "x")
    with pytest.raises(UserError, match=r"db: expected .*; found: notes.txt\. Give the folder"):
        rows_of(corpus)


def test_recordings_without_texts(rows_of, tmp_path):
    record(tmp_path / "db/wavs/LJ001-0001.wav")
    with pytest.raises(UserError, match=r"found: wavs/; 1 recordings without a text, e\.g\. LJ001-0001"):
        rows_of("ljspeech")


def test_mistakes_in_options(rows_of, tmp_path, capsys):
    ljspeech(tmp_path / "db")
    with pytest.raises(UserError, match=r"unknown emotion 'angri' \(did you mean angry\?\)"):
        rows_of("ljspeech", "--emotion", "angri")
    with pytest.raises(UserError, match="expected numbers from 0 on"):
        rows_of("ljspeech", "--max_per_speaker", "-1")
    with pytest.raises(SystemExit):
        get_parser().parse_args(["--corpus", "libri", "--manifest", "m"])
    assert "librispeech" in capsys.readouterr().err
    assert tuple(READERS) == CORPORA
    write(tmp_path / "db/bad.csv", "LJ001-0001|\x80|x\n", "latin-1")
    with pytest.raises(UserError, match=r"bad\.csv: expected text in UTF-8"):
        rows_of("ljspeech", "--transcripts", "bad.csv")
