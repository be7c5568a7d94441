"""Join trained emotion classifiers of all folds and seeds to a judge, and measure it on unseen speakers."""

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging

EPILOG = """EXP has a folder fold<F>.seed<S> for each fold F of --spk2fold and some seeds S, as ser.sh trains them.
OUT/judge.json and OUT/*.pth are what `evc2 evaluate --judge OUT` reads; OUT/RESULTS.md is for people."""


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--exp", required=True, help="folder of the trainings")
    parser.add_argument("--model_file", default="latest.pth", help="weights in each of them")
    parser.add_argument("--data_dir", required=True, help="features to measure on: natural speech and copies of it")
    parser.add_argument("--spk2fold", required=True, help="file of `speaker fold` lines")
    parser.add_argument("--out", required=True, help="folder for the judge")
    parser.add_argument("--data_name", help="what to call the data in RESULTS.md")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.evaluate import info
    from evc2.evaluate.judge_accuracy import accuracy_table
    from evc2.evaluate.ser_folds import assemble, markdown, measure_judge
    from evc2.fileio.atomic import write_text

    judge, trainings = assemble(Path(args.exp), args.model_file, args.spk2fold)
    logging.info("%d networks of %d folds", sum(map(len, judge.members.values())), len(judge.members))
    figures = measure_judge(judge, args.data_dir)
    judge.accuracy = figures["judge"]
    words = list(sys.argv[1:] if cmd is None else cmd)
    judge.about = {
        "name": "log-mel network",
        "data": args.data_name or args.data_dir,
        "trainings": trainings,
        "single": figures["single"],
        "by_fold": figures["by_fold"],
        "commit": info.commit(),
        "hardware": info.hardware(),
        "date": info.now(),
        "command": f"python -m evc2.bin.ser_judge {shlex.join(words)}",
    }
    judge.save(args.out)
    write_text(Path(args.out) / "RESULTS.md", markdown(judge))
    print(accuracy_table(figures["single"]))


if __name__ == "__main__":
    run(main)
