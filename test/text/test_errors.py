"""Errors of recognised phones: known answers."""

import numpy as np
import pytest

from evc2.text.errors import edit_distance, error_rate


@pytest.mark.parametrize(
    "reference, found, distance",
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "axc", 1),
        ("abc", "ac", 1),
        ("abc", "abxc", 1),
        ("abc", "cab", 2),
        ("kitten", "sitting", 3),
        ("saturday", "sunday", 3),
        ("intention", "execution", 5),
        ("aaaa", "bbbb", 4),
    ],
)
def test_edit_distance(reference, found, distance):
    assert edit_distance(reference, found) == edit_distance(found, reference) == distance


def test_phones_are_compared_whole():
    assert edit_distance("AA1 B IY0".split(), "AA0 B IY0".split()) == 1


def test_it_is_a_metric():
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b, c = ("".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(3))
        assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
        assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
        assert (edit_distance(a, b) == 0) == (a == b)


def test_error_rate_is_a_share_of_the_reference():
    assert error_rate("abcd", "abxd") == 0.25
    assert error_rate("ab", "") == 1 and error_rate("ab", "xxxxxx") == 3
    assert error_rate("", "") == 0 and error_rate("", "ab") == 2
