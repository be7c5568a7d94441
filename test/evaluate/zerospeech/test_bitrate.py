"""Bitrate: the worked example of the specification, and lengths of files."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech.bitrate import bitrate, entropy, upper_bound
from evc2.evaluate.zerospeech.seconds import find_seconds, read_list, seconds_of_data
from evc2.fileio.audio import write_audio
from evc2.fileio.datadir import write_table

A, B, C = [1, 0], [0, 1], [0.5, 0.5]


def test_worked_example():
    # 8 rows in 2 s; shares 3/8, 3/8, 2/8: 1.5613 bit a row.
    found = bitrate({"x": np.array([A, A, B, B]), "y": np.array([A, B, C, C])}, {"x": 1.0, "y": 1.0})
    assert found.bits_per_second == pytest.approx(6.245, abs=5e-4)
    assert (found.rows, found.seconds, found.symbols, found.files, found.missing) == (8, 2.0, 3, 2, [])
    assert found.entropy == pytest.approx(1.5613, abs=5e-5)


def test_missing_files_do_not_count_with_their_seconds():
    rows = {"x": np.array([A, A, B, B]), "other": np.array([C])}
    found = bitrate(rows, {"x": 2.0, "y": 5.0})
    assert (found.bits_per_second, found.missing) == (2.0, ["y"])
    with pytest.raises(UserError, match="no embedding is of the list: it names 'y'"):
        bitrate(rows, {"y": 5.0})


def test_one_symbol_takes_nothing_and_dense_rows_take_most():
    assert bitrate({"x": np.array([A, A])}, {"x": 1.0}).bits_per_second == 0.0
    dense = np.random.default_rng(0).standard_normal((64, 3))
    assert bitrate({"x": dense}, {"x": 4.0}).bits_per_second == pytest.approx(16 * 6)
    assert entropy(np.array([1, 1, 1, 1])) == 2.0


def test_upper_bound():
    assert upper_bound([15.625, 7.8125], [128]) == pytest.approx(164.0625)
    assert upper_bound([10, 5], [256, 2]) == 85
    with pytest.raises(UserError, match="a size for each codebook"):
        upper_bound([10, 5], [2, 2, 2])
    with pytest.raises(UserError, match="positive rate"):
        upper_bound([0], [2])


def test_lists(tmp_path):
    (tmp_path / "l").write_text("S011_4019527684.txt 4.883875\nS002_1.txt 0.095000\n")
    assert read_list(tmp_path / "l") == {"S011_4019527684": 4.883875, "S002_1": 0.095}
    for text, message in (("a.txt\n", "expected `<utt"), ("a.txt 0\n", "found 'a.txt 0'"), ("", "empty")):
        (tmp_path / "l").write_text(text)
        with pytest.raises(UserError, match=message):
            read_list(tmp_path / "l")
    (tmp_path / "l").write_text("a.txt 1\na.wav 1\n")
    with pytest.raises(UserError, match="'a' stands there twice"):
        read_list(tmp_path / "l")


def test_lengths_of_recordings_and_data_directories(tmp_path):
    for name, seconds in (("s_1", 0.5), ("s_2", 0.25)):
        write_audio(tmp_path / "wav" / f"{name}.wav", np.zeros(int(16000 * seconds)), 16000)
    expected = {"s_1": 0.5, "s_2": 0.25}
    assert find_seconds(None, str(tmp_path / "wav")) == expected
    assert find_seconds(None, str(tmp_path / "wav"), ["s_2", "s_9"]) == {"s_2": 0.25}
    assert find_seconds(None, None) is None
    data = tmp_path / "data"
    write_table(data / "utt2spk", dict.fromkeys(expected, "s"))
    wavs = {"s_1": tmp_path / "wav" / "s_1.wav", "s_2": f"cat {tmp_path / 'wav' / 's_2.wav'} |"}
    write_table(data / "wav.scp", wavs)
    assert seconds_of_data(data) == expected
    write_table(data / "utt2num_samples", {"s_1": 1600, "s_2": 3200})
    assert seconds_of_data(data) == {"s_1": 0.1, "s_2": 0.2}
    assert seconds_of_data(data, ["s_2"]) == {"s_2": 0.25}  # the rate of a pipe is not known without running it
    write_table(data / "utt2dur", {"s_1": 7, "s_2": 8})
    assert seconds_of_data(data) == {"s_1": 7.0, "s_2": 8.0}
    for name in ("utt2dur", "utt2num_samples"):
        (data / name).unlink()
    write_table(data / "wav.scp", {"r": tmp_path / "wav" / "s_1.wav"})
    write_table(data / "segments", {"s_1": "r 0.1 -1", "s_2": "r 0.0 0.3"})
    assert seconds_of_data(data) == {"s_1": pytest.approx(0.4), "s_2": 0.3}
