import base64
import io

import numpy as np
import pytest
import soundfile

from evc2.evaluate.report.sound import MAX_RATE, data_uri, flac


def read(content):
    return soundfile.read(io.BytesIO(content), dtype="float64")


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000])
def test_samples_survive(voice, rate):
    wav = voice(0.5, rate)
    found, found_rate = read(flac(wav, rate))
    assert found_rate == rate and len(found) == len(wav)
    assert np.abs(found - wav).max() <= 1 / 32768


def test_high_rates_come_down_and_keep_their_duration(voice):
    found, rate = read(flac(voice(0.5, 48000), 48000))
    assert rate == MAX_RATE and len(found) == pytest.approx(0.5 * MAX_RATE, abs=1)


def test_what_is_too_loud_is_clipped_and_does_not_wrap():
    found, _ = read(flac(np.array([0.0, 1.5, -1.5, 0.25]), 16000))
    assert found == pytest.approx([0, 1, -1, 0.25], abs=1e-4)


def test_data_uri():
    mime, text = data_uri("audio/flac", b"\x00\xff").split(";base64,")
    assert mime == "data:audio/flac" and base64.b64decode(text) == b"\x00\xff"
