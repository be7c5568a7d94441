"""Phones and their durations from TextGrids, as the Montreal Forced Aligner writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evc2.errors import UserError
from evc2.fileio.datadir import DataDir
from evc2.text.silences import NOISE, PAUSE, SILENT_LABELS
from evc2.text.textgrid import Interval, read_textgrid

MOST_FRAMES_OFF = 3
_GAP = 1e-3  # seconds between two intervals that are no pause, only rounded


class Alignment(NamedTuple):
    """What is said from the first phone to the last: L phones, their L + 1 bounds in seconds."""

    phones: list[str]
    times: list[float]


def _silent(label: str) -> bool:
    return label.lower() in SILENT_LABELS


def alignment(intervals: Sequence[Interval]) -> Alignment:
    """The phones of a tier: silence and noise at both ends are dropped, inner silence is `sp`, inner noise `spn`.

    Raises:
        UserError: no phone, or a label that is none (it holds blanks).
    """
    spoken = [n for n, part in enumerate(intervals) if not _silent(part.label) and part.label.lower() != NOISE]
    if not spoken:
        raise UserError("holds no phone, only silence")
    phones: list[str] = []
    times = [intervals[spoken[0]].start]

    def append(phone: str, stop: float) -> None:
        if phone == PAUSE and phones[-1:] == [PAUSE]:
            times[-1] = stop
        else:
            phones.append(phone)
            times.append(stop)

    for part in intervals[spoken[0] : spoken[-1] + 1]:
        if part.start - times[-1] > _GAP:
            append(PAUSE, part.start)
        if len(part.label.split()) > 1:
            raise UserError(f"'{part.label}' is no phone; choose the tier of phones by --tier")
        label = PAUSE if _silent(part.label) else NOISE if part.label.lower() == NOISE else part.label
        append(label, part.stop)
    return Alignment(phones, times)


def read_alignment(path: str | os.PathLike[str], tier: str = "phones") -> Alignment:
    """Read the tier of phones of a TextGrid.

    Raises:
        UserError: the file cannot be used; the message begins with its name.
    """
    tiers = read_textgrid(path)
    if tier not in tiers:
        raise UserError(f"{path}: expected a tier '{tier}', found: {', '.join(tiers) or 'none'}; choose one by --tier")
    try:
        return alignment(tiers[tier])
    except UserError as error:
        raise UserError(f"{path}: tier '{tier}': {error}") from None


def frame_durations(times: Sequence[float], start: float, frames_per_second: float, frames: int) -> np.ndarray:
    """Whole frames [L] (int64, >= 0) of L phones of an utterance; their sum is `frames`.

    Args:
        times: [L + 1] bounds in seconds, as :class:`Alignment` has them.
        start: where the recording was cut, in seconds of the same clock.
        frames_per_second: of the features.
        frames: how many the features have.

    A bound lies at the nearest frame. What is missing to `frames` goes to the last phone; what is too much is taken
    from it and, where it has one frame left, from those before.

    Raises:
        UserError: start or length differ by more than three frames, so the recording is another or was cut otherwise.
    """
    bounds = np.floor((np.asarray(times, dtype=np.float64) - start) * frames_per_second + 0.5).astype(np.int64)
    durations = np.diff(bounds)
    more = frames - int(durations.sum())
    if abs(more) > MOST_FRAMES_OFF or abs(bounds[0]) > MOST_FRAMES_OFF:
        raise UserError(
            f"its TextGrid has {int(durations.sum())} frames from {times[0]:.3f} s on, the audio {frames} from "
            f"{start:.3f} s on; was the audio cut by it (format_wav --textgrids)?"
        )
    durations[-1] += max(more, 0)
    for least in (1, 0):
        for place in range(len(durations) - 1, -1, -1):
            taken = max(0, min(-more, int(durations[place]) - least))
            durations[place] -= taken
            more += taken
    return durations


class Aligned(NamedTuple):
    """Phones and durations of the utterances that have them, and why the others have none."""

    phones: dict[str, list[str]]
    durations: dict[str, np.ndarray]  # [L] int64 each
    missing: dict[str, str]


def align_by_textgrids(data: DataDir, folder: str | os.PathLike[str], tier: str, frames_per_second: float) -> Aligned:
    """The phones of a feature directory whose audio was cut by its TextGrids (``utt2textgrid`` names them).

    Args:
        data: with ``utt2num_frames`` and ``utt2trim``.
        folder: of the TextGrids.
        tier: of the phones.
        frames_per_second: of the features.

    Raises:
        UserError: no features, no cut, or not one TextGrid that fits.
    """
    for name, maker in (("utt2trim", "evc2 format_wav --textgrids"), ("utt2num_frames", "evc2 extract_feats")):
        if not data.has(name):
            raise UserError(
                f"{data.path}: expected a file '{name}', which {maker} writes; run it first (stages 2 and 3)"
            )
    grids = TextGrids(folder)
    if data.has("utt2textgrid"):
        paths = {utt: grids.folder / name for utt, name in data.table("utt2textgrid").items()}
    else:
        paths = grids.match(data.table("utt2spk"), grids.stems(data))
    trims, lengths = data.table("utt2trim"), data.table("utt2num_frames")
    found = Aligned({}, {}, {})
    for utt in data.utts:
        if not (utt in paths and utt in trims and utt in lengths):
            found.missing[utt] = "no features" if utt in paths else "no TextGrid"
            continue
        try:
            phones, times = read_alignment(paths[utt], tier)
            start = float(trims[utt].split()[0])
            found.durations[utt] = frame_durations(times, start, frames_per_second, int(lengths[utt]))
            found.phones[utt] = phones
        except UserError as error:
            found.missing[utt] = " ".join(str(error).split())
    return found


class TextGrids:
    """The TextGrids below a folder.

    Raises:
        UserError: no such folder, or no TextGrid in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._by_stem: dict[str, list[Path]] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() == ".textgrid":
                self._by_stem.setdefault(path.stem, []).append(path)
        if not self._by_stem:
            raise UserError(f"--textgrids: {folder}: expected <utterance>.TextGrid in this folder or below, found none")

    @staticmethod
    def stems(data: DataDir) -> dict[str, str]:
        """Names of the recordings of a data directory for :meth:`match`; none where recordings are cut or piped."""
        if data.segments is not None:
            return {}
        return {utt: Path(wav).stem for utt, wav in data.table("wav.scp").items() if not wav.endswith("|")}

    def match(self, utt2spk: Mapping[str, str], stems: Mapping[str, str] | None = None) -> dict[str, Path]:
        """Find the TextGrid of each utterance; those without are left out.

        It is called as the utterance is, as the utterance without its speaker in front, or as its recording, the first
        that fits; that in a folder of the speaker's name is preferred, that in one of another speaker's is not taken.

        Args:
            utt2spk: speaker of each utterance.
            stems: names of the recordings without folder and suffix, where they tell utterances apart.

        Raises:
            UserError: none fits, several fit an utterance, or one fits several.
        """
        speakers = set(utt2spk.values())
        found: dict[str, Path] = {}
        taken: dict[Path, str] = {}
        for utt, speaker in utt2spk.items():
            names = [utt]
            if utt.startswith(speaker) and utt[len(speaker) : len(speaker) + 1] in ("-", "_"):
                names.append(utt[len(speaker) + 1 :])
            names += [stems[utt]] if stems and utt in stems else []
            path = next(filter(None, (self._one(utt, name, speaker, speakers) for name in names)), None)
            if path is None:
                continue
            if path in taken:
                raise UserError(
                    f"{path}: fits both {taken[path]} and {utt}; call TextGrids <utterance>.TextGrid, or put them in a "
                    "folder a speaker"
                )
            found[utt], taken[path] = path, utt
        if not found:
            utt, stem = next(iter(utt2spk)), next(iter(self._by_stem))
            raise UserError(
                f"--textgrids: {self.folder}: has none of the {len(utt2spk)} utterances; expected names like "
                f"{utt}.TextGrid, found {stem}.TextGrid"
            )
        return found

    def _one(self, utt: str, name: str, speaker: str, speakers: set[str]) -> Path | None:
        paths = self._by_stem.get(name, [])
        own = [path for path in paths if path.parent.name == speaker]
        if not own and name == utt and len(paths) == 1:  # a whole id is enough, wherever it lies
            return paths[0]
        fit = own or [path for path in paths if path.parent == self.folder or path.parent.name not in speakers]
        if len(fit) > 1:
            raise UserError(f"{utt}: several TextGrids fit: {', '.join(map(str, fit[:3]))}; remove all but one")
        return fit[0] if fit else None
