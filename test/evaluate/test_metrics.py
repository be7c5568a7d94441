"""Each metric on signals whose score is known."""

import numpy as np
import pytest

from evc2.evaluate.ddur import duration_difference
from evc2.evaluate.lf0 import lf0_corr, lf0_rmse
from evc2.evaluate.mcd import mcd_aligned
from evc2.evaluate.registry import get_metric
from evc2.evaluate.vuv import vuv_error

METRICS = {metric.name: metric for metric in get_metric()}


def value(name, item):
    return METRICS[name].function(item)


def test_identical_signals(item, speech):
    wav = speech.voice(silence=0.2)
    same = item(wav, wav.copy(), wav.copy())
    for name in ("mcd", "mcd_nodtw", "lf0_rmse", "vuv", "ddur", "distance_to_source"):
        assert value(name, same) == pytest.approx(0.0, abs=1e-6), name
    assert value("lf0_corr", same) == pytest.approx(1.0, abs=1e-9)


def test_level_alone_changes_nothing(item, speech):
    wav = speech.voice()
    quiet = item(0.1 * wav, wav)
    assert value("mcd", quiet) < 0.05
    assert value("ddur", quiet) <= 0.005


@pytest.mark.parametrize("ratio", [0.8, 1.25, 1.5])
def test_pitch_shift_by_a_known_ratio(item, speech, ratio):
    # A flat contour first: within a steady vowel DTW may wander, and on a glide that is a difference of pitch as well.
    flat = item(speech.voice(base=140 * ratio, swing=0), speech.voice(base=140, swing=0))
    assert value("lf0_rmse", flat) == pytest.approx(abs(np.log(ratio)), rel=0.02)
    shifted = item(speech.voice(base=140 * ratio), speech.voice(base=140))
    assert value("lf0_rmse", shifted) == pytest.approx(abs(np.log(ratio)), rel=0.15)
    assert value("lf0_corr", shifted) > 0.85
    other = item(speech.voice(base=140, vowels="uai"), speech.voice(base=140))
    assert value("mcd", shifted) < 2.5 < value("mcd_nodtw", other)  # the same vowels, sung higher
    assert value("ddur", shifted) <= 0.02


def test_time_stretch_by_a_known_factor(item, speech):
    stretched = item(speech.voice(1.35), speech.voice(0.9))
    assert value("ddur", stretched) == pytest.approx(0.45, abs=0.02)
    assert value("mcd", stretched) < 2.5 < value("mcd_nodtw", stretched)
    assert value("lf0_corr", stretched) > 0.9


def test_silence_at_the_ends_is_trimmed_on_both_sides(item, speech):
    plain, padded = speech.voice(), speech.voice(silence=0.5)
    padded = padded + 1e-6 * np.random.default_rng(0).standard_normal(len(padded)).astype(np.float32)
    for pair in (item(plain, padded), item(padded, plain)):
        assert value("ddur", pair) <= 0.03
        assert value("mcd", pair) < 0.7
        assert value("mcd_nodtw", pair) < 1.5
        assert value("vuv", pair) < 5
    # without trimming half of this would be silence against speech
    assert item(padded).converted.n_frames > 350 and item(padded).converted.seconds == pytest.approx(0.9, abs=0.03)


def test_a_click_is_not_the_beginning_of_speech(item, speech):
    wav = speech.voice(silence=0.5)
    wav[800] = 0.05
    assert item(wav).converted.seconds == pytest.approx(0.9, abs=0.05)


def test_noise_against_speech(item, speech):
    noise = 0.1 * np.random.default_rng(0).standard_normal(14400).astype(np.float32)
    bad = item(noise, speech.voice(), speech.voice())
    assert value("mcd", bad) > 8
    assert value("vuv", bad) > 60
    assert value("distance_to_source", bad) > 8
    assert value("lf0_rmse", bad) is None or np.isfinite(value("lf0_rmse", bad))


def test_distance_to_source_is_frame_by_frame_when_lengths_agree(item, speech):
    source = speech.voice(vowels="aiu")
    assert value("distance_to_source", item(speech.voice(vowels="uia"), None, source)) > 5
    # An output of another length is aligned first, so that its timing alone is no distance.
    assert value("distance_to_source", item(speech.voice(1.3, vowels="aiu"), None, source)) < 2.5
    # 80 samples more are one frame: still equally long, still the identity.
    longer = np.concatenate([source, np.zeros(80, np.float32)])
    assert value("distance_to_source", item(longer, None, source)) < 0.05


def test_needs(item, speech):
    alone = item(speech.voice())
    assert alone.has("wav") and not alone.has("reference") and not alone.has("source") and not alone.has("text")
    assert METRICS["mcd"].needs == ("wav", "reference")
    assert METRICS["distance_to_source"].needs == ("wav", "source")


def test_mcd_of_known_numbers():
    # one coefficient differs by 1: 10 sqrt(2) / ln 10 = 6.1419 dB; in half of the frames
    x, y = np.zeros((4, 24)), np.zeros((4, 24))
    y[:2, 3] = 1
    assert mcd_aligned(x, y) == pytest.approx(6.1419 / 2, abs=1e-3)


def test_f0_metrics_of_known_numbers():
    y = np.r_[np.full(5, 0.0), np.linspace(100, 200, 20), np.full(5, 150.0)]
    x = np.r_[np.full(5, 120.0), 1.1 * np.linspace(100, 200, 20), np.full(5, 0.0)]
    assert lf0_rmse(x, y) == pytest.approx(np.log(1.1))
    assert lf0_corr(x, y) == pytest.approx(1.0)
    assert lf0_corr(x[5:25], x[5:25][::-1]) < -0.9
    assert vuv_error(x, y) == pytest.approx(100 * 10 / 30)
    assert lf0_rmse(x[:10], y[:10]) is None  # five frames voiced in both
    assert lf0_corr(np.full(30, 100.0), y) is None  # a flat contour
    assert lf0_rmse(np.zeros(30), y) is None
    assert duration_difference(1.0, 1.5) == pytest.approx(0.5)
