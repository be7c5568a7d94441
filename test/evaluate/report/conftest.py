"""Scores as an evaluation leaves them, with names that a page must not trust."""

import copy

import pytest

HOSTILE = "<b>&\"'</script>{{data}}"


def _scores():
    metrics = {
        "mcd": {"unit": "dB", "better": "lower", "digits": 2, "definition": "d", "source": "K", "range": "0 .."},
        "wer": {
            "unit": "%",
            "better": "lower",
            "definition": "w",
            "source": "L",
            "range": "0 ..",
            "note": "by base.en",
        },
        "fd": {"unit": "", "better": None, "definition": "f", "source": "D", "range": "0 ..", "of_a_set": True},
    }
    cells, comparisons = [], []
    for direction, n in (("neutral -> angry", 25), ("neutral -> sad", 5), ("all", 30)):
        for system, mcd in (("zero_effort", 9.125), (HOSTILE, 7.5)):
            for metric, mean in (("mcd", mcd), ("wer", 31.25 if system == HOSTILE else None), ("fd", 120.6)):
                count = 0 if mean is None else n - 1 if metric == "wer" else n
                low, high = (None, None) if mean is None else (mean - 1, mean + 1)
                cell = {"n": count, "mean": mean, "low": low, "high": high}
                cells.append({"direction": direction, "system": system, "metric": metric, **cell})
        difference = {"n": n, "mean": -1.625, "low": -2.0, "high": -1.25, "verdict": "better" if n >= 20 else ""}
        comparisons.append(
            {"direction": direction, "metric": "mcd", "system": HOSTILE, "other": "zero_effort", **difference}
        )
    return {
        "about": {"data": f"{HOSTILE}, 30 trials", "date": "2026-01-01", "command": "`python -m x`"},
        "systems": ["zero_effort", HOSTILE],
        "trials": {"neutral -> angry": 25, "neutral -> sad": 5, "all": 30},
        "metrics": metrics,
        "skipped_metrics": {"utmos": "needs weights"},
        "summaries": cells,
        "comparisons": comparisons,
        "baselines": [{"direction": "all", "metric": "wer", "of": "natural speech", "n": 30, "mean": 4.0,
                       "low": 3.0, "high": 5.0}],
        "confusions": {},
        "problems": [{"system": HOSTILE, "trial": f"t{k}", "problem": "silent"} for k in range(60)],
        "notes": [{"system": "zero_effort", "note": "clipped", "wavs": 3}],
    }  # fmt: skip


@pytest.fixture
def hostile():
    """A name that holds everything that matters to HTML."""
    return HOSTILE


@pytest.fixture
def scores():
    """The content of a scores.json."""
    return copy.deepcopy(_scores())
