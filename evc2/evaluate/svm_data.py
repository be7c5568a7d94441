"""From a data directory to the examples of the SVM judge."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from evc2.errors import UserError, nearest
from evc2.evaluate.svm_features import data_features
from evc2.evaluate.svm_training import Examples
from evc2.fileio.datadir import DataDir
from evc2.fileio.tables import read_table

NATURAL = "natural"


def read_folds(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read `speaker fold` lines; UserError where a fold is not one word."""
    folds = read_table(path)
    for speaker, fold in folds.items():
        if len(fold.split()) != 1:
            raise UserError(f"{path}: {speaker}: expected `speaker fold`, found '{fold}'")
    return folds


def read_examples(
    data_dir: str | os.PathLike[str],
    folds: Mapping[str, str],
    feats_dir: str | os.PathLike[str],
    nj: int = 1,
    emotions: Sequence[str] | None = None,
) -> tuple[Examples, dict[str, str]]:
    """Features and labels of a data directory's utterances, in the order of utt2spk.

    Args:
        data_dir: has wav.scp, utt2spk, utt2emo, and perhaps utt2vocoder and utt2intensity.
        folds: speaker -> fold; a speaker without one is an error before anything is extracted.
        feats_dir: where the features are kept.
        nj: processes.
        emotions: those to take; None for all.

    Returns:
        The examples; and utterance -> why it is left out.
    """
    data = DataDir(data_dir)
    speaker, emotion = data.table("utt2spk"), _whole(data, "utt2emo")
    lost = sorted(set(speaker.values()) - folds.keys())
    if lost:
        raise UserError(f"{data.path}: {len(lost)} speakers have no fold in --spk2fold, '{lost[0]}' is one; add them")
    for name in emotions or ():
        if name not in emotion.values():
            there = sorted(set(emotion.values()))
            raise UserError(
                f"--emotions: no '{name}' in {data.path}{nearest(name, there)}; there is {', '.join(there)}"
            )
    wanted = [utt for utt in data.utts if emotions is None or emotion[utt] in emotions]
    vocoder = _whole(data, "utt2vocoder") if data.has("utt2vocoder") else dict.fromkeys(wanted, NATURAL)
    intensity = _whole(data, "utt2intensity") if data.has("utt2intensity") else None
    feats, bad = data_features(data, wanted, feats_dir, nj)
    utts = list(feats)
    strong = None if intensity is None else np.array([intensity[utt] == "strong" for utt in utts])
    tables = [np.array([table[utt] for utt in utts]) for table in (emotion, speaker, vocoder)]
    return Examples(np.stack([feats[utt] for utt in utts]), *tables, strong), bad


def _whole(data: DataDir, name: str) -> dict[str, str]:
    """A table that says something of every utterance."""
    table = data.table(name)
    lost = [utt for utt in data.utts if utt not in table]
    if lost:
        raise UserError(f"{data.path}: {name} lacks {len(lost)} utterances, '{lost[0]}' is one; complete it")
    return table
