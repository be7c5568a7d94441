"""Choosing some utterances of a data directory, in the ways of Kaldi's subset_data_dir.sh."""

import os
from collections.abc import Sequence

from evc2.errors import UserError, nearest
from evc2.fileio.datadir import DataDir, utts_by_speaker
from evc2.fileio.tables import rows

LENGTHS = ("utt2num_frames", "utt2num_samples", "utt2dur")


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read the first word of each line; a file without any is a UserError."""
    ids = [key for _, key, _ in rows(path)]
    if not ids:
        raise UserError(f"{path}: empty; expected one id a line")
    return ids


def spread(items: Sequence[str], number: int) -> list[str]:
    """Take `number` items at even distances (the first of each of `number` equal parts), in order."""
    return [items[i * len(items) // number] for i in range(number)]


def select(data: DataDir, number: int, how: str = "spread") -> list[str]:
    """Choose utterances by number.

    Args:
        data: the data directory.
        number: how many utterances (with "per_spk": of each speaker, or all that it has).
        how: "spread" at even distances, "first", "last", "shortest" (by utt2num_frames, utt2num_samples or utt2dur),
            "per_spk", or "speakers" (whole speakers in turn, until there are at least `number` utterances).

    Raises:
        UserError: fewer utterances than asked for, or no file with lengths.
    """
    utts = data.utts
    lists = {speaker: row.split() for speaker, row in utts_by_speaker(data.table("utt2spk")).items()}
    if how == "per_spk":
        return [utt for own in lists.values() for utt in spread(own, min(number, len(own)))]
    if not 0 < number <= len(utts):
        raise UserError(f"{data.path}: asked for {number} utterances, expected 1 to {len(utts)}")
    if how == "speakers":
        chosen: list[str] = []
        for own in lists.values():
            if len(chosen) < number:
                chosen += own
        return chosen
    if how == "shortest":
        name = next((name for name in LENGTHS if data.has(name)), None)
        if name is None:
            raise UserError(f"{data.path}: --shortest needs one of {' '.join(LENGTHS)}")
        lengths = data.table(name)
        return sorted(sorted(utts, key=lambda utt: float(lengths[utt]))[:number])
    return {"first": utts[:number], "last": utts[-number:], "spread": spread(utts, number)}[how]


def of_speakers(data: DataDir, speakers: Sequence[str]) -> list[str]:
    """Return the utterances of the given speakers; an unknown speaker is a UserError."""
    for speaker in speakers:
        if speaker not in data.speakers:
            raise UserError(f"{data.path}: unknown speaker '{speaker}'{nearest(speaker, data.speakers)}")
    return [utt for utt, speaker in data.table("utt2spk").items() if speaker in set(speakers)]
