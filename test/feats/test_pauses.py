"""What is cut out of an utterance's pauses."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.pauses import cut_pauses, edges, energy_flags, smooth


def talk(voice, *parts, rate=16000, noise=1e-4, seed=3):
    """Parts in seconds, speech and pause in turn, in noise."""
    pieces = [
        voice(seconds, rate=rate, seed=i) if i % 2 == 0 else np.zeros(round(seconds * rate), dtype=np.float32)
        for i, seconds in enumerate(parts)
    ]
    wav = np.concatenate(pieces)
    return wav + noise * np.random.default_rng(seed).standard_normal(len(wav)).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
@pytest.mark.parametrize("noise", [0.0, 1e-4, 2e-3])
def test_a_long_pause_keeps_half_a_second(voice, rate, noise):
    wav = talk(voice, 1.5, 2.0, 1.2, rate=rate, noise=noise)
    seconds = len(cut_pauses(wav, rate)) / rate
    assert 1.5 + 1.2 + 0.40 <= seconds <= 1.5 + 1.2 + 0.60


def test_short_pauses_stay(voice):
    for pause in (0.1, 0.3, 0.4):
        wav = talk(voice, 1.0, pause, 1.0)
        assert cut_pauses(wav, 16000) is wav


def test_what_is_kept_is_the_recording_itself(voice):
    wav = talk(voice, 1.0, 3.0, 1.0)
    cut = cut_pauses(wav, 16000)
    half = 16000 + 1000
    assert np.array_equal(cut[:half], wav[:half]) and np.array_equal(cut[-half:], wav[-half:])


def test_silence_around_speech_is_a_pause_too(voice):
    rate = 16000
    wav = np.concatenate([np.zeros(2 * rate, dtype=np.float32), voice(1.0), np.zeros(rate, dtype=np.float32)])
    wav += 1e-4 * np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)
    assert 1.4 <= len(cut_pauses(wav, rate)) / rate <= 1.6


def test_the_threshold_follows_the_noise(voice):
    """The same noise is a pause beside speech and all there is without it; an offset is no sound."""
    noise = 0.004 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    assert energy_flags(noise, 16000).all()
    wav = np.concatenate([noise, voice(1.0, level=0.5)]) + np.float32(0.2)
    flags = energy_flags(wav, 16000)
    assert not flags[:60].any() and flags[72:95].mean() > 0.9
    loud = talk(voice, 1.5, 2.0, 1.2, noise=0.02)  # 15 dB below speech: no telling them apart
    assert cut_pauses(loud, 16000) is loud


def in_steps(*levels_and_windows):
    """Noise in steps of (level in dB, windows) at 16 kHz."""
    levels = np.concatenate([np.full(n * 480, 10 ** (db / 20)) for db, n in levels_and_windows])
    return (levels * np.random.default_rng(0).standard_normal(len(levels))).astype(np.float32)


def test_speech_without_a_pause_stays_whole():
    """Syllables between weak stretches of a quarter of a second: nowhere is half a second weak."""
    wav = in_steps(*[(-20, 2), (-45, 8)] * 8)
    assert cut_pauses(wav, 16000) is wav


def test_weak_speech_is_no_pause():
    wav = in_steps((-20, 30), (-38, 60), (-65, 60), (-20, 30))
    assert energy_flags(wav, 16000)[:90].all() and not energy_flags(wav, 16000)[90:150].any()


def test_what_is_40_db_below_speech_is_a_pause_beside_digital_silence():
    wav = in_steps((-20, 30), (-200, 40), (-65, 60), (-20, 30))
    assert not energy_flags(wav, 16000)[30:130].any()


def test_smoothing_by_hand():
    flags = np.zeros(60, dtype=bool)
    flags[3] = True  # a click is no majority
    assert not smooth(flags).any()
    flags[20:26] = True  # six windows; those whose eight neighbours (3 before, 4 after) hold five of them: 20 to 24
    assert np.flatnonzero(smooth(flags)).tolist() == list(range(20 - 8, 24 + 8 + 1))
    assert smooth(np.ones(1, dtype=bool)).tolist() == [True]  # very short ones are not lost at their ends
    assert smooth(np.ones(3, dtype=bool)).all() and not smooth(np.zeros(5, dtype=bool)).any()
    speech, pause = np.ones(20, dtype=bool), np.zeros(67, dtype=bool)
    kept = smooth(np.concatenate([speech, pause, speech]))
    assert abs(int(kept.sum()) - (20 + 16 + 20)) <= 2  # a pause keeps 16 windows, give or take the average's lean


def test_windows():
    assert edges(1000, 16000).tolist() == [0, 480, 1000]
    assert edges(100, 16000).tolist() == [0, 100]
    assert edges(22050, 22050)[[1, 2, -2, -1]].tolist() == [662, 1323, 21168, 22050]
    empty = np.zeros(0, dtype=np.float32)
    assert len(cut_pauses(empty, 16000)) == 0


@pytest.mark.parametrize("rate, heard", [(16000, 16000), (22050, 16000), (48000, 48000)])
def test_webrtc_is_asked_in_windows_of_30_ms(monkeypatch, voice, rate, heard):
    """With a stand-in for the package that takes loud windows for speech."""
    asked = []

    class Vad:
        def __init__(self, mode):
            assert mode == 3

        def is_speech(self, frame, found_rate):
            assert found_rate == heard and len(frame) == 2 * round(0.03 * heard)
            asked.append(frame)
            return np.abs(np.frombuffer(frame, "<i2")).max() > 1000

    monkeypatch.setitem(sys.modules, "webrtcvad", SimpleNamespace(Vad=Vad))
    wav = talk(voice, 1.5, 2.0, 1.2, rate=rate)
    assert 3.1 <= len(cut_pauses(wav, rate, "webrtc")) / rate <= 3.3
    assert len(asked) == int(4.7 / 0.03)
    assert len(cut_pauses(wav * 0.001, rate, "webrtc")) == 0  # no speech at all


def test_webrtc_itself(voice):
    pytest.importorskip("webrtcvad")
    wav = talk(voice, 1.5, 2.0, 1.2, noise=1e-4)
    assert 2.7 <= len(cut_pauses(wav, 16000, "webrtc")) / 16000 <= 3.6


def test_mistakes(monkeypatch):
    with pytest.raises(UserError, match="expected energy or webrtc, found 'loud'"):
        cut_pauses(np.ones(100), 16000, "loud")
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(UserError, match="pip install webrtcvad-wheels.*or take --vad energy"):
        cut_pauses(np.ones(100), 16000, "webrtc")
