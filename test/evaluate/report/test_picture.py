import io
import re

import numpy as np
import pytest

from evc2.evaluate.report.picture import (
    LEVELS,
    RANGE_DB,
    f0_path,
    f0_place,
    mel_place,
    palette,
    png,
    spectrogram,
    spectrogram_png,
)


def points(path):
    return [[tuple(map(float, pair.split())) for pair in part.split("L")] for part in path.split("M")[1:]]


def test_png_is_read_back_by_another_program():
    image = pytest.importorskip("PIL.Image")
    indices = np.random.default_rng(0).integers(0, LEVELS, (7, 13))
    colours = palette()
    found = image.open(io.BytesIO(png(indices, colours)))
    found.load()
    assert found.size == (13, 7)
    assert np.array_equal(np.asarray(found.convert("RGB")), colours[indices])


def test_colours_grow_lighter():
    lightness = palette() @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) >= 0).all() and lightness[-1] > 200 and lightness[0] < 12


@pytest.mark.parametrize("hz", [500, 1000, 3000, 7000])
def test_a_tone_lies_where_the_axis_says(hz):
    wav = 0.5 * np.sin(2 * np.pi * hz * np.arange(16000) / 16000)
    found = spectrogram(wav.astype(np.float32))
    assert found.shape == (101, 80)
    assert (found[50].argmax() + 0.5) / 80 == pytest.approx(mel_place(hz), abs=1 / 80)


def test_low_is_at_the_bottom_and_the_loudest_brightest():
    image = pytest.importorskip("PIL.Image")
    decibels = np.full((3, 80), -RANGE_DB - 30.0)
    decibels[1, 0], decibels[2, 79] = 0.0, -RANGE_DB / 2
    picture = np.asarray(image.open(io.BytesIO(spectrogram_png(decibels))))
    assert picture.shape == (80, 3)
    assert picture[79, 1] == LEVELS - 1 and picture[0, 2] == round((LEVELS - 1) / 2) and picture[0, 0] == 0


def test_contour_has_a_stretch_for_every_voiced_part():
    f0 = np.array([0, 60, 60, 60, 0, 0, 800, 0, np.sqrt(60 * 800), np.sqrt(60 * 800)])
    parts = points(f0_path(f0, 0.005, 100, 110))
    assert parts[0] == [(0.5, 110.0), (1.5, 110.0)]  # every second frame; 60 Hz at the bottom
    assert parts[1] == [(3.0, 0.0), (3.5, 0.0)]  # one frame alone shows; 800 Hz at the top
    assert parts[2] == [(4.0, 55.0), (4.5, 55.0)]
    assert len(parts) == 3 and f0_path(np.zeros(9), 0.005, 100, 110) == ""
    assert f0_place(60.0) == 0 and f0_place(800.0) == pytest.approx(1)


def test_contour_stays_within_the_picture():
    parts = points(f0_path(np.array([30.0, 2000.0, 2000.0]), 0.005, 100, 110, every=1))
    assert [y for _, y in parts[0]] == [110.0, 0.0, 0.0]
    assert re.fullmatch(r"[ML0-9. ]+", f0_path(np.array([100.0, 120.0]), 0.005, 100, 110))
