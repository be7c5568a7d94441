"""Mean styles of a list of recordings, in the place of those that the training measured."""

from pathlib import Path
from typing import Any

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir
from evc2.fileio.tables import rows


def measure(model: Any, data_dir: str | Path, utts: str | Path | None = None) -> list[tuple[str, str, int]]:
    """Measure the styles of a feature directory's recordings and put their means into the model.

    Speakers and emotions without any of these recordings keep the styles that they have.

    Args:
        model: a system with ``measure_styles``, in evaluation mode, with its contract.
        data_dir: feature directory with ``feats.scp``, ``utt2spk`` and ``utt2emo``.
        utts: file of utterances, one a line; None: all.

    Returns:
        speaker, emotion and number of recordings of each style that was measured.

    Raises:
        UserError: a system without styles, features of another contract, unknown utterances, or none of a speaker and
            emotion that the model knows.
    """
    if not hasattr(model, "measure_styles"):
        raise UserError(f"{type(model).__name__} stores no styles of speakers and emotions; seq2seq does")
    data = DataDir(data_dir)
    FeatureContract.load(data.path / "feats.yaml").require_same(model.contract, f"features in {data.path}", "model")
    reader, spk, emo = ScpReader(data.path / "feats.scp"), data.table("utt2spk"), data.table("utt2emo")
    names = [first for _, first, _ in rows(utts)] if utts else list(data.utts)
    if unknown := [name for name in names if name not in reader or name not in spk]:
        raise UserError(f"{utts or data.path}: {len(unknown)} utterances have no features in {data.path}: {unknown[0]}")
    speakers, emotions = list(model.speakers), list(model.emotions)
    known = [name for name in names if spk[name] in speakers and emo.get(name) in emotions]
    if not known:
        raise UserError(
            f"{data.path}: no utterance is of a speaker and an emotion that the model knows; it has "
            f"{', '.join(speakers)} and {', '.join(emotions)}"
        )
    before, counts = model.styles_mean.clone(), model.styles_count.clone()
    model.measure_styles((speakers.index(spk[n]), emotions.index(emo[n]), reader[n]) for n in known)
    measured = [(s, e, int(n)) for s, row in enumerate(model.styles_count.tolist()) for e, n in enumerate(row) if n]
    kept = model.styles_count == 0
    model.styles_mean[kept], model.styles_count[kept] = before[kept], counts[kept]
    return [(speakers[s], emotions[e], count) for s, e, count in measured]
