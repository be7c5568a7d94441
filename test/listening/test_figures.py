"""Means and preferences with known answers."""

import numpy as np
import pytest
from scipy.stats import binom

from evc2.evaluate.intervals import mean_interval
from evc2.listening.figures import Rating, clustered, mean_of, preference


def ratings(values, listeners, trials, systems=("a",)):
    return [
        Rating(f"l{n}", f"i{t}", f"t{t}", "sad", systems, v) for v, n, t in zip(values, listeners, trials, strict=True)
    ]


def test_single_answers_a_unit_are_a_plain_mean():
    values = np.array([1.0, 2, 2, 5, 4, 3, 3])
    found = clustered(values, [f"u{i}" for i in range(7)], np.random.SeedSequence(1), 500)
    plain = mean_interval(values, seed=np.random.SeedSequence(1), draws=500)
    assert found.to_dict() == pytest.approx(plain.to_dict())


def test_mean_is_of_answers_also_when_units_differ_in_size():
    found = mean_of([5, 5, 5, 1], ratings([5, 5, 5, 1], [0, 0, 0, 1], [0, 1, 2, 3]), (1, 5), "x", 0, 200)
    assert found.mean == found.by_listener.mean == found.by_utterance.mean == 4.0
    assert (found.answers, found.listeners, found.utterances) == (4, 2, 4)
    assert 1 <= found.by_listener.t_low and found.by_listener.t_high <= 5


def test_the_wider_interval_is_shown():
    # Listeners differ by 2, utterances not at all; and the other way round.
    n, t = np.meshgrid(np.arange(8), np.arange(8))
    by_listener = ratings((3 + 2 * (n.ravel() % 2) - 1).tolist(), n.ravel(), t.ravel())
    found = mean_of([r.value for r in by_listener], by_listener, (1, 5), "x", 0, 500)
    assert found.unit == "listeners" and found.bounds[0] < 2.7 and found.by_utterance.half == 0
    by_utterance = ratings((3 + 2 * (t.ravel() % 2) - 1).tolist(), n.ravel(), t.ravel())
    found = mean_of([r.value for r in by_utterance], by_utterance, (1, 5), "x", 0, 500)
    assert found.unit == "utterances" and found.by_listener.half == 0


def test_intervals_over_listeners_cover_the_true_mean():
    rng = np.random.default_rng(5)
    hits = 0
    for trial in range(150):
        severity = rng.normal(0, 1, 25)
        values = (3 + severity[:, None] + rng.normal(0, 1, (25, 4))).ravel()
        found = clustered(values, np.repeat([f"l{i}" for i in range(25)], 4), np.random.SeedSequence(trial), 400)
        hits += found.low <= 3 <= found.high
    assert 0.88 <= hits / 150 <= 1.0  # answers taken as independent would cover about 75 %


def test_one_listener_has_no_interval_over_listeners():
    found = mean_of([3, 4], ratings([3, 4], [0, 0], [0, 1]), (1, 5), "x", 0, 200)
    assert found.by_listener.low is None and found.unit == "utterances"


def test_preference_counts_sides_right():
    # `a` wins 8 of 10 decided answers, now as A and now as B; two cannot tell.
    rows = [Rating(f"l{i}", f"i{i}", f"t{i}", "sad", ("a", "b"), 1) for i in range(4)]
    rows += [Rating(f"l{i}", f"i{i}", f"t{i}", "sad", ("b", "a"), 2) for i in range(4, 8)]
    rows += [Rating("l8", "i8", "t8", "sad", ("b", "a"), 1), Rating("l9", "i9", "t9", "sad", ("a", "b"), 2)]
    rows += [Rating("l9", f"i{i}", f"t{i}", "sad", ("a", "b"), 0) for i in (10, 11)]
    found = preference(rows, "a", "b", "x")
    assert (found.wins, found.losses, found.ties) == (8, 2, 2)
    assert found.p == pytest.approx(2 * binom.sf(7, 10, 0.5))
    z, n, p = 1.959964, 10, 0.8  # Wilson's formula
    middle, half = (p + z * z / 2 / n), z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    assert found.wilson == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)), rel=1e-5
    )
    assert found.share.mean == 0.8
    turned = preference(rows, "b", "a", "x")
    assert (turned.wins, turned.losses) == (2, 8) and turned.p == found.p


def test_nobody_could_tell():
    rows = [Rating("l", "i", "t", "sad", ("a", "b"), 0)]
    found = preference(rows, "a", "b", "x")
    assert (found.p, found.wilson, found.share, found.ties) == (None, None, None, 1)
