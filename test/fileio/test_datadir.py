"""Tables, data directories and trials."""

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc2.errors import UserError
from evc2.fileio import datadir
from evc2.fileio.datadir import DataDir, Trial, combine, fix, read_table, read_trials, subset, validate, write_table


def files_of(path):
    return {name: (path / name).read_bytes() for name in sorted(os.listdir(path)) if (path / name).is_file()}


def make(path, utts, **extra):
    """Write a valid data directory; `utts` are ids SPEAKER-REST."""
    path.mkdir(parents=True, exist_ok=True)
    spk = {utt: utt.split("-")[0] for utt in utts}
    write_table(path / "utt2spk", spk)
    write_table(path / "spk2utt", datadir.utts_by_speaker(spk))
    write_table(path / "wav.scp", {utt: f"wav/{utt}.wav" for utt in utts})
    write_table(path / "text", {utt: f"words of {utt}" for utt in utts})
    write_table(path / "utt2emo", {utt: "happy" for utt in utts})
    write_table(path / "spk2gender", {s: "f" for s in spk.values()})
    for name, table in extra.items():
        write_table(path / name, table)
    return path


UTTS = ["s1-a", "s1-b", "s2-a", "s2-b", "s2-c"]


@pytest.fixture
def data(tmp_path):
    path = make(tmp_path / "data", UTTS)
    datadir.write_trials(
        path / "trials",
        [
            Trial("t2", "s2-a", "s2", "angry", "s2-b"),
            Trial("t1", "s1-a", "s2", "sad"),
            Trial("t3", "s1-b", "s1", "sad"),
        ],
    )
    return path


# Tables


def test_table_round_trip_is_sorted_by_bytes(tmp_path):
    table = {"é": "1", "a-b": "2 3", "a": "x", "B": "y", "a_b": "z"}
    write_table(tmp_path / "t", table)
    assert list(read_table(tmp_path / "t", check_sorted=True)) == ["B", "a", "a-b", "a_b", "é"]
    assert read_table(tmp_path / "t") == table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a 1\nb 2\na 3\n", r"t:3: duplicate key 'a'"),
        (b"b 1\na 2\n", r"t:2: 'a' comes after 'b'.*LC_ALL=C.*fix_data_dir"),
        (b"a 1\nb\n", r"t:2: 'b' has no value"),
        (b"a 1\nb  \t \n", r"t:2: 'b' has no value"),
        (b"", r"t: empty"),
        (b"\n \n", r"t: empty"),
        (b"a 1\nb \xe9\n", r"t:2: not UTF-8 \(byte 0xe9\)"),
    ],
)
def test_bad_table_names_file_and_line(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "t", check_sorted=True)


def test_table_details(tmp_path):
    (tmp_path / "t").write_bytes("b\t1 \u2028 2\r\n\na  |x| y |\n".encode())
    assert read_table(tmp_path / "t") == {"b": "1 \u2028 2", "a": "|x| y |"}
    (tmp_path / "t").write_bytes(b"")
    assert read_table(tmp_path / "t", allow_empty=True) == {}
    with pytest.raises(UserError, match="no such file"):
        read_table(tmp_path / "u")
    for table in ({"a b": "1"}, {"a": ""}, {"a": "1\n2"}, {"": "1"}):
        with pytest.raises(UserError, match="cannot be written"):
            write_table(tmp_path / "v", table)
    assert not (tmp_path / "v").exists()


