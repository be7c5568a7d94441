"""utils/split_scp.pl and the two speaker-map scripts."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

UTILS = Path(__file__).resolve().parents[2] / "utils"


def call(folder, name, *words, text=None):
    words = [UTILS / name, *(str(word) for word in words)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, input=text)


@settings(max_examples=40, deadline=None)
@given(number=st.integers(1, 40), data=st.data())
def test_parts_are_the_whole_and_differ_by_one_at_most(tmp_path_factory, number, data):
    folder = tmp_path_factory.mktemp("split")
    parts = data.draw(st.integers(1, number))
    lines = [f"utt{i:02d} some value {i}\n" for i in range(number)]
    (folder / "in.scp").write_text("".join(lines))
    outs = [f"out {i}.scp" for i in range(parts)]
    assert call(folder, "split_scp.pl", "in.scp", *outs).returncode == 0
    texts = [(folder / out).read_text() for out in outs]
    assert "".join(texts) == "".join(lines)
    sizes = [text.count("\n") for text in texts]
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    assert len(os.listdir(folder)) == parts + 1
    # One job's part, counted from 0 or from 1, is the same.
    job = data.draw(st.integers(0, parts - 1))
    done = call(folder, "split_scp.pl", "-j", parts, job, "in.scp")
    assert done.stdout == texts[job]
    call(folder, "split_scp.pl", "-j", parts, job + 1, "--one-based", "in.scp", "one")
    assert (folder / "one").read_text() == texts[job]


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=9), data=st.data())
def test_by_speaker(tmp_path_factory, counts, data):
    folder = tmp_path_factory.mktemp("split")
    parts = data.draw(st.integers(1, len(counts)))
    utts = [(f"s{s}-{u}", f"s{s}") for s, count in enumerate(counts) for u in range(count)]
    (folder / "utt2spk").write_text("".join(f"{utt} {spk}\n" for utt, spk in utts))
    (folder / "in.scp").write_text("".join(f"{utt} x\n" for utt, _ in utts))
    outs = [f"out.{i}" for i in range(parts)]
    done = call(folder, "split_scp.pl", "--utt2spk=utt2spk", "in.scp", *outs)
    assert done.returncode == 0, done.stderr
    texts = [(folder / out).read_text() for out in outs]
    assert "".join(texts) == (folder / "in.scp").read_text()
    speakers = [{line.split("-")[0] for line in text.splitlines()} for text in texts]
    assert all(speakers) and sum(len(part) for part in speakers) == len(counts)
    # No part is a speaker's whole size above its fair share.
    assert max(text.count("\n") for text in texts) <= len(utts) / parts + max(counts)


def test_standard_input_and_a_last_line_without_end(tmp_path):
    done = call(tmp_path, "split_scp.pl", "-j", "2", "1", "-", text="a 1\nb 2\nc 3")
    assert done.stdout == "c 3\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.scp", "a", "b", "c"], "2 lines cannot be split into 3 parts"),
        (["--utt2spk=map", "in.scp", "a", "b"], "1 speakers cannot be split into 2 parts"),
        (["--utt2spk=in.scp", "map", "a"], "'b' is not in in.scp"),
        (["empty", "a"], "empty: empty"),
        (["nowhere", "a"], "nowhere: cannot be read"),
        (["in.scp"], "expected IN and one OUT or more"),
        (["-j", "2", "2", "in.scp"], "count from 0"),
        (["-j", "2", "0", "--one-based", "in.scp"], "count from 1"),
        (["-j", "x", "in.scp"], "expected a number of jobs and a job, found 'x in.scp'"),
        (["--foo", "in.scp", "a"], "unknown option --foo"),
        (["in.scp", "no/a"], "no/a: cannot be written"),
    ],
)
def test_mistakes(tmp_path, words, message):
    (tmp_path / "in.scp").write_text("u1 s\nu2 s\n")
    (tmp_path / "map").write_text("u1 s\nu2 s\nb s\n")
    if words[0].startswith("--utt2spk=in"):
        (tmp_path / "in.scp").write_text("u1 s\nu2 s\n")
    (tmp_path / "empty").write_text("")
    before = sorted(os.listdir(tmp_path))
    done = call(tmp_path, "split_scp.pl", *words)
    assert done.returncode == 1 and message in done.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_speaker_maps_are_each_others_inverse(tmp_path):
    text = "s1-a s1\ns1-b s1\ns2-a s2\n"
    done = call(tmp_path, "utt2spk_to_spk2utt.pl", text=text)
    assert done.stdout == "s1 s1-a s1-b\ns2 s2-a\n"
    (tmp_path / "spk2utt").write_text(done.stdout)
    assert call(tmp_path, "spk2utt_to_utt2spk.pl", "spk2utt").stdout == text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("utt2spk_to_spk2utt.pl", "a s\nb\n", "line 2: expected `utterance speaker`, found 'b'"),
        ("utt2spk_to_spk2utt.pl", "a s\na s\n", "line 2: duplicate utterance 'a'"),
        ("spk2utt_to_utt2spk.pl", "s\n", "line 1: expected `speaker utterance ...`, found 's'"),
    ],
)
def test_bad_speaker_maps(tmp_path, name, text, message):
    done = call(tmp_path, name, text=text)
    assert done.returncode != 0 and message in done.stderr
