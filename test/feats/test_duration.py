"""Duration: ratios from statistics, interpolation in time."""

import dataclasses

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.duration import RATIO_LIMITS, duration_ratio, stretch, stretch_f0
from evc2.feats.stats import moments_of

SOURCE = moments_of(np.zeros((3, 2)), duration=1.5)


def slower(by):
    return dataclasses.replace(SOURCE, duration_mean=SOURCE.duration_mean + np.log(by))


def test_ratio():
    assert SOURCE.duration_mean == pytest.approx(np.log(1.5))
    assert duration_ratio(SOURCE, slower(1.2)) == pytest.approx(1.2)
    assert duration_ratio(SOURCE, slower(1.2), 0.0) == 1.0
    assert duration_ratio(SOURCE, slower(1.44), 0.5) == pytest.approx(1.2)
    assert duration_ratio(SOURCE, slower(9.0)) == RATIO_LIMITS[1]
    assert duration_ratio(SOURCE, slower(0.8), 2.0) == pytest.approx(0.64)
    assert duration_ratio(SOURCE, slower(0.3)) == RATIO_LIMITS[0]
    with pytest.raises(UserError, match="run stage 4 again"):
        duration_ratio(SOURCE, moments_of(np.zeros((3, 2))))


def test_f0_is_interpolated_in_log_and_never_towards_zero():
    f0 = np.array([0.0, 0.0, 100.0, 200.0, 0.0, 0.0])
    new = stretch_f0(f0, 16)  # thrice as dense
    assert (new > 0).tolist() == [False] * 5 + [True] * 6 + [False] * 5
    np.testing.assert_allclose(new[5:11], [100, 100, 100 * 2 ** (1 / 3), 100 * 2 ** (2 / 3), 200, 200])
    np.testing.assert_allclose(stretch_f0(f0, 6), f0)
    assert not stretch_f0(np.zeros(4), 9).any()


def test_rows_are_interpolated_end_to_end():
    x = np.stack([np.arange(5.0), 10 - np.arange(5.0)], axis=1)
    np.testing.assert_allclose(stretch(x, 9)[:, 0], np.arange(9) / 2)
    np.testing.assert_allclose(stretch(x, 3), x[::2])
    np.testing.assert_allclose(stretch(x[:1], 3), np.repeat(x[:1], 3, axis=0))
    np.testing.assert_array_equal(stretch(x, 1), x[:1])


@pytest.mark.parametrize("frames", [0, -1])
def test_no_frames(frames):
    with pytest.raises(ValueError, match="frames to stretch"):
        stretch(np.zeros((4, 2)), frames)
    with pytest.raises(ValueError, match="frames to stretch"):
        stretch_f0(np.zeros(0), 3)
