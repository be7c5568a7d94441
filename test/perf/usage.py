"""What a command and all its processes use: time, memory of the largest process, open files, bytes written."""

import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Usage:
    """What a command has used.

    Attributes:
        seconds: from its start to its end.
        cpu_seconds: processor time of all its processes, which other loads on the machine change less.
        peak_mb: the most memory that one of its processes held (2**20 bytes), pages of mapped files included.
        open_files: the most files that one process had open at a time, as sampled: standard streams and log included.
        processes: how many of the command's processes were seen.
        written_mb: handed to the file system to write.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    open_files: int = 0
    processes: int = 0
    written_mb: float = 0.0


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


def _tree(pid: int) -> list[int]:
    found, new = [], [pid]
    while new:
        found.append(new.pop())
        try:
            new += _children(found[-1])
        except OSError:  # ended meanwhile
            continue
    return found


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0  # a zombie has none


def _written() -> int:
    # The account of a process takes over those of its children as it waits for them.
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def _sample(pid: int, usage: Usage, seen: set[int], ended: threading.Event, every: float) -> None:
    while not ended.wait(every):
        for one in _tree(pid):
            try:
                usage.peak_mb = max(usage.peak_mb, _peak(one))
                usage.open_files = max(usage.open_files, len(os.listdir(f"/proc/{one}/fd")))
            except OSError:
                continue
            seen.add(one)


def watch(command: list[str], every: float = 0.02, **options: object) -> Usage:
    """Run a command (as subprocess.Popen, which takes the options) and say what it used; Linux only.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    usage, seen, ended = Usage(), set(), threading.Event()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before, begin = _written(), time.perf_counter()
    process = subprocess.Popen(command, **options)
    sampler = threading.Thread(target=_sample, args=(process.pid, usage, seen, ended, every))
    sampler.start()
    _, status, used = os.wait4(process.pid, 0)
    usage.seconds = time.perf_counter() - begin
    ended.set()
    sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    usage.cpu_seconds = used.ru_utime + used.ru_stime
    if used.ru_maxrss > own:  # the largest of all its processes; a child counts what its parent held at the fork
        usage.peak_mb = max(usage.peak_mb, used.ru_maxrss / 1024)
    usage.written_mb = (_written() - before) / 2**20
    usage.processes = len(seen)
    return usage
