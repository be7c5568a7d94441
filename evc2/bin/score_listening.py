"""Score a listening test: MOS, speaker similarity and preferences with intervals."""

import shlex
import sys
from collections.abc import Sequence

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging


def get_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(
        description="Score the answers of a listening test. Writes listening.tsv, listening.json and LISTENING.md."
    )
    parser.add_argument("--test", required=True, metavar="DIR", help="folder made by make_listening_test, with the key")
    parser.add_argument(
        "--answers", nargs="+", default=[], metavar="FILE", help="answers beside the server's: .json, .csv, .sqlite"
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--max_failed_checks", type=int, default=0, help="attention checks that a listener may fail")
    parser.add_argument("--keep_all", type=parse_bool, default=False, help="count also who failed checks or stopped")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--bootstrap", type=int, default=2000, help="resamples of the bootstrap")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.listening.results import write_results
    from evc2.listening.score import score

    scores = score(args.test, args.answers, args.max_failed_checks, args.keep_all, args.seed, args.bootstrap)
    words = shlex.join(sys.argv[1:] if cmd is None else cmd)
    print(write_results(args.out, scores, f"python -m evc2.bin.score_listening {words}"), end="")


if __name__ == "__main__":
    run(main)
