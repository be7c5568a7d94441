import re

import numpy as np

from evc2.evaluate.report.confusion import confusion_blocks, matrices_of
from evc2.evaluate.report.figures import Figures
from evc2.evaluate.report.tables import baseline_list, comparison_table, summary_table


def cells(table):
    """Text of the cells, row by row."""
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    strip = [[re.sub(r"<[^>]+>", "|", c) for c in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)] for row in rows]
    return [[re.sub(r"\|+", "|", text).strip("|") for text in row] for row in strip]


def test_summary(scores):
    head, anchor, row = cells(summary_table(Figures(scores), "neutral -> angry"))
    assert [text.split("|")[0].strip() for text in head] == ["system", "n", "mcd", "wer", "fd"]
    assert anchor[0].endswith("anchor") and "anchor" not in row[0]
    assert row[1] == "25" and row[2] == "7.50|6.50 … 8.50"
    assert row[3] == "31.2|30.2 … 32.2|n 24" and row[4] == "121|120 … 122"  # digits guessed where none are given
    assert anchor[3] == "–"


def test_few_trials_are_starred(scores):
    _, anchor, row = cells(summary_table(Figures(scores), "neutral -> sad"))
    assert anchor[1] == "5*" and row[3].endswith("n 4*")


def test_values_to_sort_by_are_exact(scores):
    table = summary_table(Figures(scores), "all")
    assert 'data-value="9.125"' in table and 'data-value="31.25"' in table


def test_comparisons(scores):
    _, row = cells(comparison_table(Figures(scores), "neutral -> angry"))
    assert row[0].endswith("|− zero_|effort") and row[2] == "−1.62|−2.00 … −1.25|better"
    assert "better" not in cells(comparison_table(Figures(scores), "neutral -> sad"))[1][2]
    scores["comparisons"] = []
    assert comparison_table(Figures(scores), "all") is None


def test_baselines(scores):
    figures = Figures(scores)
    assert "natural speech: 4.0 (3.0 to 5.0), n 30" in baseline_list(figures, "all")
    assert baseline_list(figures, "neutral -> sad") is None


def test_no_negative_zero(scores):
    assert Figures(scores).text("mcd", -0.001) == "0.00" and Figures(scores).text("mcd", -0.001, sign=True) == "+0.00"


def test_confusions_are_added_up_over_directions():
    judge = {
        "about": "knows 70 % < 100 %",
        "labels": ["a", "b"],
        "systems": {"x -> a": {"s": [[3, 1], [0, 0]]}, "x -> b": {"s": [[0, 0], [2, 4]]}},
    }
    found = matrices_of(judge, ["x -> a", "x -> b", "all"])
    assert np.array_equal(found["all"]["s"], [[3, 1], [2, 4]])
    block = confusion_blocks({"j": judge}, ["x -> a", "all"], ["s"])
    assert cells(block["x -> a"]) == [["target", "a", "b"], ["a", "3|75 %", "1|25 %"]]  # no row without trials
    assert "knows 70 % &lt; 100 %" in block["x -> a"]
    assert "target heard in 7 of 10 (70 %)" in block["all"]
    assert re.findall(r'<td class="(.*?)"', block["all"]) == ["s8 right", "s2", "s3", "s7 right"]
