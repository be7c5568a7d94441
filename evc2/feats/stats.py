"""Mean and deviation of features, log F0 and power, by speaker and emotion, from sums that can be added up."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evc2.errors import UserError, nearest
from evc2.fileio.atomic import atomic_path

SPEECH_DB = 40.0
"""Frames within this many dB of an utterance's loud frames (99th percentile of its power) are speech."""

FEATS_STD_FLOOR = 1e-3
LF0_STD_FLOOR = 0.01  # a sixth of a semitone: less means that the voiced frames were too few
POWER_STD_FLOOR = 0.1  # 0.4 dB


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and (population) deviations; deviations are never below the floors of this module.

    Attributes:
        feats_mean, feats_std: [D] float64, over all frames.
        lf0_mean, lf0_std: of ln F0 in Hz, over voiced frames; NaN mean where there is none.
        power_mean, power_std: of ln power, over speech frames (see :func:`speech_mask`); NaN mean where there is none.
        n_frames: how many frames stand behind them.
    """

    feats_mean: np.ndarray
    feats_std: np.ndarray
    lf0_mean: float
    lf0_std: float
    power_mean: float
    power_std: float
    n_frames: int


def speech_threshold(power: np.ndarray) -> float:
    """The ln power above which a frame counts as speech: SPEECH_DB below the 99th percentile of `power` [T]."""
    return float(np.percentile(power, 99)) - SPEECH_DB * np.log(10.0) / 10.0


def speech_mask(power: np.ndarray) -> np.ndarray:
    """Which frames of an utterance are speech: bool [T] from its ln power [T]."""
    return np.asarray(power) >= speech_threshold(power)


class _Sums:
    """Number of frames, sum and sum of squares of [T, D] values, in float64."""

    def __init__(self, dim: int, n: int = 0, total: np.ndarray | None = None, squares: np.ndarray | None = None):
        self.n = int(n)
        self.total = np.zeros(dim) if total is None else np.asarray(total, dtype=np.float64)
        self.squares = np.zeros(dim) if squares is None else np.asarray(squares, dtype=np.float64)

    @classmethod
    def of(cls, values: np.ndarray) -> _Sums:
        values = np.asarray(values, dtype=np.float64)
        return cls(values.shape[1], len(values), values.sum(axis=0), (values**2).sum(axis=0))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(0, self.n + other.n, self.total + other.total, self.squares + other.squares)

    def moments(self, floor: float) -> tuple[np.ndarray, np.ndarray]:
        if self.n == 0:
            return np.full_like(self.total, np.nan), np.full_like(self.total, floor)
        mean = self.total / self.n
        variance = np.maximum(self.squares / self.n - mean**2, 0.0)
        return mean, np.maximum(np.sqrt(variance), floor)


@dataclass(eq=False)
class _Cell:
    """The sums of one speaker and emotion, or of several added up."""

    feats: _Sums
    lf0: _Sums
    power: _Sums

    @classmethod
    def of(cls, feats: np.ndarray, f0: np.ndarray | None, power: np.ndarray | None) -> _Cell:
        feats = np.asarray(feats)
        lengths = {len(a) for a in (feats, f0, power) if a is not None}
        if feats.ndim != 2 or lengths == {0} or len(lengths) != 1:
            shapes = [None if a is None else np.shape(a) for a in (feats, f0, power)]
            raise ValueError(f"expected feats [T, D], f0 [T] and power [T] of equal T > 0, got shapes {shapes}")
        nothing = np.empty(0)
        f0 = nothing if f0 is None else np.asarray(f0, dtype=np.float64)
        power = nothing if power is None else np.asarray(power, dtype=np.float64)
        speech = power[speech_mask(power)] if len(power) else nothing
        return cls(_Sums.of(feats), _Sums.of(np.log(f0[f0 > 0])[:, None]), _Sums.of(speech[:, None]))

    def __add__(self, other: _Cell) -> _Cell:
        return _Cell(self.feats + other.feats, self.lf0 + other.lf0, self.power + other.power)

    def moments(self, lf0: _Sums | None = None) -> Moments:
        lf0_mean, lf0_std = (lf0 or self.lf0).moments(LF0_STD_FLOOR)
        power_mean, power_std = self.power.moments(POWER_STD_FLOOR)
        scalars = (float(a[0]) for a in (lf0_mean, lf0_std, power_mean, power_std))
        return Moments(*self.feats.moments(FEATS_STD_FLOOR), *scalars, self.feats.n)


def moments_of(feats: np.ndarray, f0: np.ndarray | None = None, power: np.ndarray | None = None) -> Moments:
    """Moments of one utterance: feats [T, D], f0 [T] in Hz (0 = unvoiced), ln power [T]."""
    return _Cell.of(feats, f0, power).moments()


class Stats:
    """Statistics of a training set by speaker and emotion. Silence belongs trimmed before: feats count every frame."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], _Cell] = {}
        self._warned: set[tuple[str | None, str | None]] = set()

    @property
    def speakers(self) -> list[str]:
        """Speaker ids, sorted."""
        return sorted({speaker for speaker, _ in self._cells})

    @property
    def emotions(self) -> list[str]:
        """Emotions, sorted."""
        return sorted({emotion for _, emotion in self._cells})

    def has(self, speaker: str, emotion: str) -> bool:
        """Say whether there is anything of this speaker in this emotion."""
        return (speaker, emotion) in self._cells

    def add(
        self,
        speaker: str,
        emotion: str,
        feats: np.ndarray,
        f0: np.ndarray | None = None,
        power: np.ndarray | None = None,
    ) -> None:
        """Count one utterance: feats [T, D], f0 [T] in Hz (0 = unvoiced), ln power [T]; the latter two may be None."""
        self._add((speaker, emotion), _Cell.of(feats, f0, power))

    def merge(self, other: Stats) -> None:
        """Count everything that `other` counted, too."""
        for key, cell in other._cells.items():
            self._add(key, cell)

    def _add(self, key: tuple[str, str], cell: _Cell) -> None:
        dims = {len(c.feats.total) for c in self._cells.values()} | {len(cell.feats.total)}
        if len(dims) > 1:
            raise UserError(f"statistics: {' '.join(key)}: features of different sizes ({sorted(dims)}) were mixed")
        self._cells[key] = self._cells[key] + cell if key in self._cells else cell

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz (arrays only, no pickle), atomically."""
        keys = sorted(self._cells)
        arrays = {"keys": np.array([f"{speaker} {emotion}" for speaker, emotion in keys], dtype=np.str_)}
        for name in ("feats", "lf0", "power"):
            sums = [getattr(self._cells[key], name) for key in keys]
            arrays[f"{name}_n"] = np.array([s.n for s in sums], dtype=np.int64)
            arrays[f"{name}_sum"] = np.array([s.total for s in sums], dtype=np.float64)
            arrays[f"{name}_squares"] = np.array([s.squares for s in sums], dtype=np.float64)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Stats:
        """Read what :meth:`save` wrote. A missing or damaged file is a UserError."""
        stats = cls()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                a = {name: arrays[name] for name in arrays.files}
            for row, key in enumerate(a["keys"]):
                speaker, emotion = str(key).split()
                sums = [
                    _Sums(0, a[f"{name}_n"][row], a[f"{name}_sum"][row], a[f"{name}_squares"][row])
                    for name in ("feats", "lf0", "power")
                ]
                stats._cells[speaker, emotion] = _Cell(*sums)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; `python -m evc2.bin.stats` makes it") from None
        except Exception as error:  # zipfile, numpy and zlib each have their own ways to reject damage
            raise UserError(f"{path}: not a statistics file ({type(error).__name__}: {error}); make it again") from None
        return stats

    def _pooled(self, speaker: str | None, emotion: str | None) -> _Cell | None:
        chosen = [c for (s, e), c in self._cells.items() if speaker in (None, s) and emotion in (None, e)]
        total = None
        for cell in chosen:
            total = cell if total is None else total + cell
        return total

    def get(self, speaker: str | None = None, emotion: str | None = None) -> Moments:
        """Moments of a speaker in an emotion; None pools over all speakers or emotions (frames count alike, so the
        deviation includes the differences between those pooled).

        With fewer than two voiced frames, log F0 is taken from the speaker in all emotions, else from the emotion in
        all speakers, else from everything, with a warning.

        Raises:
            UserError: unknown speaker, emotion or combination, naming the known ones.
        """
        for what, value, known in (("speaker", speaker, self.speakers), ("emotion", emotion, self.emotions)):
            if value is not None and value not in known:
                raise UserError(
                    f"the statistics know no {what} '{value}'{nearest(value, known)}; known: {_listed(known)}"
                )
        cell = self._pooled(speaker, emotion)
        if cell is None:
            found = f"only {_listed(e for s, e in sorted(self._cells) if s == speaker)}" if speaker else "no data"
            raise UserError(f"the statistics hold no '{emotion}' of speaker '{speaker}', {found}")
        return cell.moments(self._voiced(cell, speaker, emotion))

    def _voiced(self, cell: _Cell, speaker: str | None, emotion: str | None) -> _Sums:
        if cell.lf0.n >= 2 or not any(c.lf0.n for c in self._cells.values()):
            return cell.lf0
        for wider in ((speaker, None), (None, emotion), (None, None)):
            pooled = self._pooled(*wider)
            if pooled.lf0.n >= 2:
                if (speaker, emotion) not in self._warned:
                    self._warned.add((speaker, emotion))
                    logging.warning(
                        "statistics: %s %s has %d voiced frames; its log F0 is taken from %s, %s",
                        *(speaker or "all speakers", emotion or "all emotions", cell.lf0.n),
                        *(wider[0] or "all speakers", wider[1] or "all emotions"),
                    )
                return pooled.lf0
        return cell.lf0

    def pair(
        self, speaker: str | None, src_emo: str, tgt_emo: str, source_moments: Moments | None = None
    ) -> tuple[Moments, Moments]:
        """Moments of source and target for the conversion of one speaker from one emotion to another.

        A speaker with both emotions in the training data has its own. Otherwise the source is `source_moments` (of
        the utterance to convert), and the target is that, shifted by the mean over training speakers of
        target - source and with deviations scaled by the geometric mean over them of target / source.

        Args:
            speaker: None, or one that is not in the statistics, for an unseen speaker.
            src_emo, tgt_emo: emotions of the statistics.
            source_moments: needed for a speaker without its own; where it is None and the speaker is known in
                `src_emo`, those are taken.

        Raises:
            UserError: unknown emotions, or no moments for an unseen speaker.
        """
        if speaker is not None and self.has(speaker, src_emo) and self.has(speaker, tgt_emo):
            return self.get(speaker, src_emo), self.get(speaker, tgt_emo)
        pooled = self.get(None, src_emo), self.get(None, tgt_emo)  # also checks the emotions
        if source_moments is None:
            if speaker is None or not self.has(speaker, src_emo):
                raise UserError(
                    f"speaker '{speaker}' is not in the statistics in {src_emo}, and no utterance of it was given; "
                    f"known speakers: {_listed(self.speakers)}"
                )
            source_moments = self.get(speaker, src_emo)
        both = [s for s in self.speakers if self.has(s, src_emo) and self.has(s, tgt_emo)]
        pairs = [(self.get(s, src_emo), self.get(s, tgt_emo)) for s in both] or [pooled]
        return source_moments, _moved(source_moments, pairs)


def _moved(source: Moments, pairs: list[tuple[Moments, Moments]]) -> Moments:
    """Move `source` as the targets of `pairs` differ from their sources on the mean."""
    new: dict[str, np.ndarray | float] = {}
    for name, floor in (("feats", FEATS_STD_FLOOR), ("lf0", LF0_STD_FLOOR), ("power", POWER_STD_FLOOR)):
        mean, std = f"{name}_mean", f"{name}_std"
        shift = np.mean([getattr(t, mean) - getattr(s, mean) for s, t in pairs], axis=0)
        ratio = np.exp(np.mean([np.log(getattr(t, std) / getattr(s, std)) for s, t in pairs], axis=0))
        new[mean] = getattr(source, mean) + shift
        new[std] = np.maximum(getattr(source, std) * ratio, floor)
    scalars = {key: value if key.startswith("feats") else float(value) for key, value in new.items()}
    return Moments(**scalars, n_frames=sum(t.n_frames for _, t in pairs))


def _listed(names: Iterable[str], limit: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"
