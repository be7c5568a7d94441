"""Recipes that something happens to: copies of their folders, all processes killed at once, what is left looked at."""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evc2.fileio.ark import ScpReader
from evc2.fileio.audio import read_audio
from evc2.fileio.tables import rows

STAGE = re.compile(r"^\d\d:\d\d:\d\d stage (\d+): ", re.MULTILINE)
LIMIT = 300 * float(os.environ.get("EVC2_LIMIT_SCALE", "1"))  # seconds for anything that is waited for


class Recipe:
    """A run of a recipe in a session of its own, with what it says in a file.

    Args:
        folder: of the recipe.
        words: options of run.sh.
    """

    def __init__(self, folder: Path, words: Sequence[str], **more: Any) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "cmd_backend": "local"}
        self.said = folder / "said.txt"
        self.begun: dict[int, float] = {}  # stage -> seconds from the start
        self.started = time.monotonic()
        with open(self.said, "w") as out:
            self.process = subprocess.Popen(
                ["./run.sh", *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True, **more,
            )  # fmt: skip

    def text(self) -> str:
        """What it has said so far."""
        return self.said.read_text(encoding="utf-8", errors="replace")

    def stage(self) -> int:
        """The stage that was announced last, 0 before the first."""
        for number in map(int, STAGE.findall(self.text())):
            self.begun.setdefault(number, time.monotonic() - self.started)
        return max(self.begun, default=0)

    def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Wait until `holds`; False when the run ended before."""
        end = time.monotonic() + LIMIT
        while not holds():
            if self.process.poll() is not None:
                return holds()
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"nothing happened for {LIMIT} s\n{self.text()[-3000:]}")
            time.sleep(0.01)
        return True

    def finish(self) -> str:
        """Wait for its end, which must be good; return what it said."""
        self.wait_until(lambda: self.stage() < 0)
        assert self.process.returncode == 0, f"status {self.process.returncode}\n{self.text()[-6000:]}"
        return self.text()

    def fail(self) -> str:
        """Wait for its end, which must not be good; return what it said."""
        self.wait_until(lambda: self.stage() < 0)
        assert self.process.returncode != 0, self.text()[-6000:]
        return self.text()

    def kill(self) -> list[str]:
        """End every process of the session by SIGKILL, none of them the wiser; return their commands."""
        stopped: dict[int, str] = {}
        # All are stopped before the first dies: a parent that lives on could still tidy up, as in no power cut.
        while more := {pid: name for pid, name in members(self.process.pid) if pid not in stopped}:
            for pid in more:
                _send(pid, signal.SIGSTOP)
            stopped |= more
        for pid in stopped:
            _send(pid, signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + LIMIT
        while any(True for _ in members(self.process.pid)) and time.monotonic() < end:
            time.sleep(0.005)
        return list(stopped.values())


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def members(session: int) -> Iterator[tuple[int, str]]:
    """Process id and command of everything alive in a session: groups and orphans of it too."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, found = (path / "stat").read_text().rpartition(") ")[2].split()[:4]
            if int(found) == session and state not in "ZX":
                words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
                yield int(path.name), _name(words)
        except (OSError, ValueError):
            pass  # it has just ended


def _name(words: Sequence[str]) -> str:
    if "-m" in words and not words[0].endswith("bash"):
        return words[words.index("-m") + 1]
    return " ".join(Path(word).name for word in words[:2]).strip()


def made(folder: Path) -> Iterator[Path]:
    """All files below data, dump and exp, but logs and what only watches a training."""
    for top in ("data", "dump", "exp"):
        for path in sorted((folder / top).rglob("*")):
            inner = path.relative_to(folder).parts
            if not ({"log", "tensorboard", "images"} & set(inner)) and path.suffix != ".log" and not path.is_dir():
                yield path


def _whole_table(path: Path) -> None:
    text = path.read_bytes()
    assert not text or text.endswith(b"\n"), "its last line is cut off"
    assert all(value for _, _, value in rows(path))


def _whole_scp(path: Path) -> None:
    _whole_table(path)
    if path.name.startswith("wav"):
        for _, _, entry in rows(path):
            read_audio(entry)
        return
    reader = ScpReader(path)
    for key in reader:
        assert reader[key].size > 0


def _whole_ark(path: Path) -> None:
    import kaldiio

    assert all(array.size > 0 for _, array in kaldiio.load_ark(str(path)))


