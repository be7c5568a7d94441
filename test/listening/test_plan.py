"""What is put to whom: balance, checks, and what is refused."""

from collections import Counter

import pytest

from evc2.errors import UserError
from evc2.listening.conditions import DIFFERENT, NATURAL, SAME, Material
from evc2.listening.plan import Size, make_plan
from evc2.listening.scales import SCALES, get_scales

SYSTEMS = {"one": "one.scp", "two": "two.scp", "three": "three.scp"}


def clip(name):
    return name, None, None


def materials(speakers=6, sentences=2, reference=True, systems=SYSTEMS):
    found = []
    for s in range(speakers):
        for k in range(sentences):
            for emotion in ("angry", "sad"):
                t = f"s{s}-{k}-{emotion}"
                converted = {name: clip(f"{name}/{t}") for name in systems}
                natural = clip(f"natural/{t}") if reference else None
                wavs = (converted, natural, clip(f"natural/s{s}-{k}"))
                found.append(Material(t, f"s{s}", emotion, "neutral", str(k), *wavs, f"s{s}", "mf"[s % 2]))
    return found


DEFAULT = Size(12, 6)


def plan_of(size=DEFAULT, tests="mos,similarity,xab", systems=SYSTEMS, pairs=None, **kwargs):
    return make_plan(materials(systems=systems, **kwargs), systems, get_scales(tests), size, pairs)


def roles(plan, test, role):
    return [e for e in plan.entries.values() if e.test == test and e.role == role]


def test_every_trial_meets_every_condition_once():
    plan = plan_of()
    for test, conditions in (("mos", 4), ("similarity", 5), ("xab", 3)):
        scored = roles(plan, test, "scored")
        assert len(scored) == 12 * conditions
        assert set(Counter((e.trial, frozenset(e.systems)) for e in scored).values()) == {1}
    assert {e.systems[0] for e in roles(plan, "similarity", "scored")} == {*SYSTEMS, SAME, DIFFERENT}
    # Each system is as often A as B.
    sides = Counter(e.systems for e in roles(plan, "xab", "scored"))
    assert len(sides) == 6 and max(sides.values()) - min(sides.values()) <= 2
    # A system's recording is as often the first of a pair as the second.
    first = Counter(e.clips[0][0].split("/")[0] for e in roles(plan, "similarity", "scored") if e.systems == ("one",))
    assert abs(first["one"] - first["natural"]) <= 2


def test_shares_are_balanced_and_hear_no_sentence_twice():
    plan = plan_of()
    heard = Counter()
    for share in plan.shares["mos"]:
        entries = [plan.entries[item] for item in share]
        scored = [e for e in entries if e.role == "scored"]
        assert len(scored) == 6 and len(entries) == 7
        assert len({e.group for e in entries}) == 7  # also the check is of another sentence
        counts = Counter(e.systems for e in scored)
        assert len(counts) == 4 and max(counts.values()) <= 2
        heard.update(share)
        assert share == sorted(share)
    items = [name for name, e in plan.entries.items() if e.test == "mos" and e.role == "scored"]
    assert len({heard[item] for item in items}) == 1


def test_trials_are_spread_over_emotions_and_speakers():
    plan = plan_of()
    trials = {e.trial: e for e in roles(plan, "mos", "scored")}
    assert Counter(e.emotion for e in trials.values()) == {"angry": 6, "sad": 6}
    assert Counter(e.group[0] for e in trials.values()) == {f"s{s}": 2 for s in range(6)}


def test_equal_seeds_give_equal_plans():
    first, again, other = plan_of(), plan_of(), plan_of(Size(12, 6, seed=1))
    assert first == again
    assert first.id != other.id and not set(first.entries) & set(other.entries)


def test_other_speaker_is_of_the_same_gender_and_emotion():
    by_clip = {m.reference: m for m in materials()}
    for e in roles(plan_of(), "similarity", "scored"):
        if e.systems == (DIFFERENT,):
            left, right = (by_clip[c] for c in e.clips)
            assert left.speaker != right.speaker
            assert (left.gender, left.emotion) == (right.gender, right.emotion)


def test_checks_have_an_obvious_answer():
    plan = plan_of()
    assert all(e.expect == (3, 4, 5) and e.clips[0][0].startswith("natural") for e in roles(plan, "mos", "check"))
    assert all(e.expect == (3, 4) and e.clips[0] == e.clips[1] for e in roles(plan, "similarity", "check"))
    checks = roles(plan, "xab", "check")
    assert {e.expect for e in checks} == {(1,), (2,)}
    for e in checks:
        x, *others = e.clips
        assert others[e.expect[0] - 1] == x != others[2 - e.expect[0]]


def test_practice_uses_other_trials_where_there_are_any():
    plan = plan_of()
    assert not {e.trial for e in roles(plan, "mos", "practice")} & {e.trial for e in roles(plan, "mos", "scored")}
    assert roles(plan, "mos", "practice")[0].systems == (NATURAL,)
    assert all(len(ids) == 2 for ids in plan.practice.values())


def test_more_items_than_trials():
    plan = plan_of(Size(4, 1000))
    assert [len(share) for share in plan.shares["mos"]] == [4 * 4 + 1]


def test_natural_systems_replace_the_anchors():
    systems = {"real": "@reference", "one": "one.scp", "same": "@source", "two": "two.scp"}
    plan = plan_of(systems=systems)
    assert {e.systems[0] for e in roles(plan, "mos", "scored")} == set(systems)
    assert SAME not in {e.systems[0] for e in roles(plan, "similarity", "scored")}
    assert {frozenset(e.systems) for e in roles(plan, "xab", "scored")} == {
        frozenset(pair) for pair in (("one", "same"), ("one", "two"), ("same", "two"))
    }


def test_naturalness_alone_needs_no_reference():
    plan = plan_of(Size(12, 6, natural=False), tests="mos", reference=False)
    assert len(roles(plan, "mos", "scored")) == 36
    with pytest.raises(UserError, match="only 0 of 24 trials have a wav of every system and a reference"):
        plan_of(reference=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": Size(25, 6)}, "--num_trials 25: only 24 of 24 trials"),
        ({"size": Size(0, 6)}, "--num_trials: expected 1 or more, found 0"),
        ({"size": Size(12, 6, checks=30)}, "12 attention checks only"),
        ({"tests": "mos,abx"}, "unknown test 'abx'"),
        ({"tests": "mos,mos"}, "each once"),
        ({"tests": ""}, "expected some of"),
        ({"pairs": [("one", "tow")]}, "unknown system 'tow' .did you mean two?"),
        ({"pairs": [("one", "one")]}, "compares two systems"),
        ({"systems": {"one": "one.scp"}}, "compares two systems"),
        ({"systems": {"natural": "one.scp", "two": "two.scp"}}, "give the system another name"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(UserError, match=message):
        plan_of(**change)


def test_scales_are_those_of_their_sources():
    assert SCALES["mos"].choices == ((5, "Excellent"), (4, "Good"), (3, "Fair"), (2, "Poor"), (1, "Bad"))
    assert [value for value, _ in SCALES["similarity"].choices] == [4, 3, 2, 1]
