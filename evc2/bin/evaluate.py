"""Score converted wavs: tables of metrics with intervals, anchors and paired comparisons."""

import shlex
import sys
from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging

INCOMPLETE = 3
"""Exit status when some trial could not be scored, or not wholly; the rest is scored and written."""


def get_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(
        description="Score the wavs of one or more systems on a list of trials. Writes scores.tsv (a row a system and "
        "trial), scores.json and RESULTS.md. Exit status 3: all done, but some trial could not be scored."
    )
    parser.add_argument("--trials", required=True, help="list of trials: id, source, speaker, emotion, [reference]")
    parser.add_argument("--data_dir", required=True, help="data directory with wav.scp and utt2emo of both utterances")
    parser.add_argument(
        "--system",
        required=True,
        action="append",
        metavar="NAME=WHERE",
        help="wav.scp by trial id, a folder of <trial id>.wav, @source or @reference; repeatable, a row each",
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument(
        "--compare",
        metavar="A,B",
        help="compare each system with these; without: zero_effort, f0, f0_power_mcep where present",
    )
    parser.add_argument("--metrics", metavar="A,B", help="metrics in the order of the columns; all if not given")
    parser.add_argument("--compare_by", default="mcd,mcd_gv", help="metrics of the paired comparisons in RESULTS.md")
    parser.add_argument("--f0_method", default="dio", choices=("dio", "harvest"), help="harvest takes 70 times as long")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    parser.add_argument("--facts", metavar="FILE", help="JSON with steps, minutes and hardware of the training")
    parser.add_argument("--data_name", help="what to call the data in RESULTS.md instead of the folder's name")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--bootstrap", type=int, default=2000, help="resamples of the bootstrap")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command; leaves with status 3 when some trial could not be scored."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.evaluate.evaluate import Options, evaluate

    words = list(sys.argv[1:] if cmd is None else cmd)
    options = Options(
        trials=args.trials,
        data_dir=args.data_dir,
        systems=args.system,
        out=args.out,
        compare=_names(args.compare),
        metrics=_names(args.metrics),
        compare_by=args.compare_by,
        f0_method=args.f0_method,
        nj=args.nj,
        facts=args.facts,
        data_name=args.data_name,
        seed=args.seed,
        draws=args.bootstrap,
        command=f"python -m evc2.bin.evaluate {shlex.join(words)}",
    )
    if evaluate(options):
        sys.exit(INCOMPLETE)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    run(main)
