"""What the jobs of stages 2 and 3 do: formatted audio and features of a data directory, in parts, and their joining.

A job J of N works on the J-th of N parts of the utterances and leaves its results below OUT/split<N>/<J> (audio) or
OUT/arks (features). Joining checks that every utterance is there and only then writes the tables, wav.scp or feats.scp
last, so that a folder with that file is complete.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract, names
from evc2.feats.prepare import TOO_LONG, Bounds, Preparation, Prepared, prepare
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.atomic import sync
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import DataDir, read_table, subset, write_table

SHOWN = 10
_OPTIONAL = ("utt2gain", "utt2pauses", "utt2textgrid")  # written where --loudness, --vad, --textgrids are in use
_FEATURE_FILES = ("feats.scp", "f0.scp", "power.scp", "utt2num_frames", "phones", "durations.scp", "utt2strength")


def part(utts: Sequence[str], job: int, njobs: int) -> list[str]:
    """The utterances of job `job` (1..njobs): consecutive, and as many as any other job's or one less."""
    if not 1 <= job <= njobs:
        raise UserError(f"--job: expected 1 to --njobs {njobs}, found {job}")
    return list(utts[(job - 1) * len(utts) // njobs : job * len(utts) // njobs])


def hold_contract(out: str | os.PathLike[str], contract: FeatureContract) -> None:
    """Write OUT/feats.yaml; if it is there, a UserError unless it says the same (naming each differing key)."""
    path = Path(out) / "feats.yaml"
    if path.exists():
        FeatureContract.load(path).require_same(contract, mine=str(path), theirs="--contract")
    else:
        contract.save(path)


def read_utt(data: DataDir, utt: str, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read an utterance through wav.scp and, where there is one, segments. Returns and errors as read_audio."""
    if data.segments is None:
        return read_audio(data.table("wav.scp")[utt], rate)
    recording, start, stop = data.segments[utt]
    wavs = data.table("wav.scp")
    if recording not in wavs:
        raise UserError(f"{data.path}: segments: '{utt}' is in '{recording}', which wav.scp lacks")
    return read_audio(wavs[recording], rate, start, stop)


def _prepared(data: DataDir, utt: str, rate: int, how: Preparation, bounds: Bounds | None) -> Prepared | str:
    try:
        wav, found_rate = read_utt(data, utt)
    except UserError as error:
        return " ".join(str(error).split())
    return prepare(wav, found_rate, rate, how, bounds)


def format_part(
    data_dir: str | os.PathLike[str],
    contract: FeatureContract,
    out: str | os.PathLike[str],
    job: int = 1,
    njobs: int = 1,
    how: Preparation | None = None,
    bounds_of: Callable[[str], Bounds | str] | None = None,
) -> None:
    """Write OUT/wav/<utt>.wav (16 bit, mono, the contract's rate) for one part of a data directory.

    Args:
        data_dir: the data directory; wav.scp may hold pipes, segments are cut.
        contract: gives the sample rate.
        out: the folder to make.
        job, njobs: which part of how many.
        how: trimming, level, pauses and limits of length; its defaults without it.
        bounds_of: gives where the speech of an utterance lies, to be cut there, or the reason why nobody knows.

    An utterance that cannot be used is left out and listed with the reason in OUT/split<N>/<J>/skipped.
    """
    how = how or Preparation()
    data, out = DataDir(data_dir), Path(out)
    if out.resolve() == data.path.resolve():
        raise UserError(f"{out}: source and destination are one folder; choose another --out")
    (out / "wav.scp").unlink(missing_ok=True)  # of an earlier run; it comes back when all is done anew
    wavs, samples, trims, gains, pauses, sources, skipped = {}, {}, {}, {}, {}, {}, {}
    for utt in part(data.utts, job, njobs):
        path = out / "wav" / f"{utt}.wav"
        if "/" in utt or utt.startswith("."):
            raise UserError(f"{data.path}: the utterance id '{utt}' cannot be a file name")
        bounds = bounds_of(utt) if bounds_of else None
        if data.segments is None and utt not in data.table("wav.scp"):
            result = "not in wav.scp"
        else:
            result = bounds if isinstance(bounds, str) else _prepared(data, utt, contract.rate, how, bounds)
        if isinstance(result, str):
            skipped[utt] = result
            path.unlink(missing_ok=True)
            continue
        write_audio(path, result.wav, contract.rate, sync_folder=False)
        wavs[utt], samples[utt], trims[utt] = path, len(result.wav), f"{result.start:.4f} {result.stop:.4f}"
        if how.loudness is not None:
            gains[utt] = f"{result.gain:.2f}" + " limited" * result.limited
        if how.vad != "none":
            pauses[utt] = f"{result.pauses:.3f}"
        if bounds is not None:
            sources[utt] = bounds.source
    if wavs:
        sync(out / "wav")  # once, as it takes as long as the audio itself
    folder = out / f"split{njobs}" / str(job)
    for name, table in zip(_OPTIONAL, (gains, pauses, sources), strict=True):
        write_table(folder / name, table)
    write_table(folder / "utt2num_samples", samples)
    write_table(folder / "utt2trim", trims)
    write_table(folder / "wav.scp", wavs)
    write_table(folder / "skipped", skipped)  # the last one: its presence says that the job is complete
    logging.info("job %d of %d: %d utterances written, %d skipped", job, njobs, len(wavs), len(skipped))


def merge_format(
    data_dir: str | os.PathLike[str],
    contract: FeatureContract,
    out: str | os.PathLike[str],
    njobs: int = 1,
    max_bad: float = 0.05,
) -> tuple[int, int]:
    """Join the parts that format_part wrote into a data directory OUT; features of older audio there are removed.

    Written: wav.scp, utt2num_samples, utt2trim (first and last second kept of the utterance); where such work was asked
    for, utt2gain (dB, and `limited` where the peak allowed less), utt2pauses (seconds cut) and utt2textgrid (what it
    was cut by); skipped; and the other tables of `data_dir` cut to what was kept (segments have done their work and are
    left out).

    Returns:
        How many utterances were kept and skipped.

    Raises:
        UserError: a job is not complete, over `max_bad` of the utterances are bad (the first ten are named), or
            nothing is left.
    """
    data, out = DataDir(data_dir), Path(out)
    folders = [out / f"split{njobs}" / str(job) for job in range(1, njobs + 1)]
    for job, folder in enumerate(folders, 1):
        if not (folder / "skipped").is_file():
            raise UserError(f"{out}: job {job} of {njobs} has not been completed; see its log and run it again")
    wavs, skipped = _joined(folders, "wav.scp"), _joined(folders, "skipped")
    if set(wavs) | set(skipped) != set(data.utts):
        raise UserError(f"{out}: its jobs were made of another list of utterances than {data.path}; run them again")
    bad = {utt: reason for utt, reason in skipped.items() if not reason.startswith(TOO_LONG)}
    listing = "".join(f"\n  {utt}: {reason}" for utt, reason in list(bad.items())[:SHOWN])
    listing += f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if bad and (len(bad) > max_bad * len(data.utts) or not wavs):
        write_table(out / "skipped", skipped)
        raise UserError(
            f"{data.path}: {len(bad)} of {len(data.utts)} utterances cannot be used, over --max_bad {max_bad:g}:"
            f"{listing}\nMend or remove them, or raise --max_bad; all are in {out / 'skipped'}"
        )
    if not wavs:
        raise UserError(f"{data.path}: all {len(skipped)} utterances are longer than --max_seconds; raise it")
    for name in (*_FEATURE_FILES, *_OPTIONAL, "wav.scp"):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / "arks", ignore_errors=True)
    _copy_tables(data, out, wavs)
    optional = {name: table for name in _OPTIONAL if (table := _joined(folders, name))}
    for name, table in optional.items():
        write_table(out / name, table)
    for name in ("utt2trim", "utt2num_samples"):
        write_table(out / name, _joined(folders, name))
    write_table(out / "skipped", skipped)
    write_table(out / "wav.scp", wavs)
    _report_changes(data.path, optional.get("utt2gain", {}), optional.get("utt2pauses", {}))
    for folder in out.glob("split*"):
        if re.fullmatch(r"split\d+", folder.name):
            shutil.rmtree(folder)
    if bad:
        logging.warning("%s: skipped %d of %d utterances:%s", data.path, len(bad), len(data.utts), listing)
    if len(skipped) > len(bad):
        logging.warning("%s: left out %d utterances over --max_seconds", data.path, len(skipped) - len(bad))
    return len(wavs), len(skipped)


def _joined(folders: Sequence[Path], name: str) -> dict[str, str]:
    """A table of all jobs."""
    table: dict[str, str] = {}
    for folder in folders:
        table.update(read_table(folder / name, allow_empty=True))
    return table


def _report_changes(path: Path, gains: Mapping[str, str], pauses: Mapping[str, str]) -> None:
    raised = [value for value in gains.values() if float(value.split()[0]) > 0]
    if gains:
        limited = sum(value.endswith("limited") for value in raised)
        less = f", {limited} of them by less than asked, for their peaks" if limited else ""
        logging.info("%s: %d of %d utterances were quieter and raised%s", path, len(raised), len(gains), less)
    if pauses:
        cut = [float(value) for value in pauses.values() if float(value) > 0]
        logging.info("%s: cut %.1f s of pauses out of %d of %d utterances", path, sum(cut), len(cut), len(pauses))


def _copy_tables(data: DataDir, out: Path, utts: Iterable[str]) -> None:
    """Bring the tables of `data`, cut to `utts`, to OUT, except those about the recordings and lengths of before."""
    work = out / ".tables"
    shutil.rmtree(work, ignore_errors=True)
    subset(data.path, work, utts)
    cut = data.segments is not None
    for path in sorted(work.iterdir()):
        stale = path.name in ("wav.scp", "segments", "utt2dur", "utt2num_samples", *_FEATURE_FILES)
        if path.is_file() and not stale and not (cut and path.name.startswith("reco2")):
            os.replace(path, out / path.name)
    if not (work / "trials").exists() and not data.has("trials"):
        (out / "trials").unlink(missing_ok=True)
    shutil.rmtree(work)


def f0_ranges(data: DataDir, path: str | os.PathLike[str] | None = None) -> dict[str, tuple[float, float]]:
    """Read `speaker floor ceil` (Hz) lines from `path`, or from spk2f0range of the directory where it has one.

    Raises:
        UserError: the file or a number is missing or wrong.
    """
    if path is None:
        path = data.path / "spk2f0range"
        if not path.is_file():
            return {}
    ranges = {}
    for speaker, row in read_table(path).items():
        try:
            floor, ceil = (float(word) for word in row.split())
            good = 0 < floor < ceil
        except ValueError:
            good = False
        if not good:
            raise UserError(f"{path}: {speaker}: expected `speaker floor ceil` in Hz with floor < ceil, found '{row}'")
        ranges[speaker] = (floor, ceil)
    return ranges


def extract_part(
    data_dir: str | os.PathLike[str],
    contract: FeatureContract,
    out: str | os.PathLike[str],
    job: int = 1,
    njobs: int = 1,
    ranges_file: str | os.PathLike[str] | None = None,
) -> None:
    """Write OUT/arks/<name>.<job>.ark and .scp (names: feats, f0, power) for one part of a data directory.

    Args:
        data_dir: the data directory; audio of another rate than the contract's is resampled.
        contract: what to extract.
        out: the folder to write to; may be `data_dir`.
        job, njobs: which part of how many.
        ranges_file: see :func:`f0_ranges`.

    Raises:
        UserError: an utterance that cannot be read or analysed; nothing of this part is left then.
    """
    data, out = DataDir(data_dir), Path(out)
    ranges, utt2spk = f0_ranges(data, ranges_file), data.table("utt2spk")
    utts = part(data.utts, job, njobs)
    (out / "feats.scp").unlink(missing_ok=True)  # of an earlier run: its offsets are not those of the new arks
    with ExitStack() as stack:
        arks = {name: out / "arks" / f"{name}.{job}.ark" for name in names(contract)}
        writers = {n: stack.enter_context(ArkWriter(path, path.with_suffix(".scp"))) for n, path in arks.items()}
        for utt in utts:
            try:
                wav, _ = read_utt(data, utt, contract.rate)
                features = extract(wav, contract, ranges.get(utt2spk[utt]))
                for name, writer in writers.items():
                    writer[utt] = features[name]
            except UserError as error:
                raise UserError(f"{utt}: {error}") from None
    logging.info("job %d of %d: %d utterances", job, njobs, len(utts))


def merge_extract(
    data_dir: str | os.PathLike[str],
    contract: FeatureContract,
    out: str | os.PathLike[str],
    njobs: int = 1,
    which: Sequence[str] | None = None,
) -> int:
    """Join the parts that extract_part wrote: OUT/{feats,f0,power}.scp and utt2num_frames, feats.scp last.

    ``which`` names the features where they are not all that the contract has; feats first.

    Every array's place in its ark is checked, and that the numbers of frames agree.

    Returns:
        The number of utterances.

    Raises:
        UserError: a job's file is missing, an ark is truncated, or the utterances are not those of `data_dir`.
    """
    data, out = DataDir(data_dir), Path(out)
    frames: dict[str, int] = {}
    for name in reversed(which or names(contract)):  # feats comes last
        entries: dict[str, str] = {}
        scps = [out / "arks" / f"{name}.{job}.scp" for job in range(1, njobs + 1)]
        for job, scp in enumerate(scps, 1):
            if not scp.is_file():
                raise UserError(f"{out}: job {job} of {njobs} has left no {scp.name}; see its log and run it again")
            table = read_table(scp, allow_empty=True)
            reader = ScpReader(scp) if table else None  # there may be more jobs than utterances
            for utt in table:
                shape = reader.shape(utt)
                if frames.setdefault(utt, shape[0]) != shape[0]:
                    raise UserError(f"{scp}: '{utt}' has {shape[0]} frames here and {frames[utt]} elsewhere")
            entries.update(table)
        missing, more = set(data.utts) - set(entries), set(entries) - set(data.utts)
        if missing or more:
            raise UserError(
                f"{out}: {name}: expected the {len(data.utts)} utterances of {data.path}, {len(missing)} are missing, "
                f"{len(more)} are others ({' '.join(sorted(missing | more)[:3])} ...); run all {njobs} jobs again"
            )
        if name == "feats":
            write_table(out / "utt2num_frames", frames)
        write_table(out / f"{name}.scp", entries)
    for path in (out / "arks").glob("*.*.*"):
        number = path.name.split(".")[1]
        if number.isdecimal() and int(number) > njobs:  # of an earlier run with more jobs
            path.unlink()
    return len(frames)
