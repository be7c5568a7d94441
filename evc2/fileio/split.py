"""Cutting a corpus into train, dev and test: by stored lists, by the manifest's own column, by fractions or counts."""

import hashlib
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evc2.errors import UserError, nearest
from evc2.fileio.manifest import SETS, Utterance
from evc2.fileio.tables import rows


def read_lists(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Read train.txt, dev.txt, test.txt and further sets (an utterance id a line) of a folder; return utterance -> set.

    Raises:
        UserError: one of the three is missing, a file is empty, or an utterance stands in two places.
    """
    chosen: dict[str, str] = {}
    further = sorted({path.stem for path in Path(folder).glob("*.txt")} - set(SETS))
    for name in (*SETS, *further):
        path = Path(folder) / f"{name}.txt"
        before = len(chosen)
        for number, utt, rest in rows(path):
            if rest:
                raise UserError(f"{path}:{number}: expected one utterance id, found '{utt} {rest}'")
            if utt in chosen:
                raise UserError(f"{path}:{number}: utterance '{utt}' is already in the list of {chosen[utt]}")
            chosen[utt] = name
        if len(chosen) == before:
            raise UserError(f"{path}: empty; expected one utterance id a line")
    return chosen


def by_lists(utterances: Sequence[Utterance], folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return utterance -> set by stored lists; listed but absent, and present but unlisted utterances are counted.

    Raises:
        UserError: as `read_lists`, or no listed utterance is there at all.
    """
    listed = read_lists(folder)
    present = {row.utt for row in utterances}
    absent, unlisted = sorted(set(listed) - present), sorted(present - set(listed))
    if len(absent) == len(listed):
        first = absent[0]
        raise UserError(f"{folder}: no listed utterance is in the manifest, e.g. '{first}'{nearest(first, present)}")
    for names, what in ((absent, "listed utterances are not in the corpus"), (unlisted, "utterances are in no list")):
        if names:
            logging.warning("%s: %d %s: %s", folder, len(names), what, _some(names))
    return {utt: name for utt, name in listed.items() if utt in present}


def by_column(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Return utterance -> set by the manifest's column `set`."""
    return {row.utt: row.set for row in utterances if row.set}


def by_fractions(
    utterances: Sequence[Utterance], dev: float, test: float, seed: int = 0, same_words: bool = True
) -> dict[str, str]:
    """Return utterance -> set, drawn within each speaker and emotion.

    The order of the draw is that of a hash of the seed and the name, so it depends on neither the platform nor the
    order of files. The first `test` of each speaker and emotion go to test, the next `dev` to dev, at least one each
    where there are three or more; the rest goes to train.

    Args:
        utterances: what to cut.
        dev, test: fractions between 0 and 1, together less than 1.
        seed: changes the draw.
        same_words: whether utterances with the same words go to one set, whoever says them; so every test sentence
            keeps its reference and is new to the model. Sentences are then drawn among those that were said by the same
            speakers in the same emotions.

    Raises:
        UserError: impossible fractions.
    """
    if not (0 < dev < 1 and 0 < test < 1 and dev + test < 1):
        raise UserError(f"dev and test fractions {dev} and {test}: expected positive numbers with a sum below 1")
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for row in utterances:
        key = row.words_key if same_words else ""
        groups[f"words {key}" if key else f"utt {row.utt}"].append(row)
    cells: dict[frozenset[tuple[str, str]], list[str]] = defaultdict(list)
    for name, members in groups.items():
        cells[frozenset((row.speaker, row.emotion) for row in members)].append(name)
    chosen = {}
    for names in cells.values():
        names.sort(key=lambda name: _draw(seed, name))
        n_test, n_dev = (max(1, round(len(names) * share)) if len(names) >= 3 else 0 for share in (test, dev))
        n_dev = min(n_dev, max(0, len(names) - n_test - 1))
        for i, name in enumerate(names):
            which = "test" if i < n_test else "dev" if i < n_test + n_dev else "train"
            chosen.update({row.utt: which for row in groups[name]})
    return chosen


def by_counts(
    utterances: Sequence[Utterance], dev: int, test: int, least: int, shares: tuple[float, float], seed: int = 0
) -> dict[str, str]:
    """Return utterance -> set, drawn within each speaker: so many for test and dev, the rest for train.

    Each utterance is drawn alone, in the order of a hash as in :func:`by_fractions`; another speaker may say the same
    words in another set.

    Args:
        utterances: what to cut.
        dev, test: utterances of a speaker, from 1 on.
        least: speakers with fewer utterances give fractions instead, at least one each; those with less than three
            give train everything.
        shares: these fractions, of dev and of test.
        seed: changes the draw.

    Raises:
        UserError: counts that leave nothing for train, or impossible fractions.
    """
    if dev < 1 or test < 1 or dev + test >= least:
        raise UserError(
            f"{dev} dev and {test} test utterances of each speaker: expected numbers from 1 on that together are below "
            f"the least number of a speaker's utterances, {least}"
        )
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for row in utterances:
        speakers[row.speaker].append(row)
    few = [row for own in speakers.values() if len(own) < least for row in own]
    # Fractions draw within speaker and emotion; here a speaker is one whole, whatever the emotions.
    chosen = by_fractions([replace(row, emotion="") for row in few], *shares, seed=seed, same_words=False)
    for own in speakers.values():
        if len(own) >= least:
            utts = sorted((row.utt for row in own), key=lambda utt: _draw(seed, f"utt {utt}"))
            chosen |= {utt: "test" if i < test else "dev" if i < test + dev else "train" for i, utt in enumerate(utts)}
    if few:
        logging.warning(
            "%d of %d speakers have less than %d utterances and are cut by fractions: %s",
            len({row.speaker for row in few}),
            len(speakers),
            least,
            _some(sorted({row.speaker for row in few})),
        )
    return chosen


def hold_out(
    utterances: Sequence[Utterance], chosen: Mapping[str, str], share: float, least: int = 3, seed: int = 0
) -> dict[str, str]:
    """Return `chosen` (utterance -> set) with a share of train moved to dev, for corpora that have train and test only.

    Drawn as in :func:`by_fractions`, within each speaker and emotion: at least one of each that has `least` training
    utterances, and none of the others.

    Raises:
        UserError: an impossible share.
    """
    if not 0 < share < 1:
        raise UserError(f"dev fraction {share}: expected a number between 0 and 1")
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in utterances:
        if chosen.get(row.utt) == "train":
            cells[row.speaker, row.emotion].append(row.utt)
    moved = dict(chosen)
    for utts in cells.values():
        if len(utts) >= max(2, least):
            utts.sort(key=lambda utt: _draw(seed, f"utt {utt}"))
            moved.update(dict.fromkeys(utts[: max(1, min(round(len(utts) * share), len(utts) - 1))], "dev"))
    return moved


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def cut(utterances: Sequence[Utterance], chosen: Mapping[str, str]) -> dict[str, list[Utterance]]:
    """Return set -> utterances, in the order of `utterances`; a set without any is a UserError."""
    names = dict.fromkeys((*SETS, *sorted(chosen.values())))
    sets: dict[str, list[Utterance]] = {name: [] for name in names}
    for row in utterances:
        if row.utt in chosen:
            sets[chosen[row.utt]].append(row)
    empty = [name for name, members in sets.items() if not members]
    if empty:
        found = Counter(chosen[row.utt] for row in utterances if row.utt in chosen)
        raise UserError(
            f"no utterance for {' and '.join(empty)}: {len(utterances)} utterances of "
            f"{len({row.speaker for row in utterances})} speakers gave "
            f"{', '.join(f'{found[name]} for {name}' for name in SETS)}; every set needs some "
            "(record at least three utterances an emotion, or choose another --split)"
        )
    return sets


def _some(names: Sequence[str], most: int = 3) -> str:
    return " ".join(names[:most]) + (" ..." if len(names) > most else "")
