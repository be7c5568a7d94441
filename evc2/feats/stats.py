"""Mean and deviation of features, log F0 and power, and mean duration, by speaker and emotion."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

import numpy as np

from evc2.errors import UserError, nearest
from evc2.feats.moments import (
    FEATS_STD_FLOOR,
    LF0_STD_FLOOR,
    NAMES,
    POWER_STD_FLOOR,
    SPEECH_DB,
    Cell,
    Moments,
    Sums,
    moments_of,
    speech_mask,
    speech_threshold,
)
from evc2.fileio.atomic import atomic_path

__all__ = ["LF0_STD_FLOOR", "SPEECH_DB", "Moments", "Stats", "moments_of", "speech_mask", "speech_threshold"]


class Stats:
    """Statistics of a training set by speaker and emotion. Silence belongs trimmed before: feats count every frame."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], Cell] = {}
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
        duration: float | None = None,
    ) -> None:
        """Count one utterance.

        Args:
            speaker, emotion: whose and which.
            feats, f0, power: [T, D], [T] in Hz (0 = unvoiced), ln power [T]; the latter two may be None.
            duration: seconds of speech, or seconds per letter (the same for all that is counted together).
        """
        self._add((speaker, emotion), Cell.of(feats, f0, power, duration))

    def merge(self, other: Stats) -> None:
        """Count everything that `other` counted, too."""
        for key, cell in other._cells.items():
            self._add(key, cell)

    def _add(self, key: tuple[str, str], cell: Cell) -> None:
        first = next(iter(self._cells.values()), cell)  # all before had its size
        dims = {len(first.feats.total), len(cell.feats.total)}
        if len(dims) > 1:
            raise UserError(f"statistics: {' '.join(key)}: features of different sizes ({sorted(dims)}) were mixed")
        self._cells[key] = self._cells[key] + cell if key in self._cells else cell

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz (arrays only, no pickle), atomically."""
        keys = sorted(self._cells)
        arrays = {"keys": np.array([f"{speaker} {emotion}" for speaker, emotion in keys], dtype=np.str_)}
        for name in NAMES:
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
                    Sums(0, a[f"{name}_n"][row], a[f"{name}_sum"][row], a[f"{name}_squares"][row])
                    if name != "duration" or "duration_n" in a  # earlier versions counted none
                    else Sums(1)
                    for name in NAMES
                ]
                stats._cells[speaker, emotion] = Cell(*sums)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; `python -m evc2.bin.stats` makes it") from None
        except Exception as error:  # zipfile, numpy and zlib each have their own ways to reject damage
            raise UserError(f"{path}: not a statistics file ({type(error).__name__}: {error}); make it again") from None
        return stats

    def _pooled(self, speaker: str | None, emotion: str | None) -> Cell | None:
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

    def _voiced(self, cell: Cell, speaker: str | None, emotion: str | None) -> Sums:
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
    rates = [t.duration_mean - s.duration_mean for s, t in pairs]
    known = [rate for rate in rates if np.isfinite(rate)]
    scalars["duration_mean"] = source.duration_mean + float(np.mean(known)) if known else float("nan")
    return Moments(**scalars, n_frames=sum(t.n_frames for _, t in pairs))


def _listed(names: Iterable[str], limit: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"
