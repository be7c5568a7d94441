import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.registry import get_metric
from evc2.evaluate.score import Row
from evc2.evaluate.summary import ALL, Summary, choose_compared

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
