"""The rotation is balanced, whatever the numbers."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from evc2.listening.rotation import MOST_SHARES, choose, order_key, rotation, shares, spread

SMALL = st.integers(1, 12)


@given(SMALL, SMALL)
def test_every_pair_once_and_no_trial_twice_in_a_run(trials, conditions):
    wheel = rotation(trials, conditions)
    assert len(set(wheel)) == len(wheel) == trials * conditions
    around = wheel + wheel
    for start in range(len(wheel)):
        assert len({t for t, _ in around[start : start + trials]}) == trials


@given(SMALL, SMALL, SMALL)
def test_a_share_has_all_conditions_about_equally_often(trials, conditions, each):
    wheel = rotation(trials, conditions)
    for share in shares(len(wheel), min(each, trials)):
        counts = Counter(wheel[k][1] for k in share)
        assert max(counts.values()) - min(counts.get(c, 0) for c in range(conditions)) <= 2


@given(st.integers(1, 60), st.integers(1, 80))
def test_shares_use_all_items_equally_at_any_time(total, each):
    dealt = shares(total, each)
    used = Counter({k: 0 for k in range(total)})
    for share in dealt:
        assert len(set(share)) == len(share) == min(total, each)
        used.update(share)
        assert max(used.values()) - min(used.values()) <= 1
    assert len(dealt) == MOST_SHARES or len(set(used.values())) == 1


def test_groups_are_far_apart_on_the_circle():
    items = [(group, i) for group in "abcdef" for i in range(3)]
    ordered = spread(items, lambda item: item[0], Random(1))
    assert sorted(ordered) == items
    around = [group for group, _ in ordered * 2]
    assert all(len(set(around[i : i + 6])) == 6 for i in range(len(items)))


def test_choice_is_even_and_seeded():
    items = [(e, s, i) for e in ("angry", "sad") for s in range(4) for i in range(5)]
    of = (lambda item: item[0], lambda item: item[1])
    chosen = choose(items, 8, of, Random(0))
    assert Counter(item[0] for item in chosen) == {"angry": 4, "sad": 4}
    assert Counter(item[1] for item in chosen) == {s: 2 for s in range(4)}
    assert chosen == choose(items, 8, of, Random(0)) != choose(items, 8, of, Random(1))


def test_order_key_is_fnv_1a_with_the_mixing_of_murmur():
    # FNV-1a of "" is its offset basis, of "a" 0xE40C292C; the mixing of 0 is 0 and of 1 is 0x514E28B7 (smhasher).
    def mixed(h):
        h = ((h ^ h >> 16) * 0x85EBCA6B) % 2**32
        h = ((h ^ h >> 13) * 0xC2B2AE35) % 2**32
        return h ^ h >> 16

    assert mixed(1) == 0x514E28B7
    assert order_key("") == mixed(0x811C9DC5) and order_key("a") == mixed(0xE40C292C)