def test_tables_share_the_keys_and_rows_their_speaker(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("utt1 speaker\nutt2 speaker\n")
    one, two = (read_table(tmp_path / name) for name in "ab")
    assert all(mine is theirs for mine, theirs in zip(one, two, strict=True))
    assert one["utt1"] is one["utt2"]


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=8)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "C")), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(table=st.dictionaries(KEYS, st.lists(VALUES, min_size=1, max_size=3).map(" ".join), min_size=1))
def test_any_table_round_trips(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("t") / "t"
    write_table(path, table)
    assert read_table(path, check_sorted=True) == table
    keys = [line.split(b" ")[0] for line in path.read_bytes().split(b"\n")[:-1]]
    assert keys == sorted(keys)


# DataDir and validate


def test_datadir(data):
    found = DataDir(data)
    assert found.utts == UTTS and found.speakers == ["s1", "s2"] and found.has("text") and not found.has("feats.scp")
    assert found.segments is None and found.table("text")["s1-b"] == "words of s1-b"
    with pytest.raises(UserError, match=r"expected a file 'feats\.scp', found: spk2gender spk2utt"):
        found.table("feats.scp")
    with pytest.raises(UserError, match="expected a data directory"):
        DataDir(data / "nowhere")


def test_a_valid_directory_passes(data):
    validate(data, need=("wav.scp", "utt2spk", "spk2utt", "text", "utt2emo"))


def test_pipes_and_segments_pass(data):
    write_table(data / "wav.scp", {"rec1": "sox a.wav -t wav - |", "rec2": "b.wav"})
    rows = {utt: f"{'rec1' if utt < 's2' else 'rec2'} {i} {i + 1.5}" for i, utt in enumerate(UTTS)}
    write_table(data / "segments", rows)
    validate(data)
    assert DataDir(data).segments["s2-a"] == ("rec2", 2.0, 3.5)


DAMAGE = {
    "unsorted": (lambda d: _swap(d / "utt2spk"), r"utt2spk:2: 's1-a' comes after 's1-b'"),
    "duplicate": (lambda d: _append(d / "utt2spk", "s2-c s2"), r"utt2spk:6: duplicate key 's2-c'"),
    "prefix": (lambda d: _sub(d / "utt2spk", "s2-b s2", "s2-b s3"), r"'s2-b' does not start with .* id 's3'"),
    "spk2utt": (lambda d: _sub(d / "spk2utt", "s1-a s1-b", "s1-a"), r"spk2utt does not list the same"),
    "wav": (lambda d: _sub(d / "wav.scp", "s1-b wav/s1-b.wav\n", ""), r"wav.scp lacks 1: s1-b"),
    "extra": (lambda d: _append(d / "text", "s9-a words"), r"text has, unlike the other files, 1: s9-a"),
    "emotion": (lambda d: _sub(d / "utt2emo", "s1-b happy", "s1-b hapy"), r"'hapy' \(did you mean happy\?\)"),
    "gender": (lambda d: _sub(d / "spk2gender", "s1 f", "s1 F"), r"s1: expected m or f, found 'F'"),
    "speaker": (lambda d: _append(d / "spk2gender", "s3 f"), r"spk2gender has, unlike .* s3"),
    "trial": (lambda d: _append(d / "trials", "t4 s1-a s1"), r"trials:4: expected `trial_id source"),
    "trial emotion": (lambda d: _append(d / "trials", "t4 s1-a s1 angryy"), r"trials:4: unknown emotion 'angryy'"),
    "trial id": (lambda d: _append(d / "trials", "t1 s1-a s1 sad"), r"trials:4: duplicate trial id 't1'"),
    "empty": (lambda d: (d / "text").write_text(""), r"text: empty"),
    "latin-1": (lambda d: (d / "text").write_bytes(b"s1-a caf\xe9\n"), r"text:1: not UTF-8"),
    "missing": (lambda d: (d / "spk2utt").unlink(), r"spk2utt is missing"),
    "segments": (lambda d: _append(d / "segments", "s1-a rec 2 1"), r"s1-a: expected `recording .*'rec 2 1'"),
}


def _append(path, line):
    with open(path, "a") as file:
        file.write(line + "\n")


def _sub(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _swap(path):
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second, first, *rest]))


@pytest.mark.parametrize("name", DAMAGE)
def test_validate_finds(data, name):
    damage, message = DAMAGE[name]
    damage(data)
    with pytest.raises(UserError, match=message):
        validate(data)


def test_validate_lists_all_problems_at_once(data):
    for name in ("gender", "emotion", "wav", "missing"):
        DAMAGE[name][0](data)
    with pytest.raises(UserError) as caught:
        validate(data)
    for name in ("gender", "emotion", "wav", "missing"):
        assert caught.match(DAMAGE[name][1])
    for i in range(30):
        _append(data / "utt2emo", f"s3-{i:02d} nothing")
    with pytest.raises(UserError, match="and 15 more"):
        validate(data)


def test_speakers_out_of_order(tmp_path):
    # s1 and s1-x: sorted by utterance, the speakers are s1 s1-x s1.
    path = make(tmp_path / "d", ["s1-a", "s1-z"])
    write_table(path / "utt2spk", {"s1-a": "s1", "s1-x-a": "s1-x", "s1-z": "s1"})
    with pytest.raises(UserError, match="speakers are not in order"):
        validate(path)


