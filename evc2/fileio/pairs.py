"""Which conversions to make: directions between emotions or between speakers, and trials with their references."""

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from evc2.errors import UserError, nearest
from evc2.fileio.manifest import Utterance
from evc2.fileio.tables import rows
from evc2.fileio.trials import EMOTIONS, Trial

Direction = tuple[str, str]
_SHOWN = 20  # speakers named in a message


def _pairs(text: str, like: str) -> list[Direction]:
    """Read "a:b,b:a"; a UserError says what was expected where a pair is none, of equals, or there twice."""
    pairs: list[Direction] = []
    for pair in filter(None, text.replace(",", " ").split()):
        source, colon, target = pair.partition(":")
        if not (source and colon and target) or source == target or (source, target) in pairs:
            raise UserError(f"directions: expected different {like}, found '{pair}' in '{text}'")
        pairs.append((source, target))
    return pairs


def parse_directions(text: str) -> list[Direction]:
    """Read "neutral:angry,angry:neutral" as [("neutral", "angry"), ("angry", "neutral")].

    Raises:
        UserError: an emotion outside EMOTIONS, a direction to itself, twice the same, or none.
    """
    directions = _pairs(text, "pairs like neutral:angry")
    for emotion in (name for pair in directions for name in pair):
        if emotion not in EMOTIONS:
            raise UserError(f"directions: unknown emotion '{emotion}'{nearest(emotion, EMOTIONS)}")
    if not directions:
        raise UserError("directions: none given; expected pairs like neutral:angry,angry:neutral")
    return directions


def choose_speakers(utterances: Sequence[Utterance], names: str) -> list[Utterance]:
    """Return the utterances of the speakers that `names` lists ("4 7" or "4,7"), all of them for an empty one.

    Raises:
        UserError: a speaker without any utterance.
    """
    wanted = names.replace(",", " ").split()
    present = {row.speaker for row in utterances}
    for name in wanted:
        _require_speaker(name, present, "speakers")
    return [row for row in utterances if not wanted or row.speaker in wanted]


def _require_speaker(name: str, present: Collection[str], where: str) -> None:
    if name not in present:
        some = " ".join(sorted(present)[:_SHOWN]) + " ..." * (len(present) > _SHOWN)
        raise UserError(f"{where}: no utterance is of '{name}'{nearest(name, present)}; the corpus has {some}")


def speaker_directions(
    text: str, utterances: Iterable[Utterance], sources: str = "", targets: str = ""
) -> list[Direction]:
    """Read "4:7,7:4" as [("4", "7"), ("7", "4")]; an empty text gives all ordered pairs of the utterances' speakers.

    With an empty text, `sources` and `targets` ("4 7") say which speakers to start from and to go to; each to each
    where they are empty too.

    Raises:
        UserError: a speaker without any utterance, a direction to itself, twice the same, or a single speaker.
    """
    speakers = sorted({row.speaker for row in utterances})
    directions = _pairs(text, "pairs of speakers like 4:7")
    ends = [names.replace(",", " ").split() for names in (sources, targets)]
    for name in (name for group in (*directions, *ends) for name in group):
        _require_speaker(name, speakers, "directions")
    starts, goals = (names or speakers for names in ends)
    directions = directions or [(a, b) for a in starts for b in goals if a != b]
    if not directions:
        raise UserError(f"directions: expected at least two speakers to convert between, found {' '.join(speakers)}")
    return directions


def check_directions(directions: Iterable[Direction], utterances: Iterable[Utterance]) -> None:
    """Raise a UserError if no utterance has an emotion that the directions name."""
    present = {row.emotion for row in utterances}
    for emotion in sorted({emotion for direction in directions for emotion in direction}):
        if emotion not in present:
            raise UserError(f"directions: no utterance is {emotion}; the corpus has {' '.join(sorted(present))}")


