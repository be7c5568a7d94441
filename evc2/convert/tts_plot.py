"""A picture of spoken text: its mel spectrogram, with the phones where they are said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evc2.fileio.atomic import atomic_path


def draw_speech(path: Path, info: Mapping[str, Any], title: str, frame_seconds: float) -> None:
    """Write the picture.

    Args:
        path: png.
        info: ``feats`` [T, n_mels], ``durations`` [L] in frames, ``phones`` (L of them), as TTS.synthesize gives.
        title: above it.
        frame_seconds: from one frame to the next, ``frame_seconds`` of the features' contract.
    """
    figure = Figure(figsize=(10, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    feats = np.asarray(info["feats"])
    seconds = len(feats) * frame_seconds
    axes.imshow(feats.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, feats.shape[1]))
    axes.set(title=title, xlabel="Time (s)", ylabel="Mel band")
    ends = np.cumsum(info["durations"]) * frame_seconds
    for phone, start, end in zip(info["phones"], [0.0, *ends[:-1]], ends, strict=True):
        axes.axvline(end, color="white", linewidth=0.6, alpha=0.7)
        if end > start:
            axes.text((start + end) / 2, 0.96, phone, color="white", ha="center", va="top", fontsize=9,
                      transform=axes.get_xaxis_transform())  # fmt: skip
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
