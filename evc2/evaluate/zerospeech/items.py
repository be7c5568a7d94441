"""Items of an ABX task: which part of which file, the phone said there, its context, and who speaks."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.zerospeech.embeddings import name_of
from evc2.text.textgrid import Interval, read_textgrid

SILENCES = frozenset(("", "sil", "sp", "spn", "pau", "h#", "<eps>", "<sil>", "eps"))
COLUMNS = "#file onset offset #phone prev-phone next-phone speaker"


@dataclass(frozen=True)
class Items:
    """Items in columns of equal length.

    ``names``: utterances. ``onsets``, ``offsets``: seconds, float64; NaN where the whole utterance is meant.
    ``phones``, ``contexts``, ``speakers``: int64 numbers into ``phone_names``, ``context_names``, ``speaker_names``.
    """

    names: list[str]
    onsets: np.ndarray
    offsets: np.ndarray
    phones: np.ndarray
    contexts: np.ndarray
    speakers: np.ndarray
    phone_names: list[str]
    context_names: list[str]
    speaker_names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def some(self, index: np.ndarray) -> Items:
        """The items at these places, in this order; names of phones, contexts and speakers stay."""
        return Items(
            [self.names[i] for i in index], self.onsets[index], self.offsets[index], self.phones[index],
            self.contexts[index], self.speakers[index], self.phone_names, self.context_names, self.speaker_names,
        )  # fmt: skip


def make_items(rows: Sequence[tuple[str, float, float, str, str, str]]) -> Items:
    """Items of rows (utterance, onset, offset, phone, context, speaker)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    coded = [np.unique(np.array(column, dtype=str), return_inverse=True) for column in columns[3:]]
    names = [[str(name) for name in found] for found, _ in coded]
    numbers = [places.reshape(-1).astype(np.int64) for _, places in coded]
    onsets, offsets = (np.array(column, dtype=np.float64) for column in columns[1:3])
    return Items(list(columns[0]), onsets, offsets, *numbers, *names)


def read_items(path: str | os.PathLike[str]) -> Items:
    """Items of an .item file: a header such as COLUMNS, then a line an item; times in seconds.

    The context is prev-phone and next-phone, or a column `context`; a column `talker` serves as `speaker`.

    Raises:
        UserError: no header, a column that lacks, a line of another number of fields, or times out of order.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; expected a text with the columns {COLUMNS}") from None
    header = [word.removeprefix("#") for word in (lines[0].split() if lines else [])]
    place = {word: i for i, word in enumerate(header)}
    place.setdefault("speaker", place.get("talker", -1))
    context = ("context",) if "context" in place else ("prev-phone", "next-phone")
    lacking = [name for name in ("file", "onset", "offset", "phone", *context) if name not in place]
    if lacking or place["speaker"] < 0:
        found = f"'{lines[0][:80]}'" if lines else "an empty file"
        raise UserError(f"{path}: expected a header `{COLUMNS}`, found {found}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != len(header):
            raise UserError(f"{path}:{number}: expected {len(header)} fields as in the header, found {len(fields)}")
        try:
            onset, offset = float(fields[place["onset"]]), float(fields[place["offset"]])
        except ValueError:
            onset = offset = float("nan")
        if not 0 <= onset <= offset < float("inf"):
            raise UserError(f"{path}:{number}: expected 0 <= onset <= offset in seconds, found '{line.strip()[:80]}'")
        around = " ".join(fields[place[name]] for name in context)
        name = name_of(fields[place["file"]])
        rows.append((name, onset, offset, fields[place["phone"]], around, fields[place["speaker"]]))
    if not rows:
        raise UserError(f"{path}: no item below the header")
    return make_items(rows)


def triphones(intervals: Sequence[Interval]) -> list[tuple[float, float, str, str]]:
    """(onset, offset, phone, context) of the phones between two others, none of the three a silence.

    An item spans all three phones, as in the tasks of the challenge (2015 on): it is "b a t" that is told from "b e t".
    """
    found = []
    for before, middle, after in zip(intervals, intervals[1:], intervals[2:], strict=False):
        if not any(part.label.lower() in SILENCES for part in (before, middle, after)):
            found.append((before.start, after.stop, middle.label, f"{before.label} {after.label}"))
    return found


def items_of_alignments(
    folder: str | os.PathLike[str], utt2spk: Mapping[str, str] | None, tier: str = "phones"
) -> Items:
    """Items of all TextGrids below a folder, <utterance>.TextGrid.

    Args:
        folder: where they are; subfolders count.
        utt2spk: who speaks; without it the speaker is what stands before the first - or _ of the utterance's name.
        tier: the tier with phones.

    Raises:
        UserError: no TextGrid, one without the tier, or none with an utterance of utt2spk.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".textgrid")
    if not paths:
        raise UserError(f"{folder}: expected phone alignments <utterance>.TextGrid in this folder, found none")
    rows, strangers = [], []
    for path in paths:
        speaker = re.split(r"[-_]", path.stem)[0] if utt2spk is None else utt2spk.get(path.stem)
        if speaker is None:
            strangers.append(path.stem)
            continue
        tiers = read_textgrid(path)
        if tier not in tiers:
            raise UserError(f"{path}: expected a tier '{tier}', found: {', '.join(tiers) or 'none'}")
        rows += [(path.stem, *item, speaker) for item in triphones(tiers[tier])]
    if strangers:
        logging.warning("%d alignments are of utterances without a speaker: %s ...", len(strangers), strangers[0])
    if not rows:
        raise UserError(f"{folder}: no phone between two others in {len(paths)} alignments of known speakers")
    return make_items(rows)
