import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.pitch_shift import shift_pitch

RATE = 22050


def buzz(f0: float, seconds: float = 1.0) -> np.ndarray:
    """Harmonics of f0 below one formant at 700 Hz."""
    t = np.arange(int(seconds * RATE)) / RATE
    numbers = np.arange(1, int(5000 / f0))
    gains = 1 / (1 + ((numbers * f0 - 700) / 150) ** 2)
    return (0.1 * (gains[:, None] * np.sin(2 * np.pi * numbers[:, None] * f0 * t)).sum(0)).astype(np.float32)


def pitch(wav: np.ndarray) -> float:
    import pyworld

    x = wav.astype(np.float64)
    f0, times = pyworld.dio(x, RATE)
    f0 = pyworld.stonemask(x, f0, times, RATE)
    return float(np.median(f0[f0 > 0]))


@pytest.mark.parametrize("semitones", [-5, 4, 12])
def test_pitch_moves_by_semitones_and_length_stays(semitones):
    wav = buzz(150.0)
    out = shift_pitch(wav, RATE, semitones)
    assert out.shape == wav.shape and out.dtype == np.float32
    assert pitch(out) == pytest.approx(150.0 * 2 ** (semitones / 12), rel=0.02)


def test_the_formant_stays():
    def centre(wav):
        power = np.abs(np.fft.rfft(wav * np.hanning(len(wav)))) ** 2
        frequencies = np.fft.rfftfreq(len(wav), 1 / RATE)
        return (power * frequencies).sum() / power.sum()

    wav = buzz(120.0)
    assert centre(shift_pitch(wav, RATE, 7)) == pytest.approx(centre(wav), rel=0.12)  # by resampling: 1.5 times


def test_zero_leaves_every_sample():
    wav = buzz(150.0, 0.2)
    assert (shift_pitch(wav, RATE, 0.0) == wav).all()


@pytest.mark.parametrize("semitones", [25, -30, float("nan")])
def test_beyond_two_octaves_is_refused(semitones):
    with pytest.raises(UserError, match="expected a number from -24 to 24"):
        shift_pitch(buzz(150.0, 0.2), RATE, semitones)
