"""Whole utterances with phones and labels, and batches of them."""

import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.fileio.ark import ArkWriter
from evc2.fileio.datadir import DataDir
from evc2.train.collate_fn import build_collate
from evc2.train.iterators import length_plan
from evc2.train.utterances import UtteranceDataset

TOKENS = ["<pad>", "<unk>", "sil", "a", "b"]
UTTS = {"s1-a": ("s1", "sad", 4), "s1-b": ("s1", "other", 6), "s2-a": ("s2", "happy", 5)}


@pytest.fixture
def folder(tmp_path):
    for name, column in (("utt2spk", 0), ("utt2emo", 1)):
        (tmp_path / name).write_text("".join(f"{utt} {row[column]}\n" for utt, row in UTTS.items()))
    (tmp_path / "wav.scp").write_text("".join(f"{utt} {utt}.wav\n" for utt in UTTS))
    (tmp_path / "phones").write_text("s1-a sil a b\ns1-b sil b q\ns2-a a\n")
    durations = {"s1-a": [1, 2, 1], "s1-b": [3, 0, 3], "s2-a": [5]}
    with ArkWriter(tmp_path / "feats.ark", tmp_path / "feats.scp") as feats:
        for utt, (_, _, frames) in UTTS.items():
            feats[utt] = np.full((frames, 2), frames, dtype=np.float32)
    with ArkWriter(tmp_path / "durations.ark", tmp_path / "durations.scp") as writer:
        for utt, row in durations.items():
            writer[utt] = np.array(row, dtype=np.float32)
    return tmp_path


def dataset(folder, **more):
    conf = {"tokens": TOKENS, "speakers": ["s1", "s2"], "emotions": ["happy", "sad"]}
    return UtteranceDataset(DataDir(folder), **(conf | more))


def test_items_have_numbers_of_phones_speakers_and_emotions(folder):
    data = dataset(folder)
    name, item = data["s1-a"]
    assert name == "s1-a" and item["text"].tolist() == [2, 3, 4] and item["durations"].tolist() == [1, 2, 1]
    assert (item["sids"], item["eids"]) == (0, 1) and item["feats"].shape == (4, 2)
    assert data["s1-b"][1]["eids"] == -1 and data["s1-b"][1]["text"].tolist() == [2, 4, 1]
    assert len(data) == 3 and data.labelled == 2 and data.lengths == {"s1-a": 4, "s1-b": 6, "s2-a": 5}


def test_masked_speakers_have_no_emotion(folder):
    data = dataset(folder, unlabelled=["s1*"])
    assert data["s1-a"][1]["eids"] == -1 and data["s2-a"][1]["eids"] == 0 and data.labelled == 1


def test_batches_are_padded_with_zeros_and_tell_lengths(folder):
    data = dataset(folder)
    names, batch = build_collate("utterance")([data[utt] for utt in UTTS])
    assert names == list(UTTS)
    assert batch["text"].tolist() == [[2, 3, 4], [2, 4, 1], [3, 0, 0]] and batch["text_lengths"].tolist() == [3, 3, 1]
    assert batch["feats"].shape == (3, 6, 2) and (batch["feats"][0, 4:] == 0).all()
    assert batch["feats_lengths"].tolist() == [4, 6, 5] and batch["durations"].tolist()[2] == [5, 0, 0]
    assert batch["sids"].tolist() == [0, 0, 1] and batch["eids"].dtype == torch.int64


def test_durations_that_do_not_fit_are_named(folder):
    with ArkWriter(folder / "durations.ark", folder / "durations.scp") as writer:
        writer["s1-a"] = np.array([1, 2, 2], dtype=np.float32)
    data = dataset(folder)
    assert len(data) == 1  # those without durations are left out
    with pytest.raises(UserError, match=r"s1-a: 3 phones and 4 frames, but 3 durations of 5 frames"):
        data["s1-a"]


@pytest.mark.parametrize("missing", ["phones", "durations.scp"])
def test_what_stage_3_did_not_make_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(UserError, match=f"there is no {missing}; stage 3 makes it"):
        dataset(folder)


def test_strangers_are_refused(folder):
    with pytest.raises(UserError, match="speakers s2 are not among"):
        dataset(folder, speakers=["s1"])


def test_strength_of_every_utterance(folder):
    with pytest.raises(UserError, match="there is no utt2strength; stage 4 makes it"):
        dataset(folder, strength=True)
    (folder / "utt2strength").write_text("s1-a 0.25\ns1-b 0\n")
    with pytest.raises(UserError, match=r"utt2strength lacks 1 of 3 utterances .s2-a.*stage 4 with --strength true"):
        dataset(folder, strength=True)
    (folder / "utt2strength").write_text("s1-a 0.25\ns1-b 0\ns2-a 1\n")
    data = dataset(folder, strength=True)
    assert [float(data[utt][1]["strength"]) for utt in UTTS] == [0.25, 0.0, 1.0]


LENGTHS = {f"u{i:03d}": (i * 37) % 100 + 1 for i in range(100)}


def test_every_pass_has_every_utterance_once_in_new_company():
    plan = length_plan(LENGTHS, None, 8, seed=0, train=True, rank=0, world=1)
    first, second = plan(1), plan(2)
    for batches in (first, second):
        assert sorted(utt for batch in batches for utt in batch) == sorted(LENGTHS)
    assert {frozenset(b) for b in first} != {frozenset(b) for b in second}
    assert plan(1) == first


def test_batches_are_of_about_one_length():
    plan = length_plan(LENGTHS, None, 8, seed=0, train=True, rank=0, world=1)
    spread = np.mean([max(LENGTHS[u] for u in b) - min(LENGTHS[u] for u in b) for b in plan(1)])
    assert spread < 25  # of 8 drawn at random it is 78


def test_epochs_of_any_size_go_on_where_the_last_one_stopped():
    whole = length_plan(LENGTHS, None, 8, seed=3, train=True, rank=0, world=1)
    short = length_plan(LENGTHS, 5, 8, seed=3, train=True, rank=0, world=1)
    flow = [batch for epoch in (1, 2) for batch in whole(epoch)]
    assert [batch for epoch in range(1, 6) for batch in short(epoch)] == flow[:25]


def test_processes_share_a_batch():
    parts = [length_plan(LENGTHS, None, 8, seed=0, train=True, rank=rank, world=2)(1) for rank in (0, 1)]
    whole = length_plan(LENGTHS, None, 8, seed=0, train=True, rank=0, world=1)(1)
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]


def test_validation_is_by_length_and_the_same_each_time():
    plan = length_plan(LENGTHS, None, 8, seed=0, train=False, rank=0, world=1)
    flat = [LENGTHS[u] for batch in plan(1) for u in batch]
    assert flat == sorted(flat) and len(flat) == 100 and plan(1) == plan(5)
