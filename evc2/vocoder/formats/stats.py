"""Statistics of mels beside a ParallelWaveGAN checkpoint: stats.npy or stats.h5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evc2.errors import UserError


def read_stats(folder: Path, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale [bands] each, from stats.npy (two rows) or stats.h5 (data sets "mean" and "scale").

    Raises:
        UserError: neither file; stats.h5 without h5py (says how to convert it); not two rows of `bands` numbers.
    """
    npy, h5 = folder / "stats.npy", folder / "stats.h5"
    if npy.is_file():
        try:
            stats = np.load(npy, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{npy}: cannot read the statistics: {' '.join(str(error).split())}") from None
        rows = [np.asarray(row).reshape(-1) for row in stats] if stats.ndim >= 2 else []
        where = npy
    elif h5.is_file():
        rows, where = _read_h5(h5), h5
    else:
        raise UserError(
            f"{folder}: a ParallelWaveGAN checkpoint needs its stats.npy or stats.h5 beside it; found neither"
        )
    if len(rows) != 2 or any(row.shape != (bands,) for row in rows):
        raise UserError(
            f"{where}: expected mean and scale of {bands} bands, found shapes {[row.shape for row in rows]}"
        )
    return rows[0], rows[1]


def _read_h5(path: Path) -> list[np.ndarray]:
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path}: reading it needs h5py (pip install h5py); or convert it once where h5py is installed: "
            f"python -c \"import h5py, numpy; f = h5py.File('stats.h5'); "
            f"numpy.save('stats.npy', numpy.stack([f['mean'][()].ravel(), f['scale'][()].ravel()]))\""
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return [np.asarray(file[name][()]).reshape(-1) for name in ("mean", "scale")]
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: cannot read the statistics: {' '.join(str(error).split())}") from None
