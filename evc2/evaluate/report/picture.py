"""Spectrograms as small PNG images, and F0 contours to lay over them."""

from __future__ import annotations

import struct
import zlib
from functools import cache

import numpy as np

from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel

HOP_SECONDS = 0.01
RANGE_DB = 70.0
"""From the loudest point of a wav down to what is drawn darkest."""

LEVELS = 48
F0_LOW, F0_HIGH = 60.0, 800.0
"""Bounds of the F0 axis in Hz, which is logarithmic."""

# Corners of the colour scale from quiet to loud, ever lighter: it reads in grey and to the colour blind too.
_CORNERS = ((8, 8, 20), (44, 20, 92), (112, 30, 118), (178, 48, 96), (228, 92, 56), (250, 158, 40), (250, 236, 150))


@cache
def picture_contract() -> FeatureContract:
    """The analysis of the pictures: 16 kHz, a frame each 10 ms, 80 mel bands to 8 kHz, in dB."""
    return FeatureContract.from_dict(
        {
            "name": "picture", "kind": "mel", "rate": 16000, "n_fft": 512, "hop": 160, "win": 400, "window": "hann",
            "center": True, "pad": "constant", "power": 2.0, "n_mels": 80, "fmin": 0.0, "fmax": 8000.0,
            "mel_scale": "htk", "mel_norm": "none", "log_base": "db", "floor": 1e-10, "floor_place": "clip",
            "scale": "none",
        }
    )  # fmt: skip


def spectrogram(wav: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram [T, 80] in dB of a wav [n] at 16 kHz; a frame each 10 ms, the first at time 0."""
    return log_mel(wav, picture_contract())


def mel_place(hz: float) -> float:
    """Where a frequency lies on the axis of the picture: 0 (0 Hz, bottom) .. 1 (8 kHz, top)."""
    return float(np.log1p(hz / 700.0) / np.log1p(8000.0 / 700.0))


def f0_place(hz: np.ndarray | float) -> np.ndarray | float:
    """Where an F0 in Hz lies on its axis: 0 (60 Hz, bottom) .. 1 (800 Hz, top)."""
    return np.log(np.asarray(hz) / F0_LOW) / np.log(F0_HIGH / F0_LOW)


def palette(levels: int = LEVELS) -> np.ndarray:
    """Colours [levels, 3] uint8 from quiet to loud."""
    places = np.linspace(0, len(_CORNERS) - 1, levels)
    corners = np.array(_CORNERS, dtype=np.float64).T
    return (
        np.stack([np.interp(places, range(len(_CORNERS)), channel) for channel in corners], axis=1).round().astype("u1")
    )


def png(indices: np.ndarray, colours: np.ndarray) -> bytes:
    """An indexed PNG (W3C, Portable Network Graphics, third edition, colour type 3).

    Args:
        indices: [height, width] of colours, the upper row first.
        colours: [up to 256, 3] uint8.
    """
    height, width = indices.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = indices

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", colours.astype(np.uint8).tobytes())]
    parts += [chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def spectrogram_png(decibels: np.ndarray) -> bytes:
    """The picture of a spectrogram [T, bands] in dB, low bands at the bottom, its loudest point the brightest."""
    share = np.clip(1 + (decibels.T[::-1] - decibels.max()) / RANGE_DB, 0.0, 1.0)
    return png(np.round(share * (LEVELS - 1)).astype(np.uint8), palette())


def f0_path(f0: np.ndarray, frame_seconds: float, x_per_second: float, height: float, every: int = 2) -> str:
    """The voiced stretches of a contour as the "d" of an SVG path.

    Args:
        f0: [T] in Hz, 0 where unvoiced.
        frame_seconds: from one frame to the next.
        x_per_second, height: the drawing's units; y runs downwards from 800 Hz to 60 Hz.
        every: frames a point.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], f0 > 0, [False]]).astype(int)))
    parts = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        frames = np.unique(np.append(np.arange(start, stop, every), stop - 1))
        x = frames * frame_seconds * x_per_second
        y = height * (1 - np.clip(f0_place(f0[frames]), 0.0, 1.0))
        if len(frames) == 1:  # a point shows as a short dash
            x, y = np.array([x[0], x[0] + frame_seconds * x_per_second]), np.repeat(y, 2)
        parts.append("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)))
    return "".join(parts)