# fix


@pytest.mark.parametrize("name", ["unsorted", "duplicate", "spk2utt", "wav", "extra", "speaker"])
def test_fix_mends(data, name):
    DAMAGE[name][0](data)
    fix(data)
    validate(data)
    if name == "wav":
        assert DataDir(data).utts == ["s1-a", "s2-a", "s2-b", "s2-c"]
        assert [trial.id for trial in read_trials(data / "trials")] == ["t1", "t2"]
        assert "s1-b" in (data / ".backup" / "utt2spk").read_text()
    else:
        assert DataDir(data).utts == UTTS


def test_fix_keeps_the_first_of_two_rows(data, caplog):
    _append(data / "text", "s1-a other words")
    fix(data)
    assert DataDir(data).table("text")["s1-a"] == "words of s1-a"
    assert "text:6: dropped a second 's1-a'" in caplog.text


def test_fix_with_segments(data):
    write_table(data / "wav.scp", {"r1": "1.wav", "r2": "2.wav", "r3": "3.wav"})
    rows = {"s1-a": "r1 0 1", "s1-b": "r1 1 1", "s2-a": "r2 0 1", "s2-b": "r9 0 1", "s2-c": "r2 1 -1"}
    write_table(data / "segments", rows)
    fix(data)
    validate(data)
    assert DataDir(data).utts == ["s1-a", "s2-a", "s2-c"] and list(DataDir(data).table("wav.scp")) == ["r1", "r2"]


def test_fix_says_when_nothing_is_left(data):
    write_table(data / "utt2emo", {"s9-a": "sad"})
    before = files_of(data)
    with pytest.raises(UserError, match="no utterance is in all of its files"):
        fix(data)
    assert files_of(data) == before
    (data / "wav.scp").unlink()
    with pytest.raises(UserError, match="without utt2spk and wav.scp"):
        fix(data)


IDS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=15, unique=True).map(
    lambda pairs: [f"s{s}-{u}" for s, u in pairs]
)


@settings(max_examples=40, deadline=None)
@given(utts=IDS, data=st.data())
def test_fix_is_idempotent_and_its_result_valid(tmp_path_factory, utts, data):
    path = make(tmp_path_factory.mktemp("fix") / "d", utts)
    kept = set(utts)
    for name in ("utt2spk", "wav.scp", "text", "utt2emo", "spk2utt"):
        lines = (path / name).read_text().splitlines()
        if name in ("text", "utt2emo"):
            lost = data.draw(st.sets(st.sampled_from(utts)), label=f"lost in {name}")
            lines = [line for line in lines if line.split()[0] not in lost]
            kept -= lost
        lines = data.draw(st.permutations(lines), label=name)
        (path / name).write_text("".join(f"{line}\n" for line in lines))
    if not kept:
        with pytest.raises(UserError):
            fix(path)
        return
    fix(path)
    validate(path)
    assert set(DataDir(path).utts) == kept
    once = files_of(path)
    fix(path)
    assert files_of(path) == once


# subset and combine


def test_subset_cuts_every_table_and_the_trials(data, tmp_path):
    subset(data, tmp_path / "out", ["s2-b", "s2-a"])
    validate(tmp_path / "out", need=("wav.scp", "text", "utt2emo", "spk2gender", "trials"))
    out = DataDir(tmp_path / "out")
    assert out.utts == ["s2-a", "s2-b"] and out.table("spk2gender") == {"s2": "f"}
    assert [trial.id for trial in read_trials(tmp_path / "out" / "trials")] == ["t2"]


def test_subset_replaces_what_was_there(data, tmp_path):
    make(tmp_path / "out", ["s7-a"], utt2intensity={"s7-a": "strong"})
    subset(data, tmp_path / "out", ["s1-a"])
    validate(tmp_path / "out")
    assert not (tmp_path / "out" / "utt2intensity").exists()


def test_subset_stops_before_it_has_written_anything(data, tmp_path):
    subset(data, tmp_path / "part", ["s1-a"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "part").iterdir()}
    (data / "utt2emo").write_text("s1-b sad\ns1-a sad\n")
    with pytest.raises(UserError, match="'s1-a' comes after 's1-b'"):
        subset(data, tmp_path / "part", ["s1-a", "s1-b"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "part").iterdir()} == before


