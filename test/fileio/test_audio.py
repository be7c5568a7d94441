"""Audio files of all kinds, good and bad."""

import os
import shlex
import struct

import numpy as np
import pytest
import soundfile

from evc2.errors import UserError
from evc2.fileio.audio import audio_problem, read_audio, write_audio

RATE = 16000


@pytest.fixture
def tone():
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".wav", 1e-4), (".flac", 1e-4), (".ogg", 0.1), (".mp3", 0.1)])
def test_formats(tmp_path, tone, suffix, tolerance):
    path = tmp_path / f"a{suffix}"
    write_audio(path, tone, RATE)
    wav, rate = read_audio(path)
    assert rate == RATE and wav.dtype == np.float32 and wav.ndim == 1
    if suffix == ".mp3":  # the coder pads; look at the level only
        assert abs(np.sqrt(np.mean(wav[2000:12000] ** 2)) - 0.5 / np.sqrt(2)) < 0.02
    else:
        np.testing.assert_allclose(wav, tone, atol=tolerance)
    assert os.listdir(tmp_path) == [path.name]


def test_stereo_is_averaged(tmp_path):
    soundfile.write(tmp_path / "s.wav", np.tile([0.5, -0.25], (100, 1)), RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "s.wav")[0], 0.125, atol=1e-4)


def test_resampling_keeps_pitch_and_length(tmp_path, tone):
    write_audio(tmp_path / "a.wav", tone, RATE)
    wav, rate = read_audio(tmp_path / "a.wav", rate=22050)
    assert rate == 22050 and len(wav) == 22050 and wav.dtype == np.float32
    assert np.argmax(np.abs(np.fft.rfft(wav))) == 440


def test_part(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.arange(RATE) / RATE, RATE, subtype="FLOAT")
    for stop, end in ((0.5, 8000), (None, RATE), (-1, RATE), (1.2, RATE)):
        wav, _ = read_audio(tmp_path / "a.wav", start=0.25, stop=stop)
        assert len(wav) == end - 4000 and wav[0] == pytest.approx(0.25)
    for start, stop in ((0.5, 0.5), (1.5, None), (-0.1, 0.5), (0.0, 2.0)):
        with pytest.raises(UserError, match=r"a\.wav: the part from .* is not within its 1.000 s"):
            read_audio(tmp_path / "a.wav", start=start, stop=stop)


def test_pipe(tmp_path, tone):
    path = tmp_path / "it's a $file.wav"
    write_audio(path, tone, RATE)
    wav, rate = read_audio(f"cat {shlex.quote(str(path))} |", start=0.5)
    assert rate == RATE
    np.testing.assert_allclose(wav, tone[8000:], atol=1e-4)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("cat nowhere.wav |", "status 1: cat nowhere.wav .: cat: nowhere.wav"),
        ("cat nowhere.wav | cat |", "status 1"),  # the first of a pipeline counts too
        ("true |", "printed no audio"),
        ("echo hello |", "cannot be read as audio"),
    ],
)
def test_bad_pipe(command, message):
    with pytest.raises(UserError, match=message):
        read_audio(command)


def test_header_of_4096_bytes_with_an_fllr_chunk(tmp_path, tone):
    # As some recorders write it: a filler chunk aligns the samples to 4,096 bytes.
    samples = (tone * 32767).astype("<i2").tobytes()
    whole = wav_bytes(samples, len(samples))
    size = 4096 - 44 - 8
    whole = whole[:36] + b"FLLR" + struct.pack("<I", size) + b"\0" * size + whole[36:]
    assert whole.index(b"data") == 4096 - 8
    (tmp_path / "f.wav").write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    wav, rate = read_audio(tmp_path / "f.wav")
    assert rate == RATE and len(wav) == RATE
    np.testing.assert_allclose(wav, tone, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\x24\0\0\0WAVEfmt ", b"\0" * 1000, b"not audio " * 100])
def test_corrupt_file_is_named(tmp_path, content):
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.wav: cannot be read as audio"):
        read_audio(tmp_path / "bad.wav")


def wav_bytes(samples, promised):
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return b"RIFF" + struct.pack("<I", 36) + b"WAVE" + fmt + b"data" + struct.pack("<I", promised) + samples


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_file_cut_short(tmp_path, tone, suffix):
    path = tmp_path / f"cut.{suffix}"
    write_audio(path, tone, RATE)
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(UserError, match=rf"cut\.{suffix}: (truncated|cannot be read)"):
        read_audio(path)


@pytest.mark.parametrize("promised", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_length_unknown_to_the_program_in_a_pipe(tmp_path, promised):
    (tmp_path / "p.wav").write_bytes(wav_bytes(b"\1\0" * 500, promised))
    assert len(read_audio(f"cat {tmp_path}/p.wav |")[0]) == 500


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"no\.wav: expected an audio file, found nothing"):
        read_audio(tmp_path / "no.wav")
    with pytest.raises(UserError, match="found a folder"):
        read_audio(tmp_path)


def test_empty_wav_reads_as_empty(tmp_path):
    soundfile.write(tmp_path / "e.wav", np.zeros(0), RATE)
    wav, rate = read_audio(tmp_path / "e.wav", rate=8000)
    assert len(wav) == 0 and rate == 8000 and audio_problem(wav, rate) == "empty"


def test_problems(tone):
    assert audio_problem(tone, RATE) is None
    assert audio_problem(tone[:1599], RATE) == "shorter than 0.1 s"
    assert audio_problem(tone[:1600], RATE) is None
    assert audio_problem(np.zeros(RATE), RATE) == "silent"
    assert audio_problem(np.where(np.arange(RATE) == 9, np.nan, tone), RATE) == "contains NaN or infinity"
    clipped = tone.copy()
    clipped[: RATE * 12 // 100] = -1.0
    assert audio_problem(clipped, RATE) == "clipped: 12.0 % of samples at full scale"
    assert audio_problem(np.where(np.arange(RATE) < 100, 1.0, tone), RATE) is None  # 0.6 %: a loud voice


def test_write_clips_with_a_warning(tmp_path, caplog):
    write_audio(tmp_path / "a.wav", np.array([0.0, 1.5, -2.0, 0.5] * 100), RATE)
    assert "clipped 200 of 400 samples (peak 2.000)" in caplog.text
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0][:4], [0, 1, -1, 0.5], atol=1e-4)
    write_audio(tmp_path / "f.wav", np.array([1.5]), RATE, subtype="FLOAT")
    assert soundfile.read(tmp_path / "f.wav")[0][0] == 1.5


def test_write_refuses(tmp_path):
    with pytest.raises(UserError, match=r"a\.wav: the samples to write contain NaN"):
        write_audio(tmp_path / "a.wav", np.array([0, np.nan]), RATE)
    with pytest.raises(UserError, match="cannot write 'xyz'"):
        write_audio(tmp_path / "a.xyz", np.zeros(9), RATE)
    assert os.listdir(tmp_path) == []
