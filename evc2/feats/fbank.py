"""The input of the DeepSpeaker network: mel band energies of raw frames, each frame normalised by itself.

Source: the published code of the weights (philipperemy/deep-speaker), which takes `fbank` of the package
python_speech_features (J. Lyons, 0.6) at 16 kHz with 64 filters: pre-emphasis 0.97, rectangular 25 ms windows every
10 ms, the power spectrum of 512 points, triangular filters between rounded bins. Despite the usual name "log-fbank"
no logarithm is taken there, so none is taken here: the weights were trained on energies.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RATE = 16000
N_BANDS = 64
WIN, HOP, N_FFT = 400, 160, 512
PREEMPHASIS = 0.97
VOICE_PERCENTILE = 95.0


@lru_cache(maxsize=1)
def filters() -> np.ndarray:
    """Triangles [64, 257] of height 1 between HTK mel points whose bins are rounded down; some low ones coincide."""
    top = 2595.0 * np.log10(1.0 + RATE / 2 / 700.0)
    hertz = 700.0 * (10.0 ** (np.linspace(0.0, top, N_BANDS + 2) / 2595.0) - 1.0)
    edges = np.floor((N_FFT + 1) * hertz / RATE).astype(int)
    found = np.zeros((N_BANDS, N_FFT // 2 + 1))
    for row, (left, middle, right) in zip(found, zip(edges, edges[1:], edges[2:], strict=False), strict=True):
        row[left:middle] = (np.arange(left, middle) - left) / max(1, middle - left)
        row[middle:right] = (right - np.arange(middle, right)) / max(1, right - middle)
    return found


def voiced_part(wav: np.ndarray) -> np.ndarray:
    """From the first to the last sample that is louder than 95 % of them, the last one left out, as published.

    Args:
        wav: [n] at 16 kHz.

    Raises:
        ValueError: an empty signal, or one in which nothing stands out (digital silence, a constant).
    """
    size = np.abs(wav)
    loud = np.flatnonzero(size > np.percentile(size, VOICE_PERCENTILE)) if len(size) else size
    if len(loud) < 2:
        raise ValueError("no speaker can be told of an empty or silent signal")
    return wav[loud[0] : loud[-1]]


def fbank(wav: np.ndarray) -> np.ndarray:
    """Band energies of a signal at 16 kHz: [n] -> [T, 64] float64, T = 1 + ceil((n - 400) / 160), at least 1."""
    wav = np.asarray(wav, dtype=np.float64)
    emphasised = np.append(wav[:1], wav[1:] - PREEMPHASIS * wav[:-1])
    number = 1 + max(0, -(-(len(wav) - WIN) // HOP))
    padded = np.pad(emphasised, (0, (number - 1) * HOP + WIN - len(wav)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WIN)[::HOP]
    power = np.abs(np.fft.rfft(frames, N_FFT, axis=1)) ** 2 / N_FFT
    energies = power @ filters().T
    return np.where(energies == 0, np.finfo(float).eps, energies)


def deepspeaker_input(wav: np.ndarray) -> np.ndarray:
    """What the network sees of a recording: [n] at 16 kHz -> [T, 64] float32, each frame of mean 0 and variance 1.

    Raises:
        ValueError: as :func:`voiced_part`.
    """
    bands = fbank(voiced_part(np.asarray(wav)))
    centred = bands - bands.mean(axis=1, keepdims=True)
    return (centred / np.maximum(bands.std(axis=1, keepdims=True), 1e-12)).astype(np.float32)
