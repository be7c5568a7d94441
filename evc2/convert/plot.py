"""A picture of a conversion: spectrograms and F0 of source and result, one above the other, on one scale."""

import os
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evc2.fileio.atomic import atomic_path

RANGE_DB = 70.0
SPECTRUM, PITCH = "magma", "#35e0ff"


def spectrogram_db(wav: np.ndarray, rate: int) -> np.ndarray:
    """Power in dB [bins, frames] of 32 ms Hann windows every 8 ms, the frames centred on multiples of 8 ms."""
    size, hop = round(0.032 * rate), round(0.008 * rate)
    padded = np.pad(np.asarray(wav, dtype=np.float64), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(wav) + 1 : hop]
    return 20 * np.log10(np.maximum(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)).T, 1e-7))


def figure(
    source: np.ndarray,
    converted: np.ndarray,
    rate: int,
    source_f0: np.ndarray,
    f0: np.ndarray,
    frame_seconds: float,
    titles: tuple[str, str] = ("source", "converted"),
) -> Figure:
    """The picture as a matplotlib figure; arguments as for :func:`plot_conversion`."""
    spectra = [spectrogram_db(source, rate), spectrogram_db(converted, rate)]
    top = max(s.max() for s in spectra)
    highest = max([*np.concatenate([source_f0, f0]), 100.0])
    fig = Figure(figsize=(9, 6.2), dpi=110, layout="constrained")
    FigureCanvasAgg(fig)
    rows = fig.subplots(2, 1, sharex=True, sharey=True)
    for axes, spectrum, pitch, title, wav in zip(
        rows, spectra, (source_f0, f0), titles, (source, converted), strict=True
    ):
        extent = (0.0, len(wav) / rate, 0.0, rate / 2000)
        image = axes.imshow(spectrum, origin="lower", aspect="auto", extent=extent, cmap=SPECTRUM, vmin=top - RANGE_DB,
                            vmax=top, interpolation="nearest")  # fmt: skip
        axes.set_ylabel("Frequency (kHz)")
        voiced = pitch[pitch > 0]
        mean = f", mean F0 {np.exp(np.log(voiced).mean()):.0f} Hz" if len(voiced) else ", no voiced frame"
        axes.set_title(title + mean, loc="left", fontsize=11)
        over = axes.twinx()
        times = np.arange(len(pitch)) * frame_seconds
        over.plot(times, np.where(pitch > 0, pitch, np.nan), color=PITCH, linewidth=1.8)
        over.set_ylim(0.0, 1.1 * highest)
        over.set_xlim(0.0, max(len(wav) / rate, frame_seconds))
        over.set_ylabel("F0 (Hz, line)")
    rows[-1].set_xlabel("Time (s)")
    fig.colorbar(image, ax=rows, label="Power (dB)", pad=0.02)
    return fig


def plot_conversion(
    path: str | os.PathLike[str],
    source: np.ndarray,
    converted: np.ndarray,
    rate: int,
    source_f0: np.ndarray,
    f0: np.ndarray,
    frame_seconds: float,
    titles: tuple[str, str] = ("source", "converted"),
) -> None:
    """Write the picture of a conversion, atomically.

    Args:
        path: the file, e.g. .png.
        source, converted: samples [n] at one rate.
        rate: in Hz.
        source_f0, f0: in Hz [T], 0 = unvoiced.
        frame_seconds: from one F0 value to the next.
        titles: headings of the two rows.
    """
    with atomic_path(Path(path)) as temporary:
        figure(source, converted, rate, source_f0, f0, frame_seconds, titles).savefig(temporary)
