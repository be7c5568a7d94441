import pytest

from evc2.errors import UserError
from evc2.fileio.manifest import read_manifest

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_F001\txxx\t[2.5000, 2.5000, 2.5000]
[11.0100 - 12.3925]\tSes01F_impro01_M000\tang\t[2.5000, 2.5000, 2.5000]
[12.0100 - 13.3925]\tSes01F_impro01_M001\toth\t[2.5000, 2.5000, 2.5000]
[13.0100 - 14.3925]\tSes01F_impro01_M002\texc\t[4.5000, 2.5000, 2.5000]
[14.0100 - 15.3925]\tSes01F_impro01_MXX0\tneu\t[2.5000, 2.5000, 2.5000]
[15.0100 - 16.3925]\tSes01F_impro01_F002\tsad\t[2.5000, 2.5000, 2.5000]
[16.0100 - 17.3925]\tSes01F_impro01_F003\tzzz\t[2.5000, 2.5000, 2.5000]
"""
TRANSCRIPT = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_M000 [011.0100-012.3925]: Well... I--I don't know. [LAUGHTER]
Ses01F_impro01_FXX1 [012.0100-013.3925]: Mmhm.
F: [BREATHING]
M: Yeah.
"""
WDSEG = """\t SFrm  EFrm    SegAScr Word
\t    0    40      -1000 <s>
\t   41    72     -17530 WELL(2)
\t   73    90     -17530 ++LAUGHTER++
\t  133   146    -258661 I
\t  147   150      -1000 </s>
 Total score:   -123456
"""


