"""The data_dir command."""

import pytest

from evc2.bin.data_dir import main
from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, write_table


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data"
    utts = [f"s{s}-u{u}" for s in (1, 2) for u in range(4)]
    write_table(path / "utt2spk", {utt: utt[:2] for utt in utts})
    write_table(path / "wav.scp", {utt: f"{utt}.wav" for utt in utts})
    write_table(path / "utt2dur", {utt: 1 + int(utt[-1]) for utt in utts})
    write_table(path / "spk2utt", {s: " ".join(u for u in utts if u.startswith(s)) for s in ("s1", "s2")})
    return path


def test_validate(data, capsys):
    main(["validate", "--no-text", "--no-feats", str(data)])
    assert "valid; 8 utterances, 2 speakers" in capsys.readouterr().out
    with pytest.raises(UserError, match="feats.scp is missing"):
        main(["validate", "--no-text", str(data)])
    with pytest.raises(UserError, match="utt2emo is missing"):
        main(["validate", str(data), "--no_text", "--no_feats", "--need", "utt2emo"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["4"], "s1-u0 s1-u2 s2-u0 s2-u2"),
        (["--first", "3"], "s1-u0 s1-u1 s1-u2"),
        (["--last", "1"], "s2-u3"),
        (["--per-spk", "1"], "s1-u0 s2-u0"),
        (["--speakers", "3"], "s1-u0 s1-u1 s1-u2 s1-u3"),
        (["--shortest", "3"], "s1-u0 s1-u1 s2-u0"),
    ],
)
def test_subset_by_number(data, tmp_path, options, expected):
    *switch, number = options
    main(["subset", *switch, str(data), number, str(tmp_path / "out")])
    assert " ".join(DataDir(tmp_path / "out").utts) == expected


def test_subset_by_list(data, tmp_path):
    (tmp_path / "utts").write_text("s2-u1\ns1-u1\n")
    main(["subset", "--utt-list", str(tmp_path / "utts"), str(data), str(tmp_path / "out")])
    assert DataDir(tmp_path / "out").utts == ["s1-u1", "s2-u1"]
    (tmp_path / "spks").write_text("s2\n")
    main(["subset", "--spk_list", str(tmp_path / "spks"), str(data), str(tmp_path / "out")])
    assert DataDir(tmp_path / "out").speakers == ["s2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["DATA", "9", "OUT"], "asked for 9 utterances, expected 1 to 8"),
        (["DATA", "0", "OUT"], "expected a positive number"),
        (["DATA", "OUT"], "expected SRC NUMBER DST"),
        (["--first", "--last", "DATA", "2", "OUT"], "choose one of"),
        (["--spk-list", "LIST", "DATA", "OUT"], "unknown speaker 's3'"),
    ],
)
def test_subset_mistakes(data, tmp_path, words, message):
    (tmp_path / "LIST").write_text("s3\n")
    names = {"DATA": data, "OUT": tmp_path / "out", "LIST": tmp_path / "LIST"}
    with pytest.raises(UserError, match=message):
        main(["subset", *(str(names.get(word, word)) for word in words)])
    assert not (tmp_path / "out").exists()
