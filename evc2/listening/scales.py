"""The three kinds of test: what listeners are asked, and the answers they choose from."""

from __future__ import annotations

from dataclasses import dataclass

from evc2.errors import UserError, nearest


@dataclass(frozen=True)
class Scale:
    """One kind of test.

    Attributes:
        name: as in ``--tests``.
        title, question, help: what the page shows; ``help`` is one paragraph a string.
        clips: names of the recordings of an item, in their order.
        keys: keys of the keyboard that play them.
        choices: (value, label) in the order of the page.
        level: of measurement, for the agreement between listeners: "ordinal" or "nominal".
    """

    name: str
    title: str
    question: str
    help: tuple[str, ...]
    clips: tuple[str, ...]
    keys: tuple[str, ...]
    choices: tuple[tuple[int, str], ...]
    level: str


NO_PREFERENCE = 0
"""Value of "I cannot tell" in the XAB test; 1 stands for A and 2 for B."""

MOS = Scale(
    "mos",
    "Naturalness",
    "How natural does this recording sound?",
    (
        "Each screen has one recording. Judge whether it sounds like a person speaking, without buzzing, "
        "muffling, breaks or other distortion.",
        "What is said, and whether you like the voice or the mood, does not matter here.",
    ),
    ("recording",),
    ("p",),
    ((5, "Excellent"), (4, "Good"), (3, "Fair"), (2, "Poor"), (1, "Bad")),
    "ordinal",
)
"""Absolute category rating with the five labels of ITU-T P.800 (1996), annex B; the mean of the values is the MOS."""

SIMILARITY = Scale(
    "similarity",
    "Same speaker?",
    "Are these two recordings of the same speaker?",
    (
        "Each screen has two recordings. Decide whether both could have been spoken by one person.",
        "A person may speak in different moods, and a recording may be distorted: try to look through both and "
        "to listen to the voice itself.",
    ),
    ("recording A", "recording B"),
    ("a", "b"),
    (
        (4, "Same, absolutely sure"),
        (3, "Same, not sure"),
        (2, "Different, not sure"),
        (1, "Different, absolutely sure"),
    ),
    "ordinal",
)
"""The four levels used by the Voice Conversion Challenges (Wester et al., "Analysis of the Voice Conversion Challenge
2016 evaluation results", Interspeech 2016); 3 and 4 count as "same"."""

XAB = Scale(
    "xab",
    "Emotion",
    "Which recording is closer to X in emotion?",
    (
        "Each screen has three recordings. X shows how the emotion should sound.",
        "Decide whether A or B expresses an emotion more like that of X. The quality of the sound does not matter "
        "here, only the emotion.",
    ),
    ("X", "A", "B"),
    ("x", "a", "b"),
    ((1, "A is closer"), (2, "B is closer"), (NO_PREFERENCE, "I cannot tell")),
    "nominal",
)
"""Preference of A or B by closeness to a reference X in the target emotion."""

SCALES = {scale.name: scale for scale in (MOS, SIMILARITY, XAB)}


def get_scales(names: str) -> list[Scale]:
    """The scales of a comma-separated list, in its order; UserError for an unknown, repeated or missing name."""
    words = [word.strip() for word in names.split(",") if word.strip()]
    for word in words:
        if word not in SCALES:
            raise UserError(f"--tests: unknown test '{word}'{nearest(word, SCALES)}; choose among {', '.join(SCALES)}")
    if not words or len(set(words)) != len(words):
        raise UserError(f"--tests: expected some of {', '.join(SCALES)}, each once; found '{names}'")
    return [SCALES[word] for word in words]
