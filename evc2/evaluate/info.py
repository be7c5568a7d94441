"""Where, when and of what a result was made: commit, hardware, date, and facts about the training."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from evc2.errors import UserError


def commit(folder: Path | None = None) -> str:
    """The commit that this code is at, with "-dirty" when tracked files differ from it; "unknown" without git."""
    folder = folder or Path(__file__).resolve().parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def hardware() -> str:
    """Model of the processor and the number of cores that this process may use."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = " ".join(value.split())
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{model or platform.processor() or platform.machine()}, {cores} core{'s' if cores > 1 else ''}"


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def read_facts(path: str | os.PathLike[str]) -> dict[str, str]:
    """Facts about the training from a JSON object, such as {"steps": 12000, "minutes": 41.5, "hardware": "..."}.

    Returns:
        key -> value as text; nested values are left out.

    Raises:
        UserError: missing file, or one that holds no such object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--facts: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"--facts: {path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"--facts: {path}: expected an object with steps, minutes and hardware")
    facts = {}
    for key, value in content.items():
        if isinstance(value, float):
            facts[str(key)] = f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
        elif isinstance(value, str | int) and not isinstance(value, bool):
            facts[str(key)] = " ".join(str(value).split())
    if not facts:
        raise UserError(f"--facts: {path}: holds no plain value; expected steps, minutes and hardware")
    return facts
