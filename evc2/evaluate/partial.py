"""Scores of an evaluation that is not finished, so that an interrupted one does not begin anew.

Every process appends what it has scored, a line of JSON a wav, to a file of its own in O/.partial. The next evaluation
takes over each line whose key fits, whatever its other systems and trials are; when all results are written, the
files go. A line that was cut off, or that is no JSON, is as if it did not exist. Nothing is synced to disk line by
line: after a power failure more is lost than after a kill.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

import evc2
from evc2.evaluate.settings import Settings

if TYPE_CHECKING:
    from evc2.evaluate.score import Clip, Job, Row

CODE = ("evaluate", "feats", "fileio", "nets")
"""Folders of the package whose code has a part in the scores: a metric that was mended is computed again."""

_KEPT = ("values", "notes", "baselines")


def what_decides(metrics: Sequence[str], settings: Settings, f0_method: str) -> str:
    """Digest of all that decides a score beside the wavs: metrics, settings, models in folders, and the code."""
    folders = [*settings.judges, *([settings.asr_model] if Path(settings.asr_model).exists() else [])]
    about = {
        "metrics": list(metrics), "f0_method": f0_method, "code": _code(),
        "settings": {name: value for name, value in asdict(settings).items() if name != "download"},
        "models": [_below(Path(folder)) for folder in folders],
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith("EVC2_")},
    }  # fmt: skip
    return _digest(about)


def key_of(decides: str, job: Job, clip: Clip | None) -> str | None:
    """Digest of all that decides the scores of one wav; None where that cannot be known (a pipe, or no wav)."""
    clips = [clip, job.reference, job.source, *job.target_voice, *job.origin_voice]
    if clip is None or any(one is not None and one.entry.rstrip().endswith("|") for one in clips):
        return None
    about = [job.trial, job.speaker, job.emotion, job.source_speaker, job.source_emotion, job.text, job.problem]
    voices = [len(job.target_voice), len(job.origin_voice)]
    return _digest([decides, about, voices, [None if one is None else [*one, _stat(one.entry)] for one in clips]])


@dataclass
class Writer:
    """Appends scores to a file of this process; it may be sent to another process as long as nothing is written.

    Attributes:
        folder: O/.partial, made with the first line.
        run: names the evaluation.
        decides: see :func:`what_decides`.
    """

    folder: Path
    run: str
    decides: str
    _file: IO[bytes] | None = field(default=None, repr=False)

    def keys(self, job: Job) -> dict[str, str | None]:
        """System -> key of its wav. To be asked before the wavs are read: a later change must not be taken for them."""
        return {system: key_of(self.decides, job, clip) for system, clip in job.converted.items()}

    def write(self, key: str | None, row: Row) -> None:
        """Keep the scores of one wav. What failed is not kept: it is tried again."""
        if key is None or row.problem is not None:
            return
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = (self.folder / f"{self.run}-{os.getpid()}.jsonl").open("ab")
        sums = {name: _packed(value) for name, value in row.sums.items()}
        content = {"key": key, **{name: getattr(row, name) for name in _KEPT}, "sums": sums}
        self._file.write(json.dumps(content, allow_nan=False).encode() + b"\n")
        self._file.flush()  # from here on it survives the death of this process


class Partial:
    """What earlier evaluations into the same folder left, and where this one leaves its own.

    Args:
        folder: O/.partial.
        decides: see :func:`what_decides`.

    Attributes:
        reused: scores taken over so far.
        writer: for this evaluation's scores.
    """

    def __init__(self, folder: Path, decides: str) -> None:
        self.reused = 0
        self.writer = Writer(folder, os.urandom(6).hex(), decides)
        self._old = sorted(folder.glob("*.jsonl"))
        # Places instead of contents: statistics of sets are long, and memory does not grow with the number of trials.
        self._places: dict[str, tuple[Path, int]] = {}
        for path in self._old:
            self._places.update((key, (path, start)) for key, start in _lines(path))

    def __len__(self) -> int:
        return len(self._places)

    def rows(self, job: Job) -> dict[str, Row]:
        """System -> the scores that are known already."""
        from evc2.evaluate.score import row_of

        found = {}
        for system, key in self.writer.keys(job).items() if self._places else ():
            content = self._read(key) if key in self._places else None
            if content is not None:
                self.reused += 1
                sums = {name: _unpacked(value) for name, value in content["sums"].items()}
                found[system] = row_of(
                    job, system, content["values"], notes=tuple(content["notes"]), sums=sums,
                    baselines=content["baselines"],
                )  # fmt: skip
        return found

    def _read(self, key: str) -> dict[str, Any] | None:
        path, start = self._places[key]
        try:
            with path.open("rb") as file:
                file.seek(start)
                return _parsed(file.readline())
        except FileNotFoundError:  # another evaluation into this folder has ended meanwhile
            return None

    def remove(self) -> None:
        """Delete the files of this evaluation and of those whose scores it could take over."""
        for path in {*self._old, *self.writer.folder.glob(f"{self.writer.run}-*.jsonl")}:
            path.unlink(missing_ok=True)
        try:
            self.writer.folder.rmdir()
        except OSError:
            pass  # never made, or another evaluation is writing there


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Key and place of each whole line."""
    with path.open("rb") as file:
        start = 0
        for line in file:
            content = _parsed(line)
            if content is not None:
                yield content["key"], start
            start += len(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and {"key", "sums", *_KEPT} <= content.keys() else None


def _packed(value: np.ndarray) -> dict[str, Any]:
    return {"shape": value.shape, "float64": base64.b64encode(value.astype("<f8").tobytes()).decode("ascii")}


def _unpacked(value: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["float64"]), "<f8").reshape(value["shape"]).astype(np.float64)


def _digest(about: object) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _stat(path: str | Path) -> list[int] | None:
    """Size and time of change; None for a file that is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _below(folder: Path) -> list[Any]:
    files = sorted(path for path in folder.expanduser().rglob("*") if path.is_file())
    return [str(folder), [[str(path), _stat(path)] for path in files]]


@cache
def _code() -> str:
    found = hashlib.sha256()
    root = Path(evc2.__file__).parent
    for path in sorted(path for name in CODE for path in (root / name).rglob("*.py")):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return found.hexdigest()
