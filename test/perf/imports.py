#!/usr/bin/env python3
"""Time to start of the commands beside `import torch` (plain): a JSON line each.

python test/perf/imports.py [repeats]
"""

import os
import subprocess
import sys
from pathlib import Path

from side_by_side import alternate, report_times

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "torch": ["-c", "import torch"],
    "evc2 --help": ["-m", "evc2.bin.evc2", "--help"],
    "extract_feats": ["-c", "import evc2.bin.extract_feats, evc2.feats.extract, kaldiio, pyworld, soundfile, soxr"],
    "convert": ["-c", "import evc2.bin.convert; from evc2.convert import EVC; import evc2.systems.cyclegan"],
    "evaluate": ["-c", "import evc2.bin.evaluate, evc2.evaluate.evaluate, pyworld, soundfile, soxr"],
}


def start(words: list[str]) -> None:
    """Run one interpreter from start to end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "ignore", *words], check=True, stdout=subprocess.DEVNULL, env=environment)


def main(repeats: int = 5) -> None:
    """Take turns, so that a busy machine slows all alike; the first round only warms the disk cache."""
    report_times("imports", "start", alternate({k: lambda w=w: start(w) for k, w in COMMANDS.items()}, repeats))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
