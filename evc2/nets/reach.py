"""How far a convolutional generator looks, in frames: what decides how much silence separates two utterances."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction


def reach_in_frames(stages: Iterable[tuple[int, int]]) -> int:
    """Frames on one side of a sample's own frame that it can depend on, rounded up.

    Args:
        stages: (reach, scale) in order: the signal is first made ``scale`` times longer, then ``reach`` samples of that
            rate on either side enter (the sum of dilation * (kernel - 1) / 2 of its convolutions).
    """
    total, rate = Fraction(0), 1
    for reach, scale in stages:
        rate *= scale
        total += Fraction(reach, rate)
    return math.ceil(total)
