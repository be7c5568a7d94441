#!/usr/bin/env python3
"""Time to start of the commands as ratios to `import torch`: one JSON line.

python test/perf/imports.py [repeats]
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "torch": ["-c", "import torch"],
    "evc2 --help": ["-m", "evc2.bin.evc2", "--help"],
    "extract_feats": ["-c", "import evc2.bin.extract_feats, evc2.feats.extract, kaldiio, pyworld, soundfile, soxr"],
    "convert": ["-c", "import evc2.bin.convert; from evc2.convert import EVC; import evc2.systems.cyclegan"],
    "evaluate": ["-c", "import evc2.bin.evaluate, evc2.evaluate.evaluate, pyworld, soundfile, soxr"],
}


def seconds(words: list[str]) -> float:
    """Wall time of one interpreter from start to end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def main(repeats: int = 5) -> None:
    """Take turns, so that a busy machine slows all alike; the first round only warms the disk cache."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round_ in range(repeats + 1):
        for name, words in COMMANDS.items():
            elapsed = seconds(words)
            if round_ > 0:
                times[name].append(elapsed)
    middle = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: round(value / middle["torch"], 3) for name, value in middle.items() if name != "torch"}
    print(json.dumps({"what": "start time / import torch", "torch_s": round(middle["torch"], 3), **ratios}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
