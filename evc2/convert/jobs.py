"""Many waveforms in parallel jobs: each job leaves its own list, one merge makes the final one."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evc2.errors import UserError
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import DataDir, read_table, write_table
from evc2.fileio.trials import Trial, read_trials

#: What is made for one id: samples and rate, the path of a file that exists, or None where there is nothing to make.
Made = tuple[np.ndarray, int] | str | None


def run_jobs(
    ids: Sequence[str],
    work: Callable[[str], Made],
    out: str | Path,
    job: int | None = None,
    njobs: int = 1,
) -> None:
    """Make O/wav/<id>.wav for every id, or for the ids of one job.

    Args:
        ids: all ids; each becomes a file name.
        work: makes one.
        out: the folder O.
        job: which part (1 to njobs) to do; it leaves O/wav.<job>.scp. None does all parts and merges.
        njobs: number of parts.

    Raises:
        UserError: a bad job number, an id that is no file name, or what `work` raises, with the id named.
    """
    out = Path(out)
    if njobs < 1 or not (job is None or 1 <= job <= njobs):
        raise UserError(f"job {job} of {njobs}: expected a job from 1 to the number of jobs")
    for name in ids:
        if "/" in name or "\\" in name or name.startswith("."):
            raise UserError(f"'{name}' cannot be the name of a file; rename the trial or utterance")
    for part in range(1, njobs + 1) if job is None else (job,):
        mine, made = list(ids)[part - 1 :: njobs], {}
        (out / f"wav.{part}.scp").unlink(missing_ok=True)  # a list of an earlier run must not count as this one's
        for count, name in enumerate(mine, 1):
            try:
                result = work(name)
            except UserError as error:
                raise UserError(f"{name}: {error}") from error
            if isinstance(result, tuple):
                path = out / "wav" / f"{name}.wav"
                write_audio(path, *result)
                result = str(path)
            if result is not None:
                made[name] = result
            if count % 50 == 0 or count == len(mine):
                logging.info("job %d of %d: %d of %d", part, njobs, count, len(mine))
        write_table(out / f"wav.{part}.scp", made)
    if job is None:
        merge(ids, out, njobs)


def merge(ids: Sequence[str], out: str | Path, njobs: int, may_lack: Sequence[str] = ()) -> None:
    """Join O/wav.J.scp of all jobs to O/wav.scp, once every id is there.

    Args:
        ids: all ids; may_lack those among them that may be missing.
        out: the folder O.
        njobs: number of jobs.

    Raises:
        UserError: a job's list, an id or a file is missing, or the lists are of another set of ids.
    """
    out = Path(out)
    table: dict[str, str] = {}
    for part in range(1, njobs + 1):
        path = out / f"wav.{part}.scp"
        if not path.is_file():
            raise UserError(f"{path}: job {part} of {njobs} has left no list: it has not run, or failed; see its log")
        table.update(read_table(path, allow_empty=True))
    missing = sorted(set(ids) - set(table) - set(may_lack))
    surplus = sorted(set(table) - set(ids))
    gone = sorted(name for name, path in table.items() if not path.rstrip().endswith("|") and not Path(path).is_file())
    for what, names in (("are missing", missing), ("are not asked for (an old run?)", surplus), ("have no file", gone)):
        if names:
            raise UserError(f"{out}: {len(names)} of {len(ids)} {what}: {', '.join(names[:5])}; run the jobs again")
    write_table(out / "wav.scp", table)
    for part in range(1, njobs + 1):
        (out / f"wav.{part}.scp").unlink()
    logging.info("%s: %d entries", out / "wav.scp", len(table))


def utterance(data: DataDir, utt: str) -> tuple[np.ndarray, int]:
    """Samples and rate of an utterance of a data directory, cut by its `segments` where there are any."""
    segment = data.segments[utt] if data.segments else (utt, None, None)
    return read_audio(data.table("wav.scp")[segment[0]], start=segment[1], stop=segment[2])


def checked_trials(path: str | Path, data: DataDir) -> dict[str, Trial]:
    """Trials by id; a source or reference that the data directory lacks is a UserError."""
    trials = {trial.id: trial for trial in read_trials(path)}
    if not trials:
        raise UserError(f"{path}: holds no trials")
    known = data.table("utt2spk")
    for trial in trials.values():
        for utt in filter(None, (trial.source, trial.reference)):
            if utt not in known:
                raise UserError(f"{path}: trial '{trial.id}': utterance '{utt}' is not in {data.path}")
    return trials
