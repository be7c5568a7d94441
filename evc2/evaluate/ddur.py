"""Difference of duration."""

from __future__ import annotations

from evc2.evaluate.item import Item
from evc2.evaluate.registry import register


def duration_difference(x: float, y: float) -> float:
    """|x - y| of two durations of speech.

    Args:
        x, y: seconds, silence before and after the speech trimmed by one rule for both.

    Returns:
        seconds, 0 or more. Source: Zhou et al., Limited data emotional voice conversion leveraging text-to-speech:
        two-stage sequence-to-sequence training, 2021 (there called DDUR).
    """
    return abs(x - y)


@register(
    "ddur",
    unit="s",
    better="lower",
    needs=("wav", "reference"),
    digits=3,
    doc="absolute difference of the durations of speech, silence at both ends trimmed (40 dB below the loudest frame)",
    source="Zhou et al., Limited data emotional voice conversion leveraging text-to-speech, 2021 (DDUR)",
    range="0 ..",
)
def _ddur(item: Item) -> float:
    return duration_difference(item.converted.seconds, item.reference.seconds)