def make_trials(
    utterances: Sequence[Utterance], directions: Sequence[Direction], intensity: str = "", by: str = "emotion"
) -> list[Trial]:
    """Pair each source utterance with each target of its directions.

    By emotion, a trial's speaker is the source's own and its emotion the target; by speaker it is the other way round.
    Its reference is the utterance of that speaker with the same words in that emotion and wanted intensity; among
    several, one of the source's repetition comes first, then one that the corpus itself labels with the emotion (calm
    may have been mapped to neutral), then the first id. A trial without such an utterance has no reference.

    Args:
        utterances: those of one set; references are never taken from another.
        directions: (source, target) pairs of emotions or speakers.
        intensity: the wanted intensity of sources and references; "" for any, and then a reference's is the source's.
            Utterances without an intensity, and neutral ones, stand for all.
        by: what the directions are about, "emotion" or "speaker".
    """
    references = _References(utterances, by)
    targets: dict[str, list[str]] = {}
    for start, target in directions:
        targets.setdefault(start, []).append(target)
    return [
        references.trial(source, target, intensity)
        for source in utterances
        if _wanted(source, intensity)
        for target in targets.get(getattr(source, by), ())
    ]


def _wanted(row: Utterance, level: str) -> bool:
    return not level or row.intensity in ("", level) or row.label == "neutral"


class _References:
    """Finds the utterance of a set that a conversion is compared with."""

    def __init__(self, utterances: Sequence[Utterance], by: str) -> None:
        self._by = by
        self._by_words: dict[tuple[str, str, str], list[Utterance]] = {}
        for row in utterances:
            if row.words_key:
                self._by_words.setdefault((row.speaker, row.words_key, row.emotion), []).append(row)

    def trial(self, source: Utterance, target: str, intensity: str = "") -> Trial:
        """The trial of `source` to the emotion or speaker `target`, see :func:`make_trials`."""
        level = intensity or ("" if source.label == "neutral" else source.intensity)
        speaker, emotion = (source.speaker, target) if self._by == "emotion" else (target, source.emotion)
        alike = self._by_words.get((speaker, source.words_key, emotion), [])
        alike = [row for row in alike if _wanted(row, level)]
        alike.sort(key=lambda row: (row.repetition != source.repetition, row.label != row.emotion, row.utt))
        return Trial(f"{source.utt}-to-{target}", source.utt, speaker, emotion, alike[0].utt if alike else None)


def listed_trials(
    path: str | os.PathLike[str], sets: Mapping[str, Sequence[Utterance]], by: str = "emotion"
) -> dict[str, list[Trial]]:
    """Read trials that a corpus prescribes: lines `utterance target`, the target an emotion or a speaker of `train`.

    References are looked for as in :func:`make_trials`.

    Returns:
        set -> trials, for the sets that have one.

    Raises:
        UserError: a malformed line, one that comes twice, an unknown or a training utterance, an unknown target.
    """
    set_of = {row.utt: (name, row) for name, members in sets.items() for row in members}
    targets = {getattr(row, by) for row in sets["train"]}
    references = {name: _References(members, by) for name, members in sets.items()}
    found: dict[str, dict[str, Trial]] = {}
    for number, utt, target in rows(path):
        where = f"{path}:{number}"
        if len(target.split()) != 1:
            raise UserError(f"{where}: expected `utterance target`, found '{utt} {target}'")
        if utt not in set_of:
            raise UserError(f"{where}: there is no utterance '{utt}'{nearest(utt, set_of)}")
        name, source = set_of[utt]
        if name == "train":
            raise UserError(f"{where}: '{utt}' is in the training set; list utterances of {' '.join(list(sets)[1:])}")
        if target not in targets:
            raise UserError(f"{where}: no training utterance has the {by} '{target}'{nearest(target, targets)}")
        trial = references[name].trial(source, target)
        if found.setdefault(name, {}).setdefault(trial.id, trial) is not trial:
            raise UserError(f"{where}: '{utt} {target}' is already in an earlier line")
    if not found:
        raise UserError(f"{path}: empty; expected lines `utterance target`")
    return {name: list(trials.values()) for name, trials in found.items()}


def report_trials(name: str, trials: Sequence[Trial], needed: bool) -> None:
    """Log how many trials a set has; none at all is a UserError where they are `needed`, else a warning."""
    if not trials:
        message = f"{name}: no utterance fits the directions and the intensity, so there is no trial"
        if needed:
            raise UserError(f"{message}; choose other --directions, --intensity or --split")
        logging.warning(message)
    logging.info("%s: %d trials, %d with a reference", name, len(trials), sum(t.reference is not None for t in trials))
