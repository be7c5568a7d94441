"""Whole utterances with their phones and labels, for systems that read text."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from evc2.errors import UserError
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir
from evc2.text.tokens import Tokens


class UtteranceDataset(torch.utils.data.Dataset):
    """Items of a feature directory: a request ``utt`` gives ``(utt, {...})`` with

    ``feats`` [T, D] float32, ``text`` [L] int64, ``sids`` and ``eids`` [] int64 (the number of speaker and emotion;
    eids -1: unknown, or not to be used), and, where they are asked for, ``durations`` [L] int64, frames of each phone,
    and ``strength`` [] float32, of the emotion.

    Args:
        data: feature directory with ``phones``; the utterances are those that it has phones (and durations) of.
        tokens: the phones by number.
        speakers, emotions: labels in the order of their numbers; speakers None: any, number 0.
        durations: whether they are needed.
        unlabelled: patterns of speakers (``LJ*``) whose emotions are not to be used.
        strangers: whether there may be other speakers than the known ones; their number is -1.
        strength: whether that of the emotion is needed (``utt2strength``).

    Raises:
        UserError: no phones or durations, utterances without a strength that is asked for, a speaker who is not among
            the known ones, or durations that do not fit.
    """

    def __init__(
        self,
        data: DataDir,
        tokens: Sequence[str],
        speakers: Sequence[str] | None = None,
        emotions: Sequence[str] = (),
        durations: bool = True,
        unlabelled: Sequence[str] = (),
        strangers: bool = False,
        strength: bool = False,
    ):
        for name in ("phones", "durations.scp")[: 1 + durations]:
            if not (data.path / name).is_file():
                raise UserError(f"{data.path}: there is no {name}; stage 3 makes it, unless it was told --align none")
        self.folder, self.tokens = data.path, Tokens(tokens)
        self.phones = data.table("phones")
        if strength and not data.has("utt2strength"):
            raise UserError(f"{data.path}: there is no utt2strength; stage 4 makes it with --strength true")
        self.strength = data.table("utt2strength") if strength else None
        self.feats = ScpReader(data.path / "feats.scp")
        self.durations = ScpReader(data.path / "durations.scp") if durations else None
        utts = [u for u in data.utts if u in self.phones and u in self.feats]
        if self.durations is not None:
            utts = [u for u in utts if u in self.durations]
        if strength and (lacking := [u for u in utts if u not in self.strength]):
            raise UserError(
                f"{data.path}: utt2strength lacks {len(lacking)} of {len(utts)} utterances ({', '.join(lacking[:3])}): "
                f"it was made of other data; make it again (stage 4 with --strength true --force true)"
            )
        spk, emo = data.table("utt2spk"), data.table("utt2emo") if data.has("utt2emo") else {}
        unknown = sorted({spk[u] for u in utts} - set(speakers)) if speakers is not None else []
        if unknown and not strangers:
            raise UserError(
                f"{data.path}: speakers {', '.join(unknown[:5])} are not among those of the training data: "
                f"{', '.join(list(speakers or ())[:20])}"
            )
        sids = {name: i for i, name in enumerate(speakers or ())}
        eids = {name: i for i, name in enumerate(emotions)}
        self.labels = {}
        for utt in utts:
            masked = any(fnmatchcase(spk[utt], pattern) for pattern in unlabelled)
            self.labels[utt] = (sids.get(spk[utt], -1 if sids else 0), -1 if masked else eids.get(emo.get(utt, ""), -1))
        if not utts:
            raise UserError(f"{data.path}: no utterance has features, phones{' and durations' * durations}")

    @property
    def lengths(self) -> dict[str, int]:
        """Frames of every utterance."""
        return {utt: self.feats.shape(utt)[0] for utt in self.labels}

    @property
    def labelled(self) -> int:
        """How many utterances have an emotion to learn from."""
        return sum(eid >= 0 for _, eid in self.labels.values())

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, utt: str) -> tuple[str, dict[str, np.ndarray]]:
        sid, eid = self.labels[utt]
        feats, text = self.feats[utt], self.tokens.ids(self.phones[utt].split())
        item = {"feats": feats, "text": text, "sids": np.int64(sid), "eids": np.int64(eid)}
        if self.strength is not None:
            item["strength"] = np.float32(self.strength[utt])
        if self.durations is not None:
            frames = self.durations[utt]
            if len(frames) != len(text) or round(float(frames.sum())) != len(feats):
                raise UserError(
                    f"{self.folder}: {utt}: {len(text)} phones and {len(feats)} frames, but {len(frames)} durations of "
                    f"{frames.sum():g} frames in all; make the durations again (stage 3 with --force true)"
                )
            item["durations"] = frames.astype(np.int64)
        return utt, item


def collate_utterances(items: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Pad sequences with 0 at their ends, and add ``feats_lengths`` [B] and ``text_lengths`` [B]."""
    batch = {}
    for key in items[0][1]:
        values = [torch.as_tensor(item[key]) for _, item in items]
        batch[key] = pad_sequence(values, batch_first=True) if values[0].dim() else torch.stack(values)
        if key in ("feats", "text"):
            batch[f"{key}_lengths"] = torch.tensor([len(value) for value in values])
    return [name for name, _ in items], batch