def _whole_pth(path: Path) -> None:
    import torch

    from evc2.train.checkpoint import is_whole

    if path.name.startswith("checkpoint"):
        assert is_whole(path), "its checksum does not match"
    torch.load(path, map_location="cpu", weights_only=True)


def _whole_npz(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name].size >= 0 for name in arrays.files)


def _whole_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def _whole_png(path: Path) -> None:
    assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), "the picture is cut off"


READERS: dict[str, Callable[[Path], Any]] = {
    ".scp": _whole_scp,
    ".ark": _whole_ark,
    ".wav": lambda path: read_audio(path),
    ".npz": _whole_npz,
    ".pth": _whole_pth,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".yaml": lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))[
        "rate" if path.stem == "feats" else "system"
    ],
    ".zip": _whole_zip,
    ".png": _whole_png,
    "": _whole_table,
}


def check_whole(folder: Path) -> int:
    """Every file that has its final name can be read to its end; returns how many there are. To be called in `folder`.

    Marks of stages are JSON; other hidden files are unfinished ones, or nothing that anybody reads.
    """
    count = 0
    for path in made(folder):
        mark = path.name.startswith(".stage") and path.suffix != ".tmp"
        if (path.name.startswith(".") and not mark) or ".partial" in str(path):
            continue
        if path.is_symlink() and not path.exists():
            raise AssertionError(f"{path} points to nothing")
        reader = READERS[".json"] if mark else READERS.get(path.suffix)
        try:
            if reader is not None:
                reader(path)
        except Exception as error:
            raise AssertionError(f"{path}: corrupted: {type(error).__name__}: {error}") from error
        count += 1
    return count


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested dicts and lists with their places; tensors as the digest of their bytes."""
    import torch

    if isinstance(value, dict):
        for key in value:
            yield from _flat(value[key], f"{name}/{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _flat(item, f"{name}/{i}")
    elif isinstance(value, torch.Tensor):
        array = value.detach().contiguous()
        raw = array.view(torch.uint8) if array.dim() and array.numel() else array
        yield name, f"{array.dtype} {tuple(array.shape)} {hashlib.sha256(raw.numpy().tobytes()).hexdigest()[:16]}"
    else:
        yield name, repr(value)


def _weights(path: Path) -> dict[str, str]:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    timed = re.compile(r"^/seconds$|^/reporter/.*(time|gpu_max)")
    return {key: value for key, value in _flat(state) if not timed.search(key)}


def _arrays(path: Path) -> dict[str, str]:
    with np.load(path, allow_pickle=False) as arrays:
        return {n: f"{arrays[n].dtype} {arrays[n].shape} {arrays[n].tobytes().hex()}" for n in arrays.files}


TIMED = re.compile(r'^\W*"?(minutes|date|seconds|started|training)\b.*\n', re.MULTILINE)
"""Lines of results that say when or how long."""


def contents(folder: Path) -> dict[str, Any]:
    """Relative path -> content of every file that matters, without times; what runs differ in is there as a name."""
    found: dict[str, Any] = {}
    for path in made(folder):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.name.startswith(".stage") or path.name in (".lock", "checkpoint.prev.pth"):
            found[name] = "there"  # marks hold times of change; the checkpoint before the last is of any moment
        elif path.suffix == ".pth":
            found[name] = _weights(path)
        elif path.suffix == ".npz":
            found[name] = _arrays(path)
        elif path.suffix in (".wav", ".ark", ".png", ".zip"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            text = path.read_text(encoding="utf-8", errors="surrogateescape").replace(str(folder), "{folder}")
            found[name] = TIMED.sub("", text)
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """AssertionError that names the files that are missing, surplus or different."""
    said = io.StringIO()
    for name in sorted(expected.keys() - found.keys()):
        print(f"missing: {name}", file=said)
    for name in sorted(found.keys() - expected.keys()):
        print(f"left over: {name}", file=said)
    for name in sorted(found.keys() & expected.keys()):
        a, b = found[name], expected[name]
        if a != b:
            keys = [k for k in a.keys() | b.keys() if a.get(k) != b.get(k)] if isinstance(a, dict) else []
            print(f"different: {name} {sorted(keys)[:5]}", file=said)
    assert not said.getvalue(), said.getvalue()
