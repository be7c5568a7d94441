"""The speaker vectors of a data directory: computed by an encoder or taken from files, and written as arks."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from evc2.convert.voices import KINDS, RATE, speaker_means, unit, voice_vector
from evc2.errors import UserError, nearest
from evc2.feats.dump import part, read_utt
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.atomic import write_text
from evc2.fileio.datadir import EMOTIONS, DataDir
from evc2.fileio.vectors import read_vectors

PARTS = "spembs_parts"
EVERY = 100


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def chosen_utts(data: DataDir, emotions: Sequence[str] = ()) -> list[str]:
    """The utterances to use, in order: all, or those of some emotions.

    Raises:
        UserError: an unknown emotion, no utt2emo where it is needed, or a speaker without such an utterance.
    """
    utts = data.utts
    if not emotions:
        return utts
    for emotion in emotions:
        if emotion not in EMOTIONS:
            raise UserError(f"--emotions: there is no '{emotion}'{nearest(emotion, EMOTIONS)}: {' '.join(EMOTIONS)}")
    of, speaker = data.table("utt2emo"), data.table("utt2spk")
    found = [utt for utt in utts if of.get(utt) in emotions]
    without = sorted(set(data.speakers) - {speaker[utt] for utt in found})
    if without:
        raise UserError(
            f"{data.path}: expected an utterance of {' or '.join(emotions)} of every speaker, found none of "
            f"{_named(without)}; name more --emotions, or leave it out"
        )
    return found


def _computed(data: DataDir, utts: Sequence[str], kind: str, weights: str | None) -> Iterator[tuple[str, np.ndarray]]:
    for number, utt in enumerate(utts, 1):
        wav, rate = read_utt(data, utt, RATE)
        try:
            yield utt, voice_vector(wav, rate, kind, weights)
        except UserError as error:
            raise UserError(f"{data.path}: {utt}: {error}") from None
        if number % EVERY == 0:
            logging.info("%d of %d utterances", number, len(utts))


def compute_part(
    data: DataDir, utts: Sequence[str], kind: str, weights: str | None, out: Path, job: int, njobs: int
) -> None:
    """Write the vectors of the part `job` (1 .. njobs) of the utterances to OUT/spembs_parts/<job>.{ark,scp}.

    Raises:
        UserError: as :func:`evc2.convert.voices.voice_vector`, naming the utterance; a recording that cannot be read.
    """
    base = out / PARTS / str(job)
    if data.segments is None and (lost := [utt for utt in utts if utt not in data.table("wav.scp")]):
        raise UserError(f"{data.path}: wav.scp has no recording of {_named(lost)}; see utils/fix_data_dir.sh")
    mine = part(utts, job, njobs)
    Path(f"{base}.scp").unlink(missing_ok=True)  # of a run before, which must not be joined if this one fails
    if not mine:  # more jobs than utterances
        return
    with ArkWriter(f"{base}.ark", f"{base}.scp") as writer:
        for utt, vector in _computed(data, mine, kind, weights):
            writer[utt] = vector


def join_parts(utts: Sequence[str], out: Path, njobs: int) -> dict[str, np.ndarray]:
    """Utterance -> vector [D] of all parts; a UserError names what is missing. The parts stay."""
    found: dict[str, np.ndarray] = {}
    for job in range(1, njobs + 1):
        path = out / PARTS / f"{job}.scp"
        if path.is_file():
            found.update(ScpReader(path))
    missing = [utt for utt in utts if utt not in found]
    if missing:
        raise UserError(
            f"{out / PARTS}: {len(missing)} of {len(utts)} utterances have no vector: {_named(missing)}; did all of "
            f"{njobs} jobs end well? See their logs"
        )
    if len({len(vector) for vector in found.values()}) > 1:
        raise UserError(f"{out / PARTS}: vectors of different sizes: parts of another --kind; run all jobs again")
    return {utt: found[utt] for utt in utts}


def foreign_vectors(
    data: DataDir, utts: Sequence[str], path: str | os.PathLike[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Vectors of another program, by speaker or by utterance: (by utterance, by speaker), the former may be empty.

    Raises:
        UserError: as :func:`evc2.fileio.vectors.read_vectors`; neither all speakers nor all utterances are there.
    """
    found = read_vectors(path)
    speakers = data.speakers
    if all(speaker in found for speaker in speakers):
        return {}, {speaker: unit(found[speaker]) for speaker in speakers}
    if all(utt in found for utt in utts):
        by_utt = {utt: unit(found[utt]) for utt in utts}
        return by_utt, speaker_means(by_utt, data.table("utt2spk"))
    missing = [speaker for speaker in speakers if speaker not in found]
    raise UserError(
        f"{path}: expected a vector of every speaker of {data.path} (or of every utterance), found none of "
        f"{_named(missing)}; it has {_named(sorted(found))}"
    )


def check_out(data: DataDir, utts: Sequence[str], out: Path, by: str | None) -> None:
    """UserError where spembs.scp would make the data directory itself incomplete (each table is about all of it)."""
    if by != "speaker" and len(utts) < len(data.utts) and out.resolve() == data.path.resolve():
        raise UserError(
            f"{out}: vectors of {len(utts)} of {len(data.utts)} utterances do not belong into the data directory "
            f"itself; give --by speaker, or another --out"
        )


def write_vectors(
    out: Path, kind: str, by_utt: Mapping[str, np.ndarray], by_speaker: Mapping[str, np.ndarray], by: str | None = None
) -> None:
    """Write spembs.{ark,scp} (by utterance), spk2spembs.{ark,scp} (by speaker) and spembs.yaml; drop the parts.

    Files of an earlier run that are not written now are removed: they may be of another kind.

    Args:
        out: the folder.
        kind: a name of KINDS, or else written as "file".
        by_utt, by_speaker: key -> [D] of unit length; the former may be empty.
        by: "speaker" or "utterance" for one of the two; None for both.
    """
    tables = {
        "spembs": by_utt if by != "speaker" else {},
        "spk2spembs": by_speaker if by != "utterance" else {},
    }
    for name, table in tables.items():
        if not table:
            for suffix in ("scp", "ark"):  # the index first: it must not point to nothing
                (out / f"{name}.{suffix}").unlink(missing_ok=True)
            continue
        with ArkWriter(out / f"{name}.ark", out / f"{name}.scp") as writer:
            for key, vector in table.items():
                writer[key] = vector
    known = kind in KINDS
    dim = len(next(iter(by_speaker.values())))
    about = {"kind": kind if known else "file", "dim": dim, "rate": RATE if known else None}
    write_text(out / "spembs.yaml", yaml.safe_dump(about, sort_keys=False))
    shutil.rmtree(out / PARTS, ignore_errors=True)
