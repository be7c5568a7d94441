"""Wavs as text within the page."""

from __future__ import annotations

import base64
import io

import numpy as np

MAX_RATE = 24000
"""Wavs of a higher rate are brought to this one (Hz): twelve trials with seven players each stay below 12 MB."""


def data_uri(mime: str, content: bytes) -> str:
    """Content as an address that needs no file."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def flac(wav: np.ndarray, rate: int) -> bytes:
    """16-bit FLAC, which every browser plays, of mono samples.

    Args:
        wav: [n] float, -1 .. 1; what lies beyond is clipped.
        rate: in Hz; above ``MAX_RATE`` the samples are resampled.
    """
    import soundfile
    import soxr

    if rate > MAX_RATE:
        wav, rate = soxr.resample(wav, rate, MAX_RATE), MAX_RATE
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wav, -1.0, 1.0), rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
