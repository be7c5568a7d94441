"""What a list of trials offers to metrics and systems: references, sources, texts, another speaker."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evc2.errors import UserError
from evc2.evaluate.directions import MOST, changes_speaker, directions_of
from evc2.evaluate.registry import Metric
from evc2.fileio.datadir import DataDir, Trial, read_table

OF_REFERENCE = "analysis_synthesis"
"""A system of this name is made of the references, as the one called @reference is."""


@dataclass(frozen=True)
class Scope:
    """The trials of an evaluation, and what the data directory knows of them.

    Attributes:
        trials: all trials.
        data: data directory of their utterances.
    """

    trials: Sequence[Trial]
    data: DataDir

    def table(self, name: str) -> dict[str, str]:
        """A table of the data directory, empty where it has none."""
        return self.data.table(name) if self.data.has(name) else {}

    @cached_property
    def directions(self) -> dict[str, str]:
        """Trial id -> its direction."""
        return directions_of(self.trials, self.table("utt2emo"), self.table("utt2spk"))

    @cached_property
    def references(self) -> int:
        """Trials that name a reference."""
        return sum(trial.reference is not None for trial in self.trials)

    @cached_property
    def changes(self) -> list[Trial]:
        """Trials that go to another speaker."""
        of = self.table("utt2spk")
        return [trial for trial in self.trials if changes_speaker(of.get(trial.source), trial.speaker)]

    @cached_property
    def lacking(self) -> dict[str, str]:
        """What metrics may need and no trial has -> why that is so."""
        sources = self.data.segments or self.data.table("wav.scp")
        texts = self.table("text")
        found = {}
        if not self.references:
            found["reference"] = "no trial names a reference"
        if not any(trial.source in sources for trial in self.trials):
            found["source"] = f"no trial has a source in {self.data.path}/wav.scp"
        if not any(trial.source in texts or trial.reference in texts for trial in self.trials):
            found["text"] = f"{self.data.path}/text has no transcript of any trial"
        if not self.changes:
            found["other_speaker"] = "no trial changes the speaker"
        return found

    def without_rows(self, systems: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Split off the systems that are made of references where there are none.

        Raises:
            UserError: none would be left.
        """
        gone = [name for name, where in systems.items() if not self.references and _of_references(name, where)]
        for name in gone:
            logging.warning("%s left out: no trial names a reference that it could be made of", name)
        if len(gone) == len(systems):
            raise UserError(
                f"--system: {', '.join(gone)}: no trial names a reference; give another system, such as "
                "zero_effort=@source"
            )
        return {name: where for name, where in systems.items() if name not in gone}, gone

    def usable(self, metrics: Sequence[Metric], named: Sequence[str]) -> tuple[list[Metric], dict[str, str]]:
        """Split off the metrics that no trial or this machine could serve -> why, with one warning for each reason.

        Those of a change of the speaker go without a word where there is none, unless they are ``named``.

        Raises:
            UserError: none would be left.
        """
        skipped: dict[str, str] = {}
        silent = []
        for metric in metrics:
            need = next((need for need in metric.needs if need in self.lacking), None)
            if need == "other_speaker" and metric.name not in named:
                silent.append(metric.name)
                continue
            why = metric.missing() if need is None else self.lacking[need]
            if why is not None:
                skipped[metric.name] = why
        for why in dict.fromkeys(skipped.values()):
            names = [name for name, reason in skipped.items() if reason == why]
            logging.warning("%s left out: %s", ", ".join(names), why)
        usable = [metric for metric in metrics if metric.name not in skipped and metric.name not in silent]
        if not usable:
            reasons = dict.fromkeys(skipped.values()) or [self.lacking["other_speaker"]]
            raise UserError(f"none of the metrics can be used here: {'; '.join(reasons)}")
        return usable, skipped

    def warn_of_unknown_speakers(self, enrol: DataDir | None = None) -> None:
        """Warn of trials to a speaker of whom neither the data directory nor that of enrolments has a recording."""
        known = set(self.table("utt2spk").values()) | set(enrol.table("utt2spk").values() if enrol else ())
        unknown = sorted({trial.speaker for trial in self.changes} - known)
        if unknown:
            logging.warning(
                "no recording of speaker %s in %s: no voice to compare the outputs of their trials with%s",
                ", ".join(unknown), self.data.path, "" if enrol else "; --enrol_dir names a folder that has some",
            )  # fmt: skip

    def header(self, gone: Sequence[str]) -> dict[str, str]:
        """What a reader should know of the trials: what -> text."""
        found = {}
        if self.changes:
            found["conversion"] = self._conversion()
        if not self.references:
            rows = f"; no row {', '.join(gone)}" if gone else ""
            found["references"] = f"no trial names one{rows}, and no metric that compares with it"
        elif self.references < len(self.trials):
            found["references"] = (
                f"{self.references} of {len(self.trials)} trials name one: rows made of references (natural, "
                f"{OF_REFERENCE}) and metrics that compare with them stand on these, see n"
            )
        return found

    def _conversion(self) -> str:
        of, emotions = self.table("utt2spk"), self.table("utt2emo")
        pairs = {(of[trial.source], trial.speaker) for trial in self.changes}
        kept = all(emotions.get(trial.source, trial.emotion) == trial.emotion for trial in self.changes)
        share = "" if len(self.changes) == len(self.trials) else f" in {len(self.changes)} of {len(self.trials)} trials"
        together = f", more than {MOST}, so put together by target speaker" if len(pairs) > MOST else ""
        emotion = "the emotion stays" if kept else "the emotion may change too"
        return f"to another speaker{share} ({len(pairs)} directions{together}); {emotion}"


def _of_references(name: str, where: str) -> bool:
    if where == "@reference":
        return True
    # Stage 6 leaves an empty list where no trial has a reference; wavs that somebody made otherwise are welcome.
    return name == OF_REFERENCE and Path(where).is_file() and not read_table(where, allow_empty=True)
