"""Where speech begins and ends."""

import numpy as np
import pytest

from evc2.feats.trim import speech_bounds


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_tone_between_silences(rate):
    t = np.arange(3 * rate) / rate
    wav = np.where((t > 1) & (t < 2), np.sin(2 * np.pi * 200 * t), 0.0)
    wav += 1e-4 * np.random.default_rng(0).standard_normal(len(t)) + 0.01  # noise 77 dB down, and an offset
    start, stop = speech_bounds(wav, rate)
    # The first frame that touches the tone begins up to a frame before it, and 50 ms stay before that.
    assert 0.92 <= start / rate <= 0.95 and 2.05 <= stop / rate <= 2.08
    assert speech_bounds(wav, rate, margin=2.0) == (0, len(wav))
    assert speech_bounds(wav, rate, below_db=95) == (0, len(wav))


def test_click_is_no_speech():
    wav = np.zeros(32000)
    wav[16000:24000] = np.sin(np.arange(8000) * 0.1)
    wav[4000:4020] = 0.3
    assert speech_bounds(wav, 16000)[0] > 14000


@pytest.mark.parametrize("n", [0, 1, 300, 4000])
def test_nothing_to_find(n):
    assert speech_bounds(np.zeros(n), 16000) == (0, n)
