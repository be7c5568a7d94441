"""Cutting the silence before and after an utterance."""

from __future__ import annotations

import numpy as np

FRAME_SECONDS = 0.02
STEP_SECONDS = 0.005
RUN = 7  # speech begins with this many loud frames in a row; a click is in the four frames that touch it


def speech_bounds(wav: np.ndarray, rate: int, below_db: float = 40.0, margin: float = 0.05) -> tuple[int, int]:
    """Find where the speech of a recording lies.

    Args:
        wav: [n] mono samples.
        rate: in Hz.
        below_db: frames whose RMS is more than this below the loudest frame's are silence.
        margin: seconds to keep on both sides.

    Returns:
        First and last + 1 sample; (0, n) if no frames are loud for long enough.
    """
    frame, step = max(1, int(FRAME_SECONDS * rate)), max(1, int(STEP_SECONDS * rate))
    if len(wav) < frame:
        return 0, len(wav)
    wav = np.asarray(wav, dtype=np.float64)
    energy = np.concatenate([[0.0], np.cumsum((wav - wav.mean()) ** 2)])  # a constant offset is not sound
    starts = np.arange(0, len(wav) - frame + 1, step)
    power = energy[starts + frame] - energy[starts]
    loud = (power > 0) & (power >= power.max() * 10.0 ** (-below_db / 10.0))
    run = min(RUN, len(loud))
    held = np.flatnonzero(np.convolve(loud, np.ones(run), mode="valid") > run - 0.5)
    if len(held) == 0:
        return 0, len(wav)
    keep = int(margin * rate)
    first, last = starts[held[0]], starts[held[-1] + run - 1] + frame
    return max(0, int(first) - keep), min(len(wav), int(last) + keep)
