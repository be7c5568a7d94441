"""Speed of ABX distances against a plain numpy loop, and whether memory grows with the number of pairs.

Prints a JSON line for each. Items are 10 random rows of 128 values, so all rows are distinct (units, of which there are
few kinds, are faster). The plain loop makes each pair's matrix of angles by numpy and warps it cell by cell. Memory is
the most that a process of its own held that scored a task: the same items, sorted into many contexts or into few.

    OMP_NUM_THREADS=1 python test/perf/abx.py --pairs 1000000 --nj 2
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from side_by_side import largest_rss, report

ROOT = Path(__file__).parents[2]
FRAMES, DIMS, ITEMS = 10, 128, 2000
sys.path.insert(0, str(ROOT))


def corpus(count: int, frames: int):
    """`count` items of random rows."""
    from evc2.evaluate.zerospeech.corpus import load

    rng = np.random.default_rng(0)
    rows = {f"u{k}": rng.standard_normal((frames, DIMS)) for k in range(count)}
    nan = np.full(count, np.nan)
    return rows, load(list(rows), nan, nan, rows)


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """Warped and normalised angle of rows [N, D] and [M, D], by numpy and a loop over cells."""
    size = np.sqrt((x * x).sum(1))[:, None] * np.sqrt((y * y).sum(1))
    cost = np.arccos(np.clip(x @ y.T / size, -1, 1)) / np.pi
    n, m = cost.shape
    cost[0], cost[:, 0] = np.cumsum(cost[0]), np.cumsum(cost[:, 0])
    for i in range(1, n):
        for j in range(1, m):
            cost[i, j] += min(cost[i - 1, j], cost[i - 1, j - 1], cost[i, j - 1])
    i, j, cells = n - 1, m - 1, 1
    while i > 0 and j > 0:
        step = np.argmin((cost[i - 1, j - 1], cost[i, j - 1], cost[i - 1, j]))
        i, j, cells = i - (step != 1), j - (step != 2), cells + 1
    return cost[n - 1, m - 1] / (cells + i + j)


def score(contexts: int, nj: int) -> None:
    """Score a task of ITEMS items of two speakers and two phones; print the pairs and the peak of memory."""
    from evc2.evaluate.zerospeech import abx
    from evc2.evaluate.zerospeech.items import make_items

    _, loaded = corpus(ITEMS, 3)
    rows = [(f"u{k}", 0.0, 1.0, f"p{k // 2 % 2}", f"c{k // 4 % contexts}", f"s{k % 2}") for k in range(ITEMS)]
    found = abx.score(make_items(rows), loaded, nj=nj)
    print(json.dumps({"pairs": found["pairs"], "mib": largest_rss()}))


def peak(contexts: int, nj: int) -> dict[str, float]:
    """What a process that scores says."""
    words = [sys.executable, __file__, "--contexts", str(contexts), "--nj", str(nj)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="pairs of items (1000000)")
    parser.add_argument("--plain_pairs", type=int, default=3000, help="pairs of the plain loop (3000)")
    parser.add_argument("--nj", type=int, default=2, help="threads (2)")
    parser.add_argument("--contexts", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contexts:
        score(args.contexts, args.nj)
        return
    from evc2.evaluate.zerospeech.distances import prepare

    side = int(np.ceil(np.sqrt(args.pairs)))
    rows, loaded = corpus(side, FRAMES)
    pairs = np.stack([axis.reshape(-1) for axis in np.mgrid[:side, :side]], axis=1)[: args.pairs]
    prepared = prepare(loaded, "cosine")
    prepared.pairs(pairs[:10])  # compiles, unless that is in the cache
    names = list(rows)
    some = pairs[np.random.default_rng(0).permutation(len(pairs))[: args.plain_pairs]]
    begin = time.perf_counter()
    expected = [plain(rows[names[a]], rows[names[b]]) for a, b in some]
    per_pair = (time.perf_counter() - begin) / len(some)
    np.testing.assert_allclose(prepared.pairs(some), expected, atol=1e-7)
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    prepared.pairs(pairs, args.nj)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
    few, many = peak(ITEMS * ITEMS // 200_000, args.nj), peak(ITEMS * ITEMS // 2_000_000, args.nj)
    case = f"{len(pairs)} pairs of {FRAMES} x {DIMS} values, {args.nj} threads"
    report("abx", case, per_pair * len(pairs), seconds, "s", cpu_seconds=round(used, 2), plain_pairs=len(some))
    task = {"task_pairs": [few["pairs"], many["pairs"]], "growth_mib": round(many["mib"] - few["mib"], 1)}
    report("abx", "memory of a task with ten times the pairs", few["mib"], many["mib"], "MiB", **task)


if __name__ == "__main__":
    main()
