"""How long utterances last: by a list, by the headers of their wavs, or by what a data directory knows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from evc2.errors import UserError
from evc2.evaluate.jobs import AUDIO_SUFFIXES
from evc2.evaluate.zerospeech.embeddings import name_of
from evc2.fileio.datadir import DataDir, read_table
from evc2.fileio.tables import rows


def read_list(path: str | os.PathLike[str]) -> dict[str, float]:
    """Utterance -> seconds, of lines `<utterance>.txt <seconds>` (the official bitrate_filelist).

    Raises:
        UserError: no line, a line of another form, or an utterance twice.
    """
    found: dict[str, float] = {}
    for number, word, rest in rows(path):
        name, seconds = name_of(word), _positive(rest)
        if seconds is None:
            raise UserError(f"{path}:{number}: expected `<utterance>.txt <seconds>`, found '{word} {rest}'")
        if name in found:
            raise UserError(f"{path}:{number}: '{name}' stands there twice")
        found[name] = seconds
    if not found:
        raise UserError(f"{path}: empty; expected lines of `<utterance>.txt <seconds>`")
    return found


def _positive(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def wav_table(where: str | os.PathLike[str]) -> dict[str, str]:
    """Utterance -> recording, of a wav.scp or of a folder with <utterance>.wav."""
    path = Path(where)
    if not path.is_dir():
        return read_table(path)
    found = {p.stem: str(p) for p in sorted(path.iterdir()) if p.suffix.lower() in AUDIO_SUFFIXES and p.name[0] != "."}
    if not found:
        raise UserError(f"{where}: expected <utterance>.wav files in this folder, found none")
    return found


def wav_seconds(entry: str) -> float:
    """Seconds of a recording, by its header; a piped command is run."""
    import soundfile

    from evc2.fileio.audio import read_audio

    if not entry.rstrip().endswith("|"):
        try:
            info = soundfile.info(entry)
            return info.frames / info.samplerate
        except soundfile.SoundFileError:
            pass  # read_audio says what is wrong
    wav, rate = read_audio(entry)
    return len(wav) / rate


def seconds_of_wavs(table: Mapping[str, str], names: Iterable[str] | None = None) -> dict[str, float]:
    """Utterance -> seconds of the recordings of a table, of all or of those names that it has."""
    chosen = table if names is None else [name for name in names if name in table]
    return {name: wav_seconds(table[name]) for name in chosen}


def seconds_of_data(path: str | os.PathLike[str], names: Iterable[str] | None = None) -> dict[str, float]:
    """Utterance -> seconds, of a data directory: utt2dur, segments, utt2num_samples, or the headers of its wavs.

    utt2num_samples is of this project's stage 2, where all recordings have one rate: the first one tells it.

    Args:
        path: the data directory.
        names: the utterances that are wanted; all if None. One that the directory lacks is left out.

    Raises:
        UserError: no such directory, a broken table, or a recording that cannot be read.
    """
    data = DataDir(path)
    known = data.utts if names is None else [name for name in names if name in data.table("utt2spk")]
    if data.has("utt2dur"):
        return _numbers(data, "utt2dur", known, 1.0)
    wavs = data.table("wav.scp")
    if data.has("utt2num_samples") and known:
        import soundfile

        entry = wavs.get(known[0], "|")
        if not entry.rstrip().endswith("|") and Path(entry).is_file():
            return _numbers(data, "utt2num_samples", known, soundfile.info(entry).samplerate)
    if data.segments is None:
        return seconds_of_wavs(wavs, known)
    found = {}
    for name in known:
        recording, start, stop = data.segments[name]
        found[name] = (wav_seconds(wavs[recording]) if stop < 0 else stop) - start
    return found


def _numbers(data: DataDir, name: str, utts: Iterable[str], divisor: float) -> dict[str, float]:
    table, found = data.table(name), {}
    for utt in utts:
        value = _positive(table.get(utt, ""))
        if value is None:
            raise UserError(f"{data.path / name}: {utt}: expected a positive number, found '{table.get(utt, '')}'")
        found[utt] = value / divisor
    return found


def find_seconds(data_dir: str | None, wavs: str | None, names: Iterable[str] | None = None) -> dict[str, float] | None:
    """Utterance -> seconds by the options --data_dir or --wavs; None where neither is given."""
    if wavs is not None:
        return seconds_of_wavs(wav_table(wavs), names)
    return None if data_dir is None else seconds_of_data(data_dir, names)