def test_subset_mistakes(data, tmp_path):
    for utts, message in ((["s1-q"], r"1 unknown utterances: 's1-q' \(did you"), ([], "without utterances")):
        with pytest.raises(UserError, match=message):
            subset(data, tmp_path / "out", utts)
    with pytest.raises(UserError, match="one folder"):
        subset(data, data, ["s1-a"])
    assert not (tmp_path / "out").exists() and DataDir(data).utts == UTTS


@settings(max_examples=40, deadline=None)
@given(utts=IDS, choice=st.data())
def test_combine_of_two_subsets_is_the_whole(tmp_path_factory, utts, choice):
    root = tmp_path_factory.mktemp("round")
    whole = make(root / "whole", utts)
    part = choice.draw(st.sets(st.sampled_from(utts)))
    parts = [chosen for chosen in (part, set(utts) - part) if chosen]
    for i, chosen in enumerate(parts):
        subset(whole, root / str(i), chosen)
        validate(root / str(i))
    combine(root / "again", [root / str(i) for i in range(len(parts))])
    validate(root / "again")
    assert files_of(root / "again") == files_of(whole)


def test_combine_gives_whole_recordings_segments(data, tmp_path, caplog):
    other = make(tmp_path / "other", ["s3-a"], segments={"s3-a": "rec 1 2"}, utt2dur={"s3-a": 1})
    write_table(other / "wav.scp", {"rec": "rec.wav"})
    combine(tmp_path / "out", [data, other])
    validate(tmp_path / "out")
    segments = DataDir(tmp_path / "out").segments
    assert segments["s1-a"] == ("s1-a", 0.0, -1.0) and segments["s3-a"] == ("rec", 1.0, 2.0)
    assert "utt2dur left out" in caplog.text and not (tmp_path / "out" / "utt2dur").exists()


def test_combine_mistakes(data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    with pytest.raises(UserError, match="'s1-a' in .* is also in another source"):
        combine(tmp_path / "out", [data, tmp_path / "copy"])
    other = make(tmp_path / "other", ["s2-x"], spk2gender={"s2": "m"})
    with pytest.raises(UserError, match="'s2' in .*other/spk2gender is also in another"):
        combine(tmp_path / "out", [data, other])
    with pytest.raises(UserError, match="both a source and the destination"):
        combine(data, [data, other])
    with pytest.raises(UserError, match="no source"):
        combine(tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_a_speaker_in_two_sources_is_fine(data, tmp_path):
    combine(tmp_path / "out", [data, make(tmp_path / "other", ["s2-x"], trials={"t9": "s2-x s2 sad"})])
    validate(tmp_path / "out")
    assert DataDir(tmp_path / "out").table("spk2utt")["s2"] == "s2-a s2-b s2-c s2-x"
    assert len(read_trials(tmp_path / "out" / "trials")) == 4


# Trials


def test_trials_round_trip(data):
    assert read_trials(data / "trials")[:2] == [
        Trial("t1", "s1-a", "s2", "sad", None),
        Trial("t2", "s2-a", "s2", "angry", "s2-b"),
    ]
    (data / "trials").write_text("")
    assert read_trials(data / "trials") == []


def test_arks_are_no_tables_and_some_tables_may_lack_utterances(data):
    (data / "spk2spembs.ark").write_bytes(b"s1 \xe3\x00B")
    (data / "utt2vectors.ark").write_bytes(b"\xe3")
    write_table(data / "durations.scp", {utt: f"d.ark:{i}" for i, utt in enumerate(UTTS[:-1])})
    write_table(data / "spk2spembs.scp", {"s1": "a.ark:1", "s2": "a.ark:2"})
    validate(data)
    write_table(data / "feats.scp", {utt: f"f.ark:{i}" for i, utt in enumerate(UTTS[:-1])})
    with pytest.raises(UserError, match="feats.scp lacks 1: s2-c"):
        validate(data)
    (data / "feats.scp").unlink()
    write_table(data / "durations.scp", {"s9-a": "d.ark:0"})
    with pytest.raises(UserError, match="durations.scp has, unlike the other files, 1: s9-a"):
        validate(data)
