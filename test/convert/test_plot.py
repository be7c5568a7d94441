import numpy as np
import pytest

pytest.importorskip("matplotlib")
from evc2.convert.plot import figure, plot_conversion, spectrogram_db


def test_a_tone_lies_where_its_frequency_is():
    rate = 16000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    spectrum = spectrogram_db(tone, rate)
    assert spectrum.shape == (257, 126)
    assert spectrum[:, 60].argmax() == 1000 / (rate / 512)


def test_rows_share_their_scales_and_name_their_units(voice):
    rate, f0 = 16000, np.r_[np.zeros(20), np.full(81, 150.0)]
    fig = figure(voice(0.5), 0.1 * voice(0.5), rate, f0, 2 * f0, 0.005)
    spectra = [a for a in fig.axes if a.images]
    lines = [a for a in fig.axes if a.lines]
    assert len(spectra) == len(lines) == 2
    assert {a.images[0].get_clim() for a in spectra} == {spectra[0].images[0].get_clim()}
    assert len({a.get_ylim() for a in spectra}) == len({a.get_xlim() for a in fig.axes[:2] + lines}) == 1
    assert lines[0].get_ylim() == lines[1].get_ylim() and lines[0].get_ylim()[1] > 300
    assert spectra[1].get_xlabel() == "Time (s)" and "kHz" in spectra[0].get_ylabel()
    assert all("Hz" in a.get_ylabel() for a in lines)
    assert "150 Hz" in spectra[0].get_title(loc="left") and "300 Hz" in spectra[1].get_title(loc="left")
    drawn = lines[0].lines[0].get_ydata()
    assert np.isnan(drawn[:20]).all() and (drawn[20:] == 150).all()


def test_a_file_is_written_also_without_any_voice(tmp_path):
    nothing = np.zeros(1600, np.float32)
    plot_conversion(tmp_path / "p.png", nothing, nothing, 16000, np.zeros(21), np.zeros(21), 0.005)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
