"""Discrete units of recordings, by a system that has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from evc2.convert.loading import check_device, load_model
from evc2.errors import UserError
from evc2.feats.extract import extract

ROWS = ("bottom", "both", "dense")


@dataclass(frozen=True)
class Units:
    """Units of one recording, a row for every bottom code.

    Attributes:
        bottom: numbers [N].
        top: numbers [ceil(N / 2)], each for two rows; None of a system with one level.
        dense: code vectors [N, D], the top level's before the bottom level's.
        sizes: codes at the (top, bottom) level.
    """

    bottom: np.ndarray
    top: np.ndarray | None
    dense: np.ndarray
    sizes: tuple[int, int]

    def rows(self, kind: str) -> np.ndarray:
        """Rows of an embedding file.

        Args:
            kind: ``bottom`` or ``both``: one-hot, uint8 [N, codes] (bottom codes first); ``dense``: float32 [N, D].

        Raises:
            UserError: another kind, or ``both`` of one level.
        """
        if kind == "dense":
            return self.dense
        if kind not in ROWS:
            raise UserError(f"units: '{kind}' is no kind of rows; expected one of {', '.join(ROWS)}")
        hot = np.eye(self.sizes[1], dtype=np.uint8)[self.bottom]
        if kind == "bottom":
            return hot
        if self.top is None:
            raise UserError("units: this system has one level of codes; ask for rows of kind bottom")
        top = np.eye(self.sizes[0], dtype=np.uint8)[np.repeat(self.top, 2)[: len(hot)]]
        return np.concatenate((hot, top), axis=1)


def load_units(
    path: str | Path, model_file: str | None = None, device: str = "cpu"
) -> Callable[[np.ndarray, int], Units]:
    """What turns recordings into units: (samples [n] in [-1, 1], rate in Hz) -> Units.

    There are ceil(n / 1024) rows for n samples at 16 kHz (of 64 ms, by the contract of ZeroSpeech), one at least: the
    recording is followed by silence up to whole codes, however short or long it is.

    Args:
        path: model directory or pack.
        model_file: name of the weights in a directory; None takes the best by validation.
        device: torch device name.

    Raises:
        UserError: a system without units; what :func:`load_model` raises. From the function: an empty recording.
    """
    model, _ = load_model(path, model_file, check_device(device))
    if model.per_code is None:
        raise UserError(f"{path}: {type(model).__name__} has no units; expected a system like vqvae")
    contract, sizes = model.contract, tuple(model.encoder.sizes)
    per_code = model.per_code * contract.hop

    def units(wav: np.ndarray, rate: int) -> Units:
        if wav.ndim != 1 or not len(wav):
            raise UserError(f"units: expected mono samples, found {wav.shape}")
        wav = wav if rate == contract.rate else soxr.resample(wav, rate, contract.rate)
        rows = -(-len(wav) // per_code)
        feats = extract(np.pad(wav, (0, rows * per_code - len(wav))), contract)["feats"]
        codes = model.encode(feats)
        top = None if codes.top is None else codes.top[0, : -(-rows // 2)].cpu().numpy()
        bottom, dense = codes.bottom[0, :rows].cpu().numpy(), codes.code[0, :, :rows].T.float().cpu().numpy()
        return Units(bottom, top, dense, sizes)

    return units
