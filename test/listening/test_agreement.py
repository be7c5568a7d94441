"""Krippendorff's alpha: his own example, and cases that need no calculator."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.listening.agreement import krippendorff_alpha

# Four observers, twelve units, with gaps: section C of "Computing Krippendorff's Alpha-Reliability" (2011).
EXAMPLE = ["123321412...", "12332241 25.3".replace(" ", ""), ".3332342251.", "123324412 51.".replace(" ", "")]
UNITS = [[int(row[i]) for row in EXAMPLE if row[i] != "."] for i in range(12)]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_published_example(level, alpha):
    assert krippendorff_alpha(UNITS, level) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_simple_cases(level):
    assert krippendorff_alpha([[1, 1], [2, 2], [5, 5, 5]], level) == 1.0
    assert krippendorff_alpha([[1, 2], [2, 1]], level) == pytest.approx(-0.5)  # observed 1, expected 8 / 12
    assert krippendorff_alpha([[3, 3], [3, 3]], level) is None  # no variation to agree about
    assert krippendorff_alpha([[1], [2]], level) is None
    random = np.random.default_rng(0).integers(1, 6, size=(3000, 3))
    assert krippendorff_alpha(random.tolist(), level) == pytest.approx(0, abs=0.03)


def test_unknown_level():
    with pytest.raises(UserError, match="unknown level of measurement 'ratio'"):
        krippendorff_alpha(UNITS, "ratio")
