"""Intelligibility: how far the words that a recogniser hears are from the words that were to be said."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from evc2.evaluate.item import Item
from evc2.evaluate.normalize import UNSPACED, normalize
from evc2.evaluate.registry import register, register_set
from evc2.evaluate.settings import settings
from evc2.evaluate.whisper import BEAM, missing, recognise

SOURCE = (
    "Levenshtein, Binary codes capable of correcting deletions, insertions and reversals, 1966 (edits); Radford et "
    "al., Robust speech recognition via large-scale weak supervision, 2022 (Whisper)"
)
RANGE = "0 .., above 100 where more is inserted than was to be said; nothing is clipped"


def edits(reference: Sequence, hypothesis: Sequence) -> int:
    """Fewest substitutions, deletions and insertions that make one sequence the other (Levenshtein 1966).

    Args:
        reference, hypothesis: strings for edits of characters, lists of words for edits of words.

    Returns:
        0 or more, at most the length of the longer one.
    """
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(reference, hypothesis)


def error_rate(reference: Sequence, hypothesis: Sequence) -> float | None:
    """Edits as a share of the reference's length.

    Returns:
        percent, 0 or more: 100 for an empty hypothesis, above 100 where much is inserted; None for an empty reference.
    """
    return rate_of(edit_counts(reference, hypothesis))


def edit_counts(reference: Sequence, hypothesis: Sequence) -> np.ndarray:
    """[2] float64: edits and length of the reference, the sums of which make the rate of a corpus."""
    return np.array([edits(reference, hypothesis), len(reference)], dtype=np.float64)


def rate_of(counts: np.ndarray) -> float | None:
    """Error rate in percent of (summed) counts [2]; None where nothing was to be said."""
    return float(100 * counts[0] / counts[1]) if counts[1] > 0 else None


def transcripts(item: Item) -> tuple[str, str]:
    """What was to be said and what was heard in the converted wav, both normalised."""
    now = settings()
    key = f"asr {now.asr_model} {now.language}"
    heard = item.converted.memo(key, lambda: recognise(item.converted.wav, now))
    return normalize(item.text or "", now.language), normalize(heard, now.language)


def asr_missing() -> str | None:
    """What these metrics lack here and how to get it, None when all is there."""
    if find_spec("rapidfuzz") is None:
        return "error rates need rapidfuzz: pip install jiwer, or tools/setup.sh --extras eval"
    return missing(settings())


def asr_note() -> str:
    """Which recogniser it was, how texts were made alike, and where its own errors are seen."""
    language = settings().language
    rules = "numbers and abbreviations as words, hyphens as blanks" if language == "en" else "digits as they are"
    return (
        f"recognised by {_recogniser()}, 8-bit weights, beam {BEAM}, no sampling; both texts in lower case without "
        f"punctuation, {rules}. What the recogniser itself gets wrong in natural speech is the row of natural speech"
    )


def _same_note() -> str:
    return f"recognised by {_recogniser()}; the rest as for cer"


def _recogniser() -> str:
    now = settings()
    folder = Path(now.asr_model).expanduser()
    name = now.asr_model
    if (folder / "model.bin").is_file():
        # Such folders are often just called "model": the size tells which one it is.
        name = f"{'/'.join(folder.parts[-2:])} ({(folder / 'model.bin').stat().st_size / 1e6:.0f} MB)"
    return f"Whisper {name}, language {now.language}"


def _character_counts(item: Item) -> np.ndarray | None:
    said, heard = transcripts(item)
    return edit_counts(said, heard) if said else None


def _word_counts(item: Item) -> np.ndarray | None:
    if settings().language in UNSPACED:
        return None
    said, heard = transcripts(item)
    return edit_counts(said.split(), heard.split()) if said else None


_COMMON = {
    "unit": "%", "better": "lower", "needs": ("wav", "text"), "digits": 1, "source": SOURCE, "range": RANGE,
    "available": asr_missing,
}  # fmt: skip


@register(
    "cer",
    doc="character error rate of a speech recogniser's text, blanks between words included; an empty text is 100 %",
    note=asr_note,
    **_COMMON,
)
def _cer(item: Item) -> float | None:
    counts = _character_counts(item)
    return None if counts is None else rate_of(counts)


@register(
    "wer", doc="word error rate of a speech recogniser's text; an empty text is 100 %", note=_same_note, **_COMMON
)
def _wer(item: Item) -> float | None:
    counts = _word_counts(item)
    return None if counts is None else rate_of(counts)


@register_set(
    "cer_corpus",
    doc="character errors of all utterances over all their characters, so that a long one counts for more",
    combine=rate_of,
    note=_same_note,
    **_COMMON,
)
def _cer_corpus(item: Item) -> np.ndarray | None:
    return _character_counts(item)


@register_set(
    "wer_corpus",
    doc="word errors of all utterances over all their words, so that a long one counts for more",
    combine=rate_of,
    note=_same_note,
    **_COMMON,
)
def _wer_corpus(item: Item) -> np.ndarray | None:
    return _word_counts(item)
