"""What is put to the listeners: which recordings make an item under which condition."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from evc2.errors import UserError, nearest
from evc2.listening.rotation import order_key

NATURAL = "natural"
SAME, DIFFERENT = "natural_same_speaker", "natural_other_speaker"
"""Anchors of the similarity test: two natural recordings of one speaker in two emotions, and of two speakers."""

Clip = tuple[str, float | None, float | None]
"""A wav: entry of wav.scp, first and last second (None, None for all)."""


@dataclass(frozen=True)
class Material:
    """A trial with its wavs.

    Attributes:
        trial, speaker, emotion, source_emotion: of the trial; None where unknown.
        sentence: what is said: equal for equal words.
        source_speaker, gender: where known.
        converted: system -> its wav.
        reference, source: natural wavs.
    """

    trial: str
    speaker: str
    emotion: str
    source_emotion: str | None
    sentence: str
    converted: Mapping[str, Clip | None]
    reference: Clip | None = None
    source: Clip | None = None
    source_speaker: str | None = None
    gender: str | None = None

    @property
    def direction(self) -> tuple[str | None, str]:
        """Source and target emotion."""
        return self.source_emotion, self.emotion

    @property
    def group(self) -> Hashable:
        """What nobody should hear twice: this sentence from this speaker."""
        return self.speaker, self.sentence

    @property
    def same_speaker(self) -> bool:
        """Whether there is a source of the target's speaker."""
        return self.source is not None and self.source_speaker == self.speaker


@dataclass(frozen=True)
class Entry:
    """An item as the key knows it.

    Attributes:
        test, role: kind of test; "scored", "practice" or "check".
        trial, emotion, source_emotion, group: of the trial.
        systems: one name; two in the XAB test, as A and B.
        clips: wavs in the order of the page.
        expect: values that pass, for a check.
    """

    test: str
    role: str
    trial: str
    emotion: str
    source_emotion: str | None
    group: Hashable
    systems: tuple[str, ...]
    clips: tuple[Clip, ...]
    expect: tuple[int, ...] = ()


@dataclass
class Maker:
    """Makes items.

    Args:
        systems: name -> where, as given to the command.
        chosen: the trials of the test.
        everything: all usable trials: other speakers are looked for among them.
        natural: whether natural recordings are rated too.
        pairs: systems to compare in the XAB test; all if None.
    """

    systems: Mapping[str, str]
    chosen: Sequence[Material]
    everything: Sequence[Material]
    natural: bool = True
    pairs: Sequence[tuple[str, str]] | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in (NATURAL, SAME, DIFFERENT):
            if name in self.systems:
                raise UserError(f"--system: '{name}' is the name of the anchor; give the system another name")

    def conditions(self, test: str) -> list[Any]:
        """Names of systems and anchors; in the XAB test pairs of systems."""
        if test == "xab":
            return self._pairs()
        names: list[str] = list(self.systems)
        if not self.natural:
            return names
        if test == "mos":
            # A system that is the reference itself is natural speech already.
            return names if "@reference" in self.systems.values() else [*names, NATURAL]
        if "@source" not in self.systems.values():
            if all(m.same_speaker for m in self.chosen):
                names.append(SAME)
            else:
                self.notes.append("similarity: no anchor of one speaker, as some trial has no source of its speaker")
        if all(self._other(m) is not None for m in self.chosen):
            names.append(DIFFERENT)
        else:
            self.notes.append("similarity: no anchor of two speakers, as there is one speaker only")
        return names

    def item(self, test: str, role: str, material: Material, condition: Any, flip: bool) -> Entry:
        """One item; ``flip`` exchanges A and B."""
        if test == "mos":
            clip = material.reference if condition == NATURAL else material.converted[condition]
            return self._entry(test, role, material, (condition,), (clip,))
        if test == "similarity":
            if condition == SAME:
                other = material.source
            elif condition == DIFFERENT:
                other = self._other(material).reference
            else:
                other = material.converted[condition]
            clips = (material.reference, other)
            return self._entry(test, role, material, (condition,), clips[::-1] if flip else clips)
        names = condition[::-1] if flip else condition
        clips = (material.reference, *(material.converted[name] for name in names))
        return self._entry(test, role, material, tuple(names), clips)

    def check(self, test: str, material: Material, flip: bool) -> Entry | None:
        """An attention check, or None where the trial lacks the natural recordings.

        Naturalness: an unconverted recording is "Fair" or better. Similarity: a recording and itself are of the same
        speaker. Emotion: of X itself and a recording in another emotion, X itself is closer.
        """
        natural = material.source or material.reference
        if test == "mos":
            clips = (natural,) if natural else None
            expect: tuple[int, ...] = (3, 4, 5)
        elif test == "similarity":
            clips, expect = (material.reference, material.reference), (3, 4)
        else:
            other = material.source if material.source_emotion not in (None, material.emotion) else None
            clips = (material.reference, other, material.reference) if flip else (material.reference,) * 2 + (other,)
            expect = (2,) if flip else (1,)
        if clips is None or None in clips:
            return None
        return self._entry(test, "check", material, (NATURAL,), clips, expect)

    def _entry(
        self,
        test: str,
        role: str,
        m: Material,
        systems: tuple[str, ...],
        clips: tuple[Clip, ...],
        expect: tuple[int, ...] = (),
    ) -> Entry:
        return Entry(test, role, m.trial, m.emotion, m.source_emotion, m.group, systems, clips, expect)

    def _other(self, material: Material) -> Material | None:
        """A trial of another speaker, of the same gender and emotion where there is one."""
        others = [m for m in self.everything if m.speaker != material.speaker and m.reference is not None]
        # Beginning at another place each time, so that not all trials meet the same recording.
        start = hash_place(material.trial, len(others))
        others = others[start:] + others[:start]
        mine = material.gender, material.emotion
        return min(
            others, key=lambda m: [a != b for a, b in zip(mine, (m.gender, m.emotion), strict=True)], default=None
        )

    def _pairs(self) -> list[tuple[str, str]]:
        known = [name for name, where in self.systems.items() if where != "@reference"]
        for name in {name for pair in self.pairs or () for name in pair}:
            if name not in known:
                raise UserError(f"--xab_pairs: unknown system '{name}'{nearest(name, known)}")
        pairs = list(combinations(known, 2)) if self.pairs is None else list(self.pairs)
        if not pairs or any(a == b for a, b in pairs):
            raise UserError(f"the xab test compares two systems other than @reference, found {', '.join(known)}")
        return pairs


def hash_place(name: str, number: int) -> int:
    """A place from 0 to number - 1 that depends on the name alone (0 for an empty list)."""
    return order_key(name) % number if number else 0
