import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.intervals import t_interval
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.score import Row
from evc2.evaluate.summary import ALL, GROUPS, Summary, choose_compared

MCD, CORR = get_metric(["mcd", "lf0_corr"])


def filled(n=25, systems=("zero_effort", "f0", "mine")):
    summary = Summary(systems, [MCD, CORR], seed=1, draws=500)
    rng = np.random.default_rng(0)
    for emotion in ("sad", "happy"):
        for k in range(n):
            hard = rng.normal(8, 2)
            for shift, system in zip((0, -0.1, -0.5), systems, strict=False):
                values = {"mcd": hard + shift + rng.normal(0, 0.02), "lf0_corr": None if k < 3 else 0.5}
                summary.add(Row(system, f"{emotion}{k}", "s", "neutral", emotion, values))
    return summary


def test_cells_and_directions():
    summary = filled()
    assert summary.directions == ["neutral -> happy", "neutral -> sad", ALL]
    assert summary.n_trials("neutral -> sad") == 25 and summary.n_trials(ALL) == 50
    cell = summary.interval("neutral -> sad", "f0", "mcd")
    values = list(summary.values("neutral -> sad", "f0", "mcd").values())
    assert cell.n == 25 and cell.mean == pytest.approx(np.mean(values)) and cell.low < cell.mean < cell.high
    assert summary.interval("neutral -> sad", "f0", "lf0_corr").n == 22  # undefined ones are left out
    assert summary.interval(ALL, "f0", "mcd").n == 50


def test_one_direction_has_no_second_table():
    summary = Summary(["x"], [MCD])
    summary.add(Row("x", "t", "s", None, "happy", {"mcd": 1.0}))
    assert summary.directions == ["text -> happy"]


def test_comparisons():
    summary = filled()
    assert summary.compared(["zero_effort", "f0"]) == [("mine", "zero_effort"), ("mine", "f0")]
    found = summary.compare("neutral -> sad", "mine", "zero_effort", MCD)
    assert found.verdict == "better" and found.difference.mean == pytest.approx(-0.5, abs=0.05)
    assert summary.compare("neutral -> sad", "zero_effort", "mine", MCD).verdict == "worse"
    assert summary.compare("neutral -> sad", "mine", "f0", CORR).verdict == ""  # no difference at all
    few = filled(n=10).compare("neutral -> sad", "mine", "zero_effort", MCD)
    assert few.difference.excludes_zero and few.verdict == ""


def test_anchors_alone_are_compared_with_each_other():
    summary = Summary(["zero_effort", "f0"], [MCD])
    assert summary.compared(["zero_effort"]) == [("f0", "zero_effort")]


def test_names_to_compare_with():
    assert choose_compared(["f0", "mine"], None) == ["f0"]
    assert choose_compared(["a", "b"], ["b", "b"]) == ["b"]
    with pytest.raises(UserError, match="did you mean zero_effort"):
        choose_compared(["zero_effort", "mine"], ["zero_efort"])


def test_summaries_do_not_depend_on_the_order_of_rows():
    rows = [Row("x", f"t{k}", "s", "neutral", "sad", {"mcd": float(k)}) for k in range(30)]
    a, b = Summary(["x"], [MCD]), Summary(["x"], [MCD])
    for row in rows:
        a.add(row)
    for row in reversed(rows):
        b.add(row)
    assert a.interval(ALL, "x", "mcd") == b.interval(ALL, "x", "mcd")


def test_a_metric_of_sets_is_combined_from_sums():
    """The mean, as a value of a set: it must be the mean, and its jackknife interval about Student's."""
    metric = Metric(
        "level", "", "lower", ("wav",), lambda item: None, 2, "d", "s", "r", combine=lambda total: total[1] / total[0]
    )
    summary = Summary(["a", "b", "c"], [metric], seed=1)
    values = np.random.default_rng(0).normal(5, 1, 40)
    for k, value in enumerate(values):
        for system, shift in (("a", 0.0), ("b", 1.0), ("c", None)):
            sums = {} if shift is None else {"level": np.array([1.0, value + shift])}
            summary.add(Row(system, f"t{k}", "s", "neutral", "sad", {}, sums=sums))
    cell = summary.interval("neutral -> sad", "a", "level")
    assert cell.n == 40 and cell.mean == pytest.approx(values.mean())
    low, high = t_interval(values)
    assert cell.low == pytest.approx(low, abs=1e-6) and cell.high == pytest.approx(high, abs=1e-6)
    assert summary.total("neutral -> sad", "a", "level") == pytest.approx([40, values.sum()])
    assert summary.interval("neutral -> sad", "c", "level").mean is None
    better = summary.compare("neutral -> sad", "a", "b", metric)
    assert better.difference.mean == pytest.approx(-1) and better.verdict == "better"
    assert better.difference.high - better.difference.low == pytest.approx(0, abs=1e-6)  # the same trials left out


def test_more_trials_than_groups_need_no_more_memory():
    metric = Metric("n", "", None, ("wav",), lambda item: None, 0, "d", "s", "r", combine=lambda total: total[0])
    summary = Summary(["a"], [metric])
    for k in range(500):
        summary.add(Row("a", f"t{k}", "s", None, "sad", {}, sums={"n": np.ones(1)}))
    assert len(summary._sums["text -> sad", "a", "n"]) == GROUPS
    assert summary.interval("text -> sad", "a", "n").mean == 500


def test_baselines_are_counted_once_a_trial():
    summary = Summary(["a", "b"], [MCD])
    for system in "ab":
        for k in range(3):
            summary.add(Row(system, f"t{k}", "s", "neutral", "sad", {"mcd": 1.0}, baselines={"mcd": float(k)}))
    found = summary.baseline("neutral -> sad", "mcd")
    assert found.n == 3 and found.mean == 1.0 and summary.baseline("neutral -> sad", "lf0_corr") is None
