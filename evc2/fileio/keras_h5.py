"""Weights in Keras's HDF5 files, read by h5py; neither Keras nor TensorFlow is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evc2.errors import UserError

_SHOWN = 6


def _listed(names: set[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:_SHOWN]) + (f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else "")


def read_weights(path: str | os.PathLike[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read the weights of a model from a file of `save_weights` or `save` (.h5).

    Keras nests a weight as `layer/layer/kernel:0`, older or hand-made files as `layer/kernel:0`, and `save` puts all of
    them below `model_weights`. The layer is the first name and the weight the last; names between them do not count.

    Args:
        path: the file.
        shapes: "layer/weight" (such as "affine/kernel") -> shape in Keras's order. All of them must be there, and
            nothing else; layers without weights do not matter.

    Returns:
        The same names -> float32 arrays.

    Raises:
        UserError: h5py is not installed, no HDF5 file, missing or surplus weights, a wrong shape, no finite numbers.
    """
    path = Path(path)
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path}: Keras weights need the package h5py: pip install h5py") from None
    if not path.is_file():
        raise UserError(f"{path}: expected a Keras weight file (.h5), found {'a folder' if path.is_dir() else 'none'}")
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if "model_weights" in file else file
            return _read(path, _datasets(root), shapes)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py's, for damaged files
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged, or not an HDF5 file of Keras ({reason})") from None


def _datasets(root) -> dict:
    import h5py

    found = {}

    def visit(name: str, item) -> None:  # is not called for links to other files
        parts = name.split("/")
        if isinstance(item, h5py.Dataset) and len(parts) > 1:
            found[f"{parts[0]}/{parts[-1].partition(':')[0]}"] = item

    root.visititems(visit)
    return found


def _read(path: Path, found: Mapping, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    missing, surplus = set(shapes) - set(found), set(found) - set(shapes)
    if missing or surplus:
        parts = [f"lacks {_listed(missing)}"] * bool(missing) + [f"has besides {_listed(surplus)}"] * bool(surplus)
        raise UserError(f"{path}: other weights than expected: it {' and '.join(parts)}")
    arrays = {}
    for name, shape in shapes.items():
        if found[name].shape != tuple(shape) or found[name].dtype.kind != "f":
            raise UserError(
                f"{path}: {name}: expected floats of shape {tuple(shape)}, found {found[name].dtype} of "
                f"{found[name].shape}"
            )
        arrays[name] = np.asarray(found[name][()], dtype=np.float32)
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"{path}: {name}: contains NaN or infinity; fetch the file again")
    return arrays
