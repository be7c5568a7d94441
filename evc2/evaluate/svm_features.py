"""eGeMAPS of a data directory for the SVM judge, extracted once and kept in an ark."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.analysis import TRIM_DB, TRIM_RUN, Analysis, evaluation_contract
from evc2.feats.egemaps import RATE, egemaps, missing, require_speech
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir
from evc2.fileio.tables import read_table, write_table

MAX_BAD = 0.05
"""Share of recordings that may be unusable; they are left out and named. More of them point at a wrong list."""

_NAME = "egemaps"
_SHOWN = 5

Clip = tuple[str, float | None, float | None]


def speech_features(wav: np.ndarray) -> np.ndarray:
    """eGeMAPS [88] of the speech in a wav [n] at 16 kHz, trimmed as every evaluated wav is; UserError as egemaps."""
    contract = evaluation_contract()
    if contract.rate != RATE:
        raise ValueError(f"the evaluation runs at {contract.rate} Hz, eGeMAPS at {RATE} Hz")
    return egemaps(Analysis(require_speech(wav), contract).speech_wav)


def data_features(
    data: DataDir, utts: list[str], folder: str | os.PathLike[str], nj: int = 1
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Features of some utterances of a data directory; those in FOLDER/egemaps.{ark,scp} are read from there.

    A kept vector is used while the wav.scp entry, the segment, the file's size and time, the trimming rule and the
    version of openSMILE are what they were (FOLDER/egemaps.inputs holds a digest of them). What a command prints
    cannot be known without running it, so recordings from pipes are extracted each time.

    Args:
        utts: which utterances.
        nj: processes.

    Returns:
        utterance -> [88] float64; and utterance -> why it is left out.

    Raises:
        UserError: nothing left, over 5 % of the utterances unusable, or the package is missing.
    """
    folder = Path(folder)
    clips = {utt: _clip(data, utt) for utt in utts}
    inputs = {utt: digest for utt, clip in clips.items() if (digest := _digest(clip)) is not None}
    feats = _kept(folder, inputs)
    todo = {utt: clip for utt, clip in clips.items() if utt not in feats}
    bad: dict[str, str] = {}
    if todo:
        why = missing()
        if why is not None:
            raise UserError(f"eGeMAPS: {why}")
        logging.info("eGeMAPS of %d utterances, %d more are there already", len(todo), len(feats))
        for utt, found in _extracted(todo, nj):
            if isinstance(found, str):
                bad[utt] = found
            else:
                feats[utt] = found
        _keep(folder, feats, inputs)
    lines = "".join(f"\n  {utt}: {why}" for utt, why in list(bad.items())[:_SHOWN])
    lines += f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    if len(bad) > MAX_BAD * len(utts) or not feats:
        raise UserError(
            f"{data.path}: {len(bad)} of {len(utts)} recordings cannot be used; mend or remove them:{lines}"
        )
    if bad:
        logging.warning("%s: left out %d of %d recordings:%s", data.path, len(bad), len(utts), lines)
    return {utt: feats[utt] for utt in utts if utt in feats}, bad


def _clip(data: DataDir, utt: str) -> Clip:
    wavs = data.table("wav.scp")
    recording, start, stop = (utt, None, None) if data.segments is None else data.segments.get(utt, (utt, None, None))
    if recording not in wavs:
        raise UserError(f"{data.path}: wav.scp lacks '{recording}'; utils/fix_data_dir.sh drops incomplete utterances")
    return wavs[recording], start, stop


def _digest(clip: Clip) -> str | None:
    """What a kept vector depends on, as 40 hexadecimal digits; None where a command or nothing stands for a file."""
    try:
        status = os.stat(clip[0])
        version = importlib.metadata.version("opensmile")
    except (OSError, importlib.metadata.PackageNotFoundError):
        return None
    rule = [evaluation_contract().to_dict(), TRIM_DB, TRIM_RUN, version]
    said = json.dumps([os.path.abspath(clip[0]), clip[1:], status.st_size, status.st_mtime_ns, rule], sort_keys=True)
    return hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()


def _kept(folder: Path, inputs: Mapping[str, str]) -> dict[str, np.ndarray]:
    """What is in the ark and still true."""
    if not (folder / f"{_NAME}.inputs").is_file():
        return {}
    try:
        before = read_table(folder / f"{_NAME}.inputs", allow_empty=True)
        ark = ScpReader(folder / f"{_NAME}.scp")
        return {u: ark[u].astype(np.float64) for u, digest in inputs.items() if before.get(u) == digest and u in ark}
    except UserError as error:
        logging.warning("kept features are not used: %s", error)
        return {}


def _keep(folder: Path, feats: Mapping[str, np.ndarray], inputs: Mapping[str, str]) -> None:
    if not feats:
        return
    (folder / f"{_NAME}.inputs").unlink(missing_ok=True)
    with ArkWriter(folder / f"{_NAME}.ark", folder / f"{_NAME}.scp") as writer:
        for utt in sorted(feats):
            writer[utt] = feats[utt]  # openSMILE computes in 32 bits: the ark loses nothing
    # The last one: without it an ark of an interrupted run is not trusted.
    write_table(folder / f"{_NAME}.inputs", {utt: inputs[utt] for utt in feats if utt in inputs})


def _extract(job: tuple[str, Clip]) -> tuple[str, np.ndarray | str]:
    utt, (entry, start, stop) = job
    try:
        return utt, speech_features(read_audio(entry, RATE, start, stop)[0])
    except (UserError, OSError) as error:
        return utt, " ".join(str(error).split())


def _extracted(clips: Mapping[str, Clip], nj: int) -> Iterator[tuple[str, np.ndarray | str]]:
    if nj == 1:
        yield from map(_extract, clips.items())
        return
    # "spawn": a fork would copy the locks of whoever calls this.
    with ProcessPoolExecutor(nj, get_context("spawn")) as pool:
        try:
            yield from pool.map(_extract, clips.items(), chunksize=8)
        except BrokenProcessPool:
            raise UserError("an extracting process died (killed, or out of memory?); try a smaller --nj") from None
