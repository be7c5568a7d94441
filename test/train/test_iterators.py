"""Batches depend on (seed, epoch) alone, start in the middle, and are balanced."""

from collections import Counter

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.train.collate_fn import crop_start, fit
from evc2.train.iterators import EVCIterFactory, draws, pair_plan, set_plan, single_plan

DOMAINS = {"a": ["a1", "a2", "a3"], "b": [f"b{i}" for i in range(10)]}


def test_pairs_are_reproducible_and_differ_between_epochs():
    one, two = (pair_plan(DOMAINS, 5, 4, 0, True, 0, 1) for _ in range(2))
    assert one(1) == two(1) != one(2)
    assert pair_plan(DOMAINS, 5, 4, 1, True, 0, 1)(1) != one(1)


def test_pairs_are_balanced():
    requests = [r for batch in pair_plan(DOMAINS, 15, 4, 0, True, 0, 1)(1) for r in batch]
    left, right = Counter(r[0] for r in requests), Counter(r[1] for r in requests)
    assert len(requests) == 60 and set(left.values()) == {20} and set(right.values()) == {6}
    assert len(set(requests)) == 60  # every crop has its own key


def test_processes_share_a_batch():
    whole = pair_plan(DOMAINS, 5, 4, 0, True, 0, 1)(3)
    parts = [pair_plan(DOMAINS, 5, 4, 0, True, rank, 2)(3) for rank in (0, 1)]
    for batch, left, right in zip(whole, *parts, strict=True):
        assert sorted(left + right) == sorted(batch)


def test_too_many_processes():
    with pytest.raises(UserError, match="batch_size is smaller"):
        pair_plan(DOMAINS, 5, 1, 0, True, 0, 2)(1)


def test_empty_domain():
    with pytest.raises(UserError, match="'b'"):
        pair_plan({"a": ["x"], "b": []}, 1, 1, 0, True, 0, 1)


def test_validation_is_fixed_and_complete():
    plan = pair_plan(DOMAINS, 5, 4, 0, False, 0, 1)
    assert plan(1) == plan(7)
    assert {r[1] for batch in plan(1) for r in batch} == set(DOMAINS["b"])


def test_single_plan_continues_through_passes():
    batches = [[f"u{i}"] for i in range(5)]
    plan = single_plan(batches, 3, 0, True, 0, 1, crops=False)
    seen = [u for epoch in range(1, 6) for (u,) in plan(epoch)]
    assert Counter(seen) == {f"u{i}": 3 for i in range(5)}
    assert sorted(seen[:5]) == [f"u{i}" for i in range(5)]


def test_start_leaves_out_what_was_used():
    class Dataset:
        def __getitem__(self, request):
            return request

    plan = pair_plan(DOMAINS, 5, 2, 0, True, 0, 1)
    factory = EVCIterFactory(Dataset(), plan, lambda items: items)
    assert list(factory.build_iter(2, start=3)) == list(factory.build_iter(2))[3:]


def test_draws_pass_over_all():
    got = draws(["x", "y", "z"], 7, np.random.default_rng(0))
    assert len(got) == 7 and {u for u, n in got if n == 0} == {"x", "y", "z"} == {u for u, n in got if n == 1}


def test_crop_start_stays_inside():
    starts = {crop_start(130, 128, f"0 1 u{i}") for i in range(100)}
    assert starts == {0, 1, 2}
    assert crop_start(50, 128, "x") == 0


def test_fit_reflects():
    x = np.arange(3)[:, None]
    assert fit(x, 5)[:, 0].tolist() == [0, 1, 2, 1, 0]
    assert fit(x, 2)[:, 0].tolist() == [0, 1]
    assert fit(np.ones((1, 2)), 4).shape == (4, 2)


def test_many_domains_take_turns_in_pairs():
    domains = {name: [f"{name}{i}" for i in range(5 + k)] for k, name in enumerate("abcd")}
    batches = pair_plan(domains, 12, 3, 0, True, 0, 1)(1)
    pairs = [{request[3] for request in batch} for batch in batches]
    assert all(len(pair) == 1 for pair in pairs)  # one pair a batch
    assert sorted(p.pop() for p in pairs[:6]) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for u, v, _, (i, j) in (request for batch in batches for request in batch):
        assert u in domains["abcd"[i]] and v in domains["abcd"[j]]
    used = [request[0] for batch in batches for request in batch] + [r[1] for batch in batches for r in batch]
    assert set(used) == {utt for utts in domains.values() for utt in utts}
    assert batches == pair_plan(domains, 12, 3, 0, True, 0, 1)(1)
    valid = pair_plan(domains, 12, 3, 0, False, 0, 1)(1)
    assert {batch[0][3] for batch in valid} == {(0, 1), (1, 2), (2, 3), (0, 3)}
    assert {utt for batch in valid for r in batch for utt in r[:2]} == set(used)


FRAMES = {"a": {"a1": 100, "a2": 300}, "b": {f"b{i}": 50 for i in range(5)}, "c": {"c1": 10}}


def test_sets_hold_one_of_every_domain_in_proportion_to_its_frames():
    plan = set_plan(FRAMES, 100, 4, 0, True, 0, 1)
    assert plan(1) == set_plan(FRAMES, 100, 4, 0, True, 0, 1)(1) != plan(2)
    items = [item for batch in plan(1) for item in batch]
    assert len(items) == 400 and len({key for _, key in items}) == 400
    assert all(utts[0] in FRAMES["a"] and utts[1] in FRAMES["b"] and utts[2] == "c1" for utts, _ in items)
    drawn = Counter(utts[0] for utts, _ in items)
    assert 0.68 < drawn["a2"] / 400 < 0.82  # 300 of 400 frames


def test_sets_of_validation_are_fixed_and_complete():
    plan = set_plan(FRAMES, 100, 4, 0, False, 0, 1)
    assert plan(1) == plan(2) and [len(b) for b in plan(1)] == [4, 1]
    assert {utts[1] for batch in plan(1) for utts, _ in batch} == set(FRAMES["b"])
    parts = [set_plan(FRAMES, 9, 4, 0, True, rank, 2)(3) for rank in (0, 1)]
    whole = set_plan(FRAMES, 9, 4, 0, True, 0, 1)(3)
    assert all(sorted(a + b) == sorted(w) for w, a, b in zip(whole, *parts, strict=True))
