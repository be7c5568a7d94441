"""Scoring a listening test: who counts, and what the answers say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evc2.errors import UserError
from evc2.evaluate.intervals import Interval, paired_difference, seed_for
from evc2.listening.agreement import krippendorff_alpha
from evc2.listening.answers import Answers, read_answers
from evc2.listening.definition import PRIVATE, Definition, read_json
from evc2.listening.figures import Mean, Preference, Rating, mean_of, preference
from evc2.listening.scales import SCALES

ALL = "all"
SAME_FROM = 3
"""Values of the similarity test from here on say "same"."""
MEANS = {"mos": ("mos", (1.0, 5.0)), "similarity": ("mean", (1.0, 4.0))}


@dataclass(frozen=True)
class Cell:
    """One figure of a table: ``figure`` is "mos", "mean" (similarity, 1 to 4) or "same" (share, 0 to 1)."""

    test: str
    figure: str
    system: str
    emotion: str
    value: Mean


@dataclass
class Scores:
    """All results.

    Attributes:
        test: id. files: what was read.
        rule: who is left out. listeners: listener -> why left out, None for those that count.
        checks: test -> (passed, asked). repeated: answers replaced by a later file.
        systems: names in the order of the command, anchors last.
        cells, preferences, differences, agreement: figures; preferences by emotion, agreement by test.
    """

    test: str
    files: list[str]
    rule: str
    listeners: dict[str, str | None] = field(default_factory=dict)
    checks: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeated: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    systems: list[str] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    preferences: list[tuple[str, Preference]] = field(default_factory=list)
    differences: list[tuple[str, str, Interval, Interval]] = field(default_factory=list)
    agreement: dict[str, float | None] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """Number of listeners that count."""
        return sum(why is None for why in self.listeners.values())


def read_key(folder: str | os.PathLike[str], test: Definition) -> dict:
    """The key of a test; UserError where it is missing or of another test."""
    path = Path(folder) / PRIVATE / "key.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; without the key nobody knows what was rated")
    key = read_json(path)
    if not isinstance(key, dict) or key.get("test") != test.id:
        raise UserError(f"{path}: expected the key of test {test.id}")
    return key


def exclusions(
    answers: Answers, test: Definition, key: dict, max_failed: int, keep_all: bool
) -> tuple[dict[str, str | None], dict[str, tuple[int, int]]]:
    """Listener -> why left out (None: counts), and test -> attention checks (passed, asked) over all listeners."""
    found: dict[str, str | None] = {}
    passed, asked = Counter(), Counter()
    for listener, own in sorted(answers.by_listener.items()):
        share = test.share(answers.numbers[listener], practice=False)
        failed = 0
        for item in share:
            entry = key["items"][item]
            if entry["role"] == "check" and item in own:
                good = own[item].value in entry["expect"]
                passed[entry["test"]] += good
                asked[entry["test"]] += 1
                failed += not good
        missing = sum(item not in own for item in share)
        why = None
        if missing:
            why = f"incomplete: {missing} of {len(share)} answers missing"
        elif failed > max_failed:
            why = f"failed {failed} attention checks"
        found[listener] = None if keep_all else why
    return found, {name: (passed[name], asked[name]) for name in test.tests}


def score(
    folder: str | os.PathLike[str],
    files: Sequence[str] = (),
    max_failed: int = 0,
    keep_all: bool = False,
    seed: int = 0,
    draws: int = 2000,
) -> Scores:
    """Score the test in a folder.

    Args:
        files: answers that listeners sent.
        max_failed: attention checks that a listener may fail.
        keep_all: whether listeners count that failed checks or stopped early.
        seed, draws: of the bootstrap.

    Raises:
        UserError: unusable files, or no listener counts.
    """
    if max_failed < 0 or draws < 100 or seed < 0:
        raise UserError(
            "expected --max_failed_checks of 0 or more, --bootstrap of 100 or more, --seed of 0 or more; "
            f"found {max_failed}, {draws}, {seed}"
        )
    test = Definition.load(folder)
    key = read_key(folder, test)
    answers = read_answers(folder, test, files)
    rule = "nobody is left out (--keep_all true)" if keep_all else (
        f"left out are listeners who did not answer all their items, or failed more than {max_failed} attention checks"
    )  # fmt: skip
    listeners, checks = exclusions(answers, test, key, max_failed, keep_all)
    scores = Scores(test.id, answers.files, rule, listeners, checks, answers.repeated)
    if not scores.counted:
        reasons = Counter((why or "").split(":")[0] for why in listeners.values())
        raise UserError(
            f"no listener counts: {', '.join(f'{n} x {why}' for why, n in reasons.items())}; "
            "--keep_all true or a larger --max_failed_checks counts them"
        )
    ratings = _ratings(answers, key, listeners)
    scores.counts = {name: len(rows) for name, rows in ratings.items()}
    named = dict.fromkeys(s for rows in ratings.values() for r in rows for s in r.systems)
    scores.systems = [s for s in key["systems"] if s in named] + sorted(s for s in named if s not in key["systems"])
    for name in test.tests:
        rows = ratings[name]
        by_item: dict[str, list[int]] = {}
        for r in rows:
            by_item.setdefault(r.item, []).append(r.value)
        scores.agreement[name] = krippendorff_alpha(by_item.values(), SCALES[name].level)
        for emotion in [ALL, *sorted({r.emotion for r in rows})]:
            some = [r for r in rows if emotion in (ALL, r.emotion)]
            _add_figures(scores, name, emotion, some, seed, draws)
    _add_differences(scores, ratings.get("mos", []), seed, draws)
    return scores


def _ratings(answers: Answers, key: dict, listeners: dict[str, str | None]) -> dict[str, list[Rating]]:
    found: dict[str, list[Rating]] = {name: [] for name in SCALES}
    for listener in sorted(name for name, why in listeners.items() if why is None):
        for item, answer in sorted(answers.by_listener[listener].items()):
            entry = key["items"][item]
            if entry["role"] == "scored":
                systems = tuple(entry["systems"])
                rating = Rating(listener, item, entry["trial"], entry["emotion"], systems, answer.value)
                found[entry["test"]].append(rating)
    return found


def _add_figures(scores: Scores, test: str, emotion: str, ratings: Sequence[Rating], seed: int, draws: int) -> None:
    if test == "xab":
        for pair in sorted({tuple(sorted(r.systems, key=scores.systems.index)) for r in ratings}):
            own = [r for r in ratings if set(r.systems) == set(pair)]
            name = " ".join((test, emotion, *pair))
            scores.preferences.append((emotion, preference(own, *pair, name, seed, draws)))
        return
    figure, bounds = MEANS[test]
    for system in scores.systems:
        own = [r for r in ratings if r.systems == (system,)]
        if not own:
            continue
        name = " ".join((test, emotion, system))
        value = mean_of([r.value for r in own], own, bounds, name, seed, draws)
        scores.cells.append(Cell(test, figure, system, emotion, value))
        if test == "similarity":
            same = mean_of([float(r.value >= SAME_FROM) for r in own], own, (0.0, 1.0), name + " same", seed, draws)
            scores.cells.append(Cell(test, "same", system, emotion, same))


def _add_differences(scores: Scores, ratings: Sequence[Rating], seed: int, draws: int) -> None:
    """Differences of MOS between systems, paired by listener (each heard all systems) and by utterance."""
    names = [s for s in scores.systems if any(r.systems == (s,) for r in ratings)]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            by_unit = [
                paired_difference(
                    _unit_means(ratings, first, unit),
                    _unit_means(ratings, second, unit),
                    seed=seed_for(seed, first, second, unit),
                    draws=draws,
                )
                for unit in ("listener", "trial")
            ]
            scores.differences.append((first, second, *by_unit))


def _unit_means(ratings: Sequence[Rating], system: str, unit: str) -> dict[str, float]:
    values: dict[str, list[int]] = {}
    for r in ratings:
        if r.systems == (system,):
            values.setdefault(getattr(r, unit), []).append(r.value)
    return {name: sum(own) / len(own) for name, own in values.items()}