def put(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


@pytest.fixture
def db(tmp_path):
    session = tmp_path / "db/Session1"
    put(session / "dialog/EmoEvaluation/Ses01F_impro01.txt", EVALUATION)
    put(session / "dialog/EmoEvaluation/._Ses01F_impro01.txt", "\0\5\26\7 [1.0 - 2.0]\tx")
    put(session / "dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt", "Ses01F_impro01_F000 :Neutral; ()")
    put(session / "dialog/transcriptions/Ses01F_impro01.txt", TRANSCRIPT, "utf-8-sig")
    put(session / "dialog/transcriptions/._Ses01F_impro01.txt", "\0")
    for turn in ("F000", "F001", "M000", "M001", "M002"):
        put(session / f"sentences/wav/Ses01F_impro01/Ses01F_impro01_{turn}.wav", "x")
    put(session / "sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_M000.wdseg", WDSEG)
    return tmp_path / "db"


def test_turns(local, db, tmp_path, capsys):
    local("iemocap").main(["--db_root", str(db), "--manifest", str(tmp_path / "m.tsv")])
    rows = {row.utt: row for row in read_manifest(tmp_path / "m.tsv")}
    assert sorted(rows) == [
        "Ses01F-Ses01F_impro01_F000",
        "Ses01M-Ses01F_impro01_M000",
        "Ses01M-Ses01F_impro01_M002",
    ]
    first, angry, excited = (rows[utt] for utt in sorted(rows))
    assert (first.speaker, first.gender, first.emotion, first.text) == ("Ses01F", "f", "neutral", "Excuse me.")
    # The man speaks, although the woman wears the markers.
    assert (angry.speaker, angry.gender, angry.emotion) == ("Ses01M", "m", "angry")
    assert angry.text == "Well I I don't know."
    assert angry.words == "0.41 0.73 well 1.33 1.47 i"
    assert (excited.emotion, excited.text, excited.words) == ("excited", "", "")
    log = capsys.readouterr().err
    for message in (
        "1 turns without a majority label (xxx)",
        "1 turns labelled other (oth)",
        "1 overlapped turns",
        "1 overlapped turns in transcripts",
        "2 transcript lines without a turn's name",
        "1 labelled turns without a wav file",
        "1 evaluated turns with an unknown name or label",
        "2 turns without a word alignment (used all the same)",
        "1 turns without a transcript (used all the same)",
        "expected 5 sessions, found 1; not there: Session2 Session3 Session4 Session5",
    ):
        assert f": {message}\n" in log
    assert {row.set for row in rows.values()} == {""}
    rows = read_manifest(tmp_path / "m.tsv", {"excited": "happy"})
    assert [row.emotion for row in rows] == ["neutral", "angry", "happy"]


@pytest.mark.parametrize(
    "name, is_turn",
    [
        ("Ses01F_impro01_F000", True),
        ("Ses05M_script03_2_M041", True),
        ("Ses02M_script02_2b_F001", True),
        ("Ses04F_script01_1b_M000", True),
        ("Ses03M_impro05a_F010", True),
        ("Ses01F_impro01_FXX0", False),
        ("Ses06F_impro01_F000", False),
        ("Ses01F_impro01", False),
        ("F:", False),
    ],
)
def test_turn_names(local, name, is_turn):
    assert bool(local("iemocap").TURN.fullmatch(name)) == is_turn


def test_latin_1_transcripts(local, db):
    path = db / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    path.write_bytes("Ses01F_impro01_F000 [006.2901-008.2357]: A caf\xe9.\r\n".encode("latin-1"))
    rows = local("iemocap").read_corpus(db, "speaker_dependent")
    assert rows[0].text == "A caf\xe9."


def add_sessions(db, numbers):
    """Copy session 1 as further ones, with the names of their own turns."""
    for number in numbers:
        for path in sorted((db / "Session1").rglob("*.*")):
            if path.is_file() and not path.name.startswith("."):
                other = db / str(path.relative_to(db)).replace("Session1", f"Session{number}").replace(
                    "Ses01F", f"Ses0{number}F"
                )
                put(other, path.read_text(encoding="utf-8-sig").replace("Ses01F", f"Ses0{number}F"))


def test_sessions_as_sets(local, db):
    add_sessions(db, (4, 5))
    sets = {row.speaker: row.set for row in local("iemocap").read_corpus(db, "speaker_disjoint")}
    assert sets == {
        "Ses01F": "train",
        "Ses01M": "train",
        "Ses04F": "dev",
        "Ses04M": "dev",
        "Ses05F": "test",
        "Ses05M": "test",
    }


def test_counts_beside_the_published_ones(local):
    published = local("iemocap", "published")
    labels = []
    for emotion, counts in published.PUBLISHED.items():
        for speaker, both in zip(published.WOMEN, counts, strict=True):
            labels += [(speaker, emotion)] * sum(both) + [(speaker.replace("F", "M"), emotion)]
    assert len(labels) - 20 == 610 + 137 + 535 + 140 + 624 + 164 + 433 + 111  # totals of the sheet
    table = published.check_counts(labels, 5).splitlines()
    assert table[1].split() == list(published.WOMEN)
    assert [line.split()[0] for line in table[2:]] == ["angry", "happy", "neutral", "sad"]
    assert all(line.count("as published") == 5 for line in table[2:])
    assert "147 as published" in table[2] and "132 as published" in table[3] and "49 as published" in table[5]
    # A happy sentence more, by an excited one; a sad one less.
    labels.remove(("Ses04F", "sad"))
    table = published.check_counts([*labels, ("Ses01F", "excited")], 5).splitlines()
    assert "133 differs (100 + 32)" in table[3] and table[3].count("as published") == 4
    assert "48 differs (36 + 13)" in table[5] and table[5].count("as published") == 4
    assert published.check_counts(labels, 4) == published.LEFT_OUT and "\n" not in published.LEFT_OUT


def test_the_check_of_counts_is_printed(local, db, tmp_path, capsys):
    iemocap = local("iemocap")
    words = ["--db_root", str(db), "--manifest", str(tmp_path / "m.tsv")]
    iemocap.main(words)
    assert capsys.readouterr().out.startswith("not all five sessions are here")
    add_sessions(db, (2, 3, 4, 5))
    iemocap.main(words)
    table = capsys.readouterr().out.splitlines()
    assert table[4].startswith("neutral  1 differs (128 + 43)  1 differs (115 + 28)")
    assert table[2].startswith("angry    0 differs (128 + 19)")  # the angry turn is the man's


def test_the_folder_above_will_do(local, db, tmp_path):
    above = tmp_path / "corpora"
    above.mkdir()
    db.rename(above / "IEMOCAP_full_release")
    assert len(local("iemocap").read_corpus(above, "speaker_dependent")) == 3


def test_wrong_layout_and_no_corpus(local, tmp_path):
    iemocap = local("iemocap")
    (tmp_path / "wavs").mkdir()
    with pytest.raises(UserError, match=r"expected Session1 \.\.\. Session5 .* found: wavs/.*on request"):
        iemocap.read_corpus(tmp_path, "speaker_dependent")
    (tmp_path / "Session2/dialog/EmoEvaluation").mkdir(parents=True)
    with pytest.raises(UserError, match="found no labelled turn with a wav file"):
        iemocap.read_corpus(tmp_path, "speaker_dependent")
    with pytest.raises(UserError, match="sign the release form"):
        iemocap.main(["--manifest", str(tmp_path / "m.tsv")])


def test_laid_out_by_somebody_else(local, real_data):
    rows = local("iemocap").read_corpus(real_data("iemocap"), "speaker_dependent")
    assert len({row.speaker for row in rows}) == 10
    assert any(row.words for row in rows)
