"""Multi-resolution STFT distance, sample by sample in time: how near a copy is to its original."""

from __future__ import annotations

import numpy as np

from evc2.evaluate.item import Item, sample_pairs
from evc2.evaluate.registry import register

RATE = 22050

RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))
"""FFT size, hop and length of the Hann window in samples."""

FLOOR = 10**-3.5
"""Magnitudes below this count as this (the power 1e-7 of the published code): digital silence has no logarithm."""

_BLOCK = 512
"""Frames computed at once; all of a long file would take gigabytes."""


def mr_stft(x: np.ndarray, y: np.ndarray) -> float:
    """Multi-resolution STFT distance of a signal from its original.

    Args:
        x: [n] the copy.
        y: [n] the original, in time with it.

    Returns:
        0 or more: spectral convergence ||Y - X|| / ||Y|| plus the mean absolute difference of the log magnitudes, a
        mean over three resolutions. ValueError for signals of different lengths.

    Source: Yamamoto, Song and Kim, Parallel WaveGAN, ICASSP 2020, eq. 3 to 6, and their three resolutions (theirs are
    for 24 kHz; the same numbers of samples here).
    """
    if len(x) != len(y):
        raise ValueError(f"expected signals of one length, found {len(x)} and {len(y)} samples")
    return float(np.mean([_distance(x, y, *resolution) for resolution in RESOLUTIONS]))


def _distance(x: np.ndarray, y: np.ndarray, n_fft: int, hop: int, win: int) -> float:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    # As if reflected by half an FFT at both ends: the window in its middle sees no more than this.
    padded = (np.pad(np.asarray(wav, dtype=np.float64), win // 2, mode="reflect") for wav in (x, y))
    frames = [np.lib.stride_tricks.sliding_window_view(wav, win)[::hop] for wav in padded]
    difference = size = logs = 0.0
    for start in range(0, len(frames[0]), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = (np.maximum(np.abs(np.fft.rfft(one[part] * window, n_fft)), FLOOR) for one in frames)
        difference += np.sum((b - a) ** 2)
        size += np.sum(b**2)
        logs += np.sum(np.abs(np.log(b / a)))
    return np.sqrt(difference / size) + logs / (len(frames[0]) * (n_fft // 2 + 1))


@register(
    "mr_stft",
    unit="",
    better="lower",
    needs=("wav", "reference"),
    digits=3,
    doc="multi-resolution STFT distance of output and reference at 22.05 kHz: spectral convergence plus mean absolute "
    "difference of log magnitudes, a mean over FFTs of 512, 1024 and 2048 samples; for copies only: no value where "
    "the lengths differ by over 10 ms",
    source="Yamamoto, Song and Kim, Parallel WaveGAN, ICASSP 2020, eq. 3 to 6",
    range="0 ..",
)
def _mr_stft(item: Item) -> float | None:
    pair = sample_pairs(item.converted, item.reference, RATE)
    return None if pair is None else mr_stft(*pair)
