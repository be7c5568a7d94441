"""Strength of emotion for the utterances of feature directories: what the command emotion_strength reads and tells."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.functionals import functionals
from evc2.feats.ranking import order_accuracy
from evc2.feats.relative_attributes import NEUTRAL, OTHER, RelativeAttributes
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir, validate

STREAMS = ("feats", "f0", "power")
INTENSITIES = ("strong", "normal")
"""Values of utt2intensity that are compared, the stronger first."""


@dataclass(frozen=True, eq=False)
class Utterances:
    """A feature directory, reduced to what strength is learned from.

    Attributes:
        folder: where it is.
        utts, speakers, emotions: N words each.
        x: [N, F] functionals.
        intensities: N words as the actors were told, or none.
    """

    folder: str
    utts: list[str]
    speakers: list[str]
    emotions: list[str]
    x: np.ndarray
    intensities: list[str] | None = None

    def where(self, **labels: str) -> np.ndarray:
        """[N] bool: which utterances have these words in the lists of these names."""
        masks = [np.array(getattr(self, name)) == word for name, word in labels.items()]
        return np.logical_and.reduce(masks)


def read_sets(folders: Sequence[str | os.PathLike[str]]) -> list[Utterances]:
    """Read directories with features of one kind: feats.scp, utt2spk, utt2emo, and f0.scp, power.scp if they are there.

    Raises:
        UserError: a directory that is not valid, features of different contracts, or streams that only some have.
    """
    sets, first, streams = [], None, []
    for folder in folders:
        validate(folder, need=("utt2spk", "utt2emo", "feats.scp"))
        data = DataDir(folder)
        if data.has("feats.yaml"):
            contract = FeatureContract.load(data.path / "feats.yaml")
            first = first or (str(folder), contract)
            first[1].require_same(contract, mine=first[0], theirs=str(folder))
        readers = {name: ScpReader(data.path / f"{name}.scp") for name in STREAMS if data.has(f"{name}.scp")}
        if sets and list(readers) != streams:
            raise UserError(
                f"{folder} has {' '.join(readers)}, and {folders[0]} {' '.join(streams)}: extract the same of both "
                f"(stage 3)"
            )
        streams, utts = list(readers), data.utts
        x = np.stack([functionals(**{name: reader[utt] for name, reader in readers.items()}) for utt in utts])
        columns = [list(map(data.table(name).__getitem__, utts)) for name in ("utt2spk", "utt2emo")]
        told = data.table("utt2intensity") if data.has("utt2intensity") else None
        sets.append(Utterances(str(folder), utts, *columns, x, told and [told[utt] for utt in utts]))
        logging.info("%s: %d utterances", folder, len(utts))
    return sets


def strengths(model: RelativeAttributes, data: Utterances) -> np.ndarray:
    """Strength [N] of each utterance's own emotion, 0 to 1. Without a label (``other``) it is 0, as for neutral.

    A speaker who was not trained on is compared with the neutral utterances of ``data``.

    Raises:
        UserError: an emotion that was not learned.
    """
    model = model.knowing(data.x, data.speakers, data.emotions)
    if model.speakers:
        strangers = sorted(set(data.speakers) - set(model.speakers))
        if strangers:
            logging.warning(
                "%s: %d speakers have no neutral speech, neither here nor in the training data, and are compared with "
                "that of the others: %s", data.folder, len(strangers), " ".join(strangers[:10]),
            )  # fmt: skip
    found = np.zeros(len(data.utts))
    for emotion in sorted(set(data.emotions)):
        chosen = data.where(emotions=emotion)
        if emotion == OTHER:
            logging.warning("%s: %d utterances without a label get strength 0", data.folder, chosen.sum())
        else:
            found[chosen] = model.score(data.x[chosen], emotion, np.array(data.speakers)[chosen].tolist())
    return found


def agreement(model: RelativeAttributes, data: Utterances, emotion: str) -> dict[str, tuple[float, int]]:
    """Pairs of one speaker that are in the right order, and all of them.

    Returns:
        ``emotion``: emotional above neutral; ``intensity``: strong above normal in the emotion, where both are told.
    """
    model = model.knowing(data.x, data.speakers, data.emotions)
    scores = model.raw(data.x, emotion, data.speakers)
    totals = {"emotion": np.zeros(2), "intensity": np.zeros(2)}
    for speaker in sorted(set(data.speakers)):
        own = data.where(speakers=speaker, emotions=emotion)
        totals["emotion"] += order_accuracy(scores[own], scores[data.where(speakers=speaker, emotions=NEUTRAL)])
        if data.intensities is not None:
            strong, normal = (own & data.where(intensities=word) for word in INTENSITIES)
            totals["intensity"] += order_accuracy(scores[strong], scores[normal])
    return {name: (float(right), int(pairs)) for name, (right, pairs) in totals.items()}


def table(model: RelativeAttributes, sets: Sequence[Utterances]) -> str:
    """Lines for people: a row an emotion, and for each directory the share of pairs in order, with their number."""
    found = {(one.folder, e): agreement(model, one, e) for one in sets for e in model.emotions}
    blocks = []
    for what, words in (("emotion", f"emotion above {NEUTRAL}"), ("intensity", "strong above normal")):
        rows = [["", *(os.path.basename(os.path.normpath(one.folder)) for one in sets)]]
        for e in model.emotions:
            rows.append([e, *(_share(found[one.folder, e][what]) for one in sets)])
        sums = [[sum(found[one.folder, e][what][k] for e in model.emotions) for k in (0, 1)] for one in sets]
        rows.append(["all", *map(_share, sums)])
        if any(pairs for _, pairs in sums):
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
            blocks.append("\n".join([f"{words}, pairs of one speaker in the right order:", *lines]))
    return "\n\n".join(blocks)


def _share(count: Sequence[float]) -> str:
    return f"{100 * count[0] / count[1]:.1f} % of {count[1]}" if count[1] else "-"
