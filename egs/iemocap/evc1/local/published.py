"""How many sentences the paper's authors had of each woman and emotion, and whether this copy has as many.

Source: the summary sheet that the authors of "Nonparallel emotional speech conversion" (arXiv 1811.01174) left beside
their code, training and test sentences of the women of the five sessions. How they came to their labels is not written
there; the happy sentences of the first session are so many that excited ones must be among them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

WOMEN = ("Ses01F", "Ses02F", "Ses03F", "Ses04F", "Ses05F")
#: Emotion -> (training, test) sentences of WOMEN, in their order.
PUBLISHED: Mapping[str, tuple[tuple[int, int], ...]] = {
    "angry": ((128, 19), (180, 45), (74, 18), (165, 40), (63, 15)),
    "happy": ((100, 32), (133, 33), (64, 16), (61, 15), (177, 44)),
    "neutral": ((128, 43), (115, 28), (104, 26), (150, 35), (127, 32)),
    "sad": ((64, 14), (90, 23), (137, 35), (36, 13), (106, 26)),
}
LEFT_OUT = "not all five sessions are here: the check of counts by actor and emotion against published ones is left out"


def check_counts(labels: Iterable[tuple[str, str]], sessions: int) -> str:
    """Compare the corpus with the published figures; return what to print, a line or a small table.

    Args:
        labels: (speaker, emotion) of each usable turn; excited turns count as happy ones.
        sessions: how many of the five sessions are there.
    """
    if sessions < 5:
        return LEFT_OUT
    found = Counter((speaker, "happy" if emotion == "excited" else emotion) for speaker, emotion in labels)
    rows = [["", *WOMEN]]
    for emotion, counts in PUBLISHED.items():
        cells = [_cell(found[speaker, emotion], *both) for speaker, both in zip(WOMEN, counts, strict=True)]
        rows.append([emotion, *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    title = "sentences by actor and emotion, beside the published ones (training + test; excited counts as happy):"
    return "\n".join((title, *lines))


def _cell(number: int, train: int, test: int) -> str:
    return f"{number} as published" if number == train + test else f"{number} differs ({train} + {test})"
