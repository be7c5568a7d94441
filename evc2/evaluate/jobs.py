"""From files to jobs: trials, a data dir and the systems' wavs."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evc2.errors import UserError
from evc2.evaluate.directions import changes_speaker, directions_of
from evc2.evaluate.score import Clip, Job
from evc2.fileio.datadir import DataDir, Trial, read_table

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
NATURAL = ("@source", "@reference")
"""Stand for the trial's own source and reference wavs in place of a system's."""

ENROLLED = 10
"""Natural recordings of a speaker, at most, with which an output is compared: more would make the mean of their
embeddings little better, and each is to be read and embedded."""


def parse_systems(words: Sequence[str]) -> dict[str, str]:
    """NAME=WHERE words -> name -> where, in their order; UserError for a malformed or repeated one."""
    systems: dict[str, str] = {}
    for word in words:
        name, equals, where = word.partition("=")
        if not (name and equals and where) or name != "".join(name.split()):
            raise UserError(f"--system: expected NAME=wav.scp, NAME=FOLDER or NAME=@source, found '{word}'")
        if name in systems:
            raise UserError(f"--system: '{name}' is given twice; give each system a name of its own")
        if where.startswith("@") and where not in NATURAL:
            raise UserError(f"--system: {name}: unknown '{where}'; expected @source or @reference")
        systems[name] = where
    if not systems:
        raise UserError("no system to evaluate: give --system NAME=wav.scp at least once")
    return systems


def system_wavs(name: str, where: str) -> dict[str, str] | None:
    """Trial id -> wav of one system, from its wav.scp or a folder of <trial id>.wav; None for @source, @reference."""
    if where in NATURAL:
        return None
    path = Path(where)
    if not path.is_dir():
        return read_table(path)
    wavs: dict[str, str] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in AUDIO_SUFFIXES or file.name.startswith("."):
            continue
        if file.stem in wavs:
            raise UserError(f"--system: {name}: {file} and {wavs[file.stem]} are both of trial {file.stem}; keep one")
        wavs[file.stem] = str(file)
    if not wavs:
        raise UserError(f"--system: {name}: expected wav files named by trial in {path}, found none")
    return wavs


def warn_of_extra(name: str, wavs: Mapping[str, str], trials: Sequence[Trial]) -> None:
    """Warn when a system has wavs that no trial asks for."""
    extra = sorted(wavs.keys() - {trial.id for trial in trials})
    if extra:
        logging.warning("%s: %d wavs belong to no trial and are left out: %s", name, len(extra), _first(extra))


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


class _Utterances:
    """What a data dir knows of its utterances, by id."""

    def __init__(self, data: DataDir) -> None:
        self.path = data.path
        self._wavs = data.table("wav.scp")
        self._segments = data.segments
        self.emotions = data.table("utt2emo") if data.has("utt2emo") else {}
        self.texts = data.table("text") if data.has("text") else {}
        self.speakers = data.table("utt2spk") if data.has("utt2spk") else {}
        self._spoken: dict[str, list[str]] = {}
        # In the order of a checksum, so that a few of them are no few of one emotion, session or sentence, whatever the
        # ids are made of, and the same few on every machine.
        for utt in sorted(self.speakers, key=lambda utt: (zlib.crc32(utt.encode()), utt)):
            self._spoken.setdefault(self.speakers[utt], []).append(utt)

    def clip(self, utt: str) -> Clip | None:
        if self._segments is None:
            return Clip(self._wavs[utt]) if utt in self._wavs else None
        if utt not in self._segments or self._segments[utt][0] not in self._wavs:
            return None
        recording, start, stop = self._segments[utt]
        return Clip(self._wavs[recording], start, stop)

    def voice(self, speaker: str | None, without: Trial) -> tuple[Clip, ...]:
        """Up to ``ENROLLED`` recordings of a speaker, none of them the trial's source or reference."""
        barred = {self.clip(utt) for utt in (without.source, without.reference) if utt is not None} | {None}
        found: list[Clip] = []
        for utt in self._spoken.get(speaker, ()):
            clip = self.clip(utt)
            if clip not in barred and len(found) < ENROLLED:
                found.append(clip)
                barred.add(clip)  # a recording that has two ids counts once
        return tuple(found)


def make_jobs(
    trials: Sequence[Trial], data: DataDir, systems: Mapping[str, str], enrol: DataDir | None = None
) -> Iterator[Job]:
    """Yield a job a trial. Files are looked up, not opened; the tables are read before the first job is asked for.

    Args:
        trials: to score.
        data: data directory of their sources and references.
        systems: where each system's wavs are.
        enrol: data directory with recordings of the speakers of whom `data` has none.

    Raises:
        UserError: no trials, a missing or malformed table, or a system none of whose wavs belongs to a trial.
    """
    if not trials:
        raise UserError("the list of trials is empty: there is nothing to evaluate")
    utterances, enrolled = _Utterances(data), None if enrol is None else _Utterances(enrol)
    directions = directions_of(trials, utterances.emotions, utterances.speakers)
    wavs: dict[str, dict[str, str] | None] = {}
    for name, where in systems.items():
        wavs[name] = found = system_wavs(name, where)
        if found is not None:
            if not any(trial.id in found for trial in trials):
                ids = f"'{next(iter(found))}', while a trial is called '{trials[0].id}'"
                raise UserError(f"--system: {name}: no wav in {where} belongs to a trial; one of its ids is {ids}")
            warn_of_extra(name, found, trials)
    no_source = [trial.id for trial in trials if utterances.clip(trial.source) is None]
    if no_source:
        logging.warning(
            "%d of %d trials have a source that is not in %s/wav.scp (text?): no distance to source for them: %s",
            len(no_source), len(trials), data.path, _first(no_source),
        )  # fmt: skip
    return (_job(trial, directions[trial.id], utterances, enrolled, wavs, systems) for trial in trials)


def _job(
    trial: Trial,
    direction: str,
    utterances: _Utterances,
    enrolled: _Utterances | None,
    wavs: Mapping[str, dict[str, str] | None],
    systems: Mapping[str, str],
) -> Job:
    source = utterances.clip(trial.source)
    reference = None if trial.reference is None else utterances.clip(trial.reference)
    problem = None
    if trial.reference is not None and reference is None:
        problem = f"reference {trial.reference} is not in {utterances.path}/wav.scp"
    natural = {"@source": source, "@reference": reference}
    converted: dict[str, Clip | None] = {}
    for name, found in wavs.items():
        if found is None:
            clip = natural[systems[name]]
        else:
            clip = Clip(found[trial.id]) if trial.id in found else None
        # What is made of the reference cannot exist where the trial names none: that is no fault of the system.
        of_reference = name == "analysis_synthesis" or systems[name] == "@reference"
        if clip is not None or not (of_reference and trial.reference is None):
            converted[name] = clip
    text = utterances.texts.get(trial.reference or "") or utterances.texts.get(trial.source)
    emotion, speaker = (table.get(trial.source) for table in (utterances.emotions, utterances.speakers))
    moved = changes_speaker(speaker, trial.speaker)
    known = [utterances] if enrolled is None else [utterances, enrolled]
    voices = [next(filter(None, (at.voice(one, trial) for at in known)), ()) if moved else ()
              for one in (trial.speaker, speaker)]  # fmt: skip
    return Job(
        trial.id, trial.speaker, trial.emotion, emotion, converted, reference, source, text, problem,
        speaker, direction, *voices,
    )  # fmt: skip
