"""Which conversions to make: directions between emotions or between speakers, and trials with their references."""

import logging
from collections.abc import Collection, Iterable, Sequence

from evc2.errors import UserError, nearest
from evc2.fileio.manifest import Utterance
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


def speaker_directions(text: str, utterances: Iterable[Utterance]) -> list[Direction]:
    """Read "4:7,7:4" as [("4", "7"), ("7", "4")]; an empty text gives all ordered pairs of the utterances' speakers.

    Raises:
        UserError: a speaker without any utterance, a direction to itself, twice the same, or a single speaker.
    """
    speakers = sorted({row.speaker for row in utterances})
    directions = _pairs(text, "pairs of speakers like 4:7")
    for name in (name for pair in directions for name in pair):
        _require_speaker(name, speakers, "directions")
    directions = directions or [(a, b) for a in speakers for b in speakers if a != b]
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

    def wanted(row: Utterance, level: str) -> bool:
        return not level or row.intensity in ("", level) or row.label == "neutral"

    by_words: dict[tuple[str, str, str], list[Utterance]] = {}
    for row in utterances:
        if row.words_key:
            by_words.setdefault((row.speaker, row.words_key, row.emotion), []).append(row)
    trials = []
    for source in utterances:
        if not wanted(source, intensity):
            continue
        level = intensity or ("" if source.label == "neutral" else source.intensity)
        for target in (target for start, target in directions if start == getattr(source, by)):
            speaker, emotion = (source.speaker, target) if by == "emotion" else (target, source.emotion)
            alike = by_words.get((speaker, source.words_key, emotion), [])
            alike = [row for row in alike if wanted(row, level)]
            alike.sort(key=lambda row: (row.repetition != source.repetition, row.label != row.emotion, row.utt))
            reference = alike[0].utt if alike else None
            trials.append(Trial(f"{source.utt}-to-{target}", source.utt, speaker, emotion, reference))
    return trials


def report_trials(name: str, trials: Sequence[Trial], needed: bool) -> None:
    """Log how many trials a set has; none at all is a UserError where they are `needed`, else a warning."""
    if not trials:
        message = f"{name}: no utterance fits the directions and the intensity, so there is no trial"
        if needed:
            raise UserError(f"{message}; choose other --directions, --intensity or --split")
        logging.warning(message)
    logging.info("%s: %d trials, %d with a reference", name, len(trials), sum(t.reference is not None for t in trials))
