"""From utterances to batches: pad, crop, and unpaired crops of two domains or of all.

A request for one item is a tuple, so that a DataLoader worker can make the item from nothing else; crops are seeded by
(seed, epoch, utterance, how often it was drawn in the epoch) in training and by the utterance alone in validation.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from espnet2.train.collate_fn import CommonCollateFn

from evc2.errors import UserError
from evc2.feats.normalize import Normalizer
from evc2.fileio.ark import ScpReader
from evc2.train.utterances import collate_utterances


def crop_start(total: int, length: int, key: str) -> int:
    """Draw the first frame of a crop from a key, the same on every machine and in every process."""
    return zlib.crc32(key.encode()) % max(total - length + 1, 1)


def fit(x: np.ndarray, length: int) -> np.ndarray:
    """Bring [T, ...] to exactly ``length`` frames: longer is cut, shorter is reflected at its end."""
    while len(x) < length:
        mirror = x[-2::-1] if len(x) > 1 else x
        x = np.concatenate((x, mirror[: length - len(x)]))
    return x[:length]


class Cropper:
    """Read a normalised crop of one utterance from its ark, memory-mapped.

    Args:
        reader: features by utterance, [T, D]: an ScpReader or what has its ``shape`` and ``crop``.
        utt2spk, utt2emo: labels, by which the normalisation is chosen.
        normalize: (crop, speaker, emotion) -> normalised crop.
        frames: length of a crop.
    """

    def __init__(
        self,
        reader: ScpReader,
        utt2spk: Mapping[str, str],
        utt2emo: Mapping[str, str],
        normalize: Normalizer,
        frames: int,
    ):
        self.reader, self.utt2spk, self.utt2emo = reader, utt2spk, utt2emo
        self.normalize, self.frames = normalize, frames

    def __call__(self, utt: str, key: str) -> np.ndarray:
        total = self.reader.shape(utt)[0]
        start = crop_start(total, self.frames, f"{key} {utt}")
        crop = self.reader.crop(utt, start, min(self.frames, total))
        return fit(self.normalize(crop, self.utt2spk[utt], self.utt2emo[utt]), self.frames)


class CropPairDataset(torch.utils.data.Dataset):
    """Items are pairs of crops: requests ``(utt_a, utt_b, key, (i, j))`` of the domains i and j give
    ``(names, {"A": [T, D], "B": [T, D], "domains": (i, j)})``.
    """

    def __init__(self, crop: Cropper):
        self.crop = crop

    def __getitem__(self, request: tuple[str, str, str, tuple[int, int]]) -> tuple[str, dict[str, Any]]:
        a, b, key, pair = request
        return f"{a}|{b}", {"A": self.crop(a, key), "B": self.crop(b, key), "domains": pair}


class CropSetDataset(torch.utils.data.Dataset):
    """Items are a crop of every domain: requests ``(utts, key)`` give ``(names, {"feats": [N, T, D]})``."""

    def __init__(self, crop: Cropper):
        self.crop = crop

    def __getitem__(self, request: tuple[tuple[str, ...], str]) -> tuple[str, dict[str, np.ndarray]]:
        utts, key = request
        return "|".join(utts), {"feats": np.stack([self.crop(utt, key) for utt in utts])}


class CropDataset(torch.utils.data.Dataset):
    """Items are single crops: requests ``(utt, key)`` give ``(utt, {"feats": [T, D]})``."""

    def __init__(self, crop: Cropper):
        self.crop = crop

    def __getitem__(self, request: tuple[str, str]) -> tuple[str, dict[str, np.ndarray]]:
        utt, key = request
        return utt, {"feats": self.crop(utt, key)}


def collate_equal(items: Sequence[tuple[str, dict[str, Any]]]) -> tuple[list[str], dict[str, Any]]:
    """Stack arrays of equal shape, and numbers; a tuple is the same for all items, and stays on the host."""
    names = [name for name, _ in items]
    batch: dict[str, Any] = {}
    for key, first in items[0][1].items():
        values = [item[key] for _, item in items]
        batch[key] = first if isinstance(first, tuple) else torch.from_numpy(np.stack(values))
    return names, batch


def build_collate(kind: str) -> Callable[[Sequence[tuple[str, dict[str, np.ndarray]]]], Any]:
    """The collate function of a system's ``collation`` (espnet2's padding for ``pad``, adding ``*_lengths``)."""
    if kind == "pad":
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=0)
    if kind in ("crop", "crop_pair", "crop_set", "crop_wav"):
        return collate_equal
    if kind == "utterance":
        return collate_utterances
    raise UserError(f"collation is {kind!r}, expected pad, crop, crop_pair, crop_set, crop_wav or utterance")
