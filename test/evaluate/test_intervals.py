import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.intervals import (
    bootstrap_interval,
    mean_interval,
    paired_difference,
    seed_for,
    t_interval,
    verdict,
)


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("skewed", [False, True])
def test_interval_covers_the_known_mean_about_95_percent_of_times(method, skewed):
    rng = np.random.default_rng(7)
    hits_boot = hits_t = 0
    repeats = 300
    for k in range(repeats):
        values = rng.exponential(2.0, 40) if skewed else rng.normal(2.0, 3.0, 30)
        low, high = bootstrap_interval(values, draws=600, seed=k, method=method)
        hits_boot += low <= 2.0 <= high
        low, high = t_interval(values)
        hits_t += low <= 2.0 <= high
    assert 0.90 <= hits_boot / repeats <= 0.99
    assert 0.90 <= hits_t / repeats <= 0.99


def test_t_interval_of_known_numbers():
    # n = 4, mean 2.5, s = 1.29099, t(0.975, 3) = 3.18245 from a table
    low, high = t_interval(np.array([1.0, 2.0, 3.0, 4.0]))
    half = 3.18245 * 1.29099 / 2
    assert low == pytest.approx(2.5 - half, abs=1e-4)
    assert high == pytest.approx(2.5 + half, abs=1e-4)


def test_bca_agrees_with_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).exponential(1.0, 35)
    theirs = bootstrap((values,), np.mean, n_resamples=9999, method="BCa", random_state=5).confidence_interval
    mine = bootstrap_interval(values, draws=9999, seed=5)
    width = theirs.high - theirs.low
    # Ours is widened for small n, by t(0.975, 34) * sqrt(35 / 34) / 1.96 = 1.052, that is 0.026 of the width an end.
    assert mine == pytest.approx((theirs.low - 0.026 * width, theirs.high + 0.026 * width), abs=0.03 * width)
    percentile = bootstrap_interval(values, draws=9999, seed=5, method="percentile")
    assert mine[1] - percentile[1] > 0.02 * width  # the skew to the right moves the interval to the right


def test_same_seed_same_interval_and_order_of_summaries_does_not_matter():
    values = np.random.default_rng(0).normal(size=25)
    a = bootstrap_interval(values, seed=seed_for(1, "x", "y"))
    assert a == bootstrap_interval(values, seed=seed_for(1, "x", "y"))
    assert a != bootstrap_interval(values, seed=seed_for(2, "x", "y"))
    assert a != bootstrap_interval(values, seed=seed_for(1, "xy", ""))


def test_few_values():
    assert mean_interval([]).mean is None and mean_interval([]).half is None
    one = mean_interval([3.0])
    assert (one.n, one.mean, one.low, one.t_high, one.enough) == (1, 3.0, None, None, False)
    assert not mean_interval(np.arange(19.0)).enough
    assert mean_interval(np.arange(20.0)).enough


def test_equal_values_have_no_width():
    interval = mean_interval([0.1 + 0.2] * 30)
    assert interval.low == interval.high == pytest.approx(0.3)
    assert interval.excludes_zero
    assert not mean_interval([0.0] * 30).excludes_zero


def test_paired_difference_uses_common_trials_and_sees_what_unpaired_would_not():
    rng = np.random.default_rng(1)
    hard = rng.normal(8, 3, 40)  # trials differ much more than systems do
    system = {f"t{k}": hard[k] - 0.2 + rng.normal(0, 0.05) for k in range(40)}
    other = {f"t{k}": hard[k] for k in range(40)} | {"only here": 99.0}
    difference = paired_difference(system, other)
    assert difference.n == 40
    assert difference.mean == pytest.approx(-0.2, abs=0.05)
    assert difference.low < -0.2 < difference.high < 0
    apart = [mean_interval(list(table.values())[:40]) for table in (system, other)]
    assert apart[0].high > apart[1].low  # unpaired, the intervals overlap
    assert paired_difference(system, {"x": 1.0}).n == 0


def test_verdict_needs_an_interval_off_zero_and_enough_trials():
    rng = np.random.default_rng(2)
    lower = mean_interval(rng.normal(-1, 0.5, 30))
    assert verdict(lower, "lower") == "better"
    assert verdict(lower, "higher") == "worse"
    assert verdict(lower, None) == ""
    assert verdict(mean_interval(rng.normal(-1, 0.5, 19)), "lower") == ""
    around = mean_interval(np.r_[rng.normal(0, 1, 30), -rng.normal(0, 1, 30)])
    assert not around.excludes_zero and verdict(around, "lower") == ""


def test_unknown_method():
    with pytest.raises(UserError, match="bca or percentile"):
        bootstrap_interval(np.arange(5.0), method="median")
