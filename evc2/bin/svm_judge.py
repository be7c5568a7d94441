"""Train an emotion judge of eGeMAPS and linear support vector machines, and measure it on unseen speakers."""

import os
import shlex
import sys
from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging

EPILOG = """The data directory has wav.scp, utt2spk and utt2emo. utt2vocoder (natural, world, hifigan ...) says which
utterances are copies by a vocoder, without it all are natural; with utt2intensity strong speech is also counted by
itself. OUT/judge.json and OUT/weights.npz are the judge; OUT/RESULTS.md is for people."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--data_dir", required=True, help="data directory of natural speech and copies of it")
    parser.add_argument("--spk2fold", required=True, help="file of `speaker fold` lines; a fold's speakers are unseen")
    parser.add_argument("--out", required=True, help="folder for the judge")
    parser.add_argument("--train_on", metavar="A,B", help="kinds of speech to train on; all if not given")
    parser.add_argument("--emotions", metavar="A,B", help="emotions to tell apart; all of the data if not given")
    parser.add_argument(
        "--c",
        type=float,
        nargs="+",
        default=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
        help="regularisations; one is chosen for each fold by cross-validation over its training speakers",
    )
    parser.add_argument("--feats_dir", help="folder that keeps the features; --out if not given")
    parser.add_argument("--nj", type=int, default=1, help="processes that extract features")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Extract, train, measure, write OUT/{judge.json,weights.npz,RESULTS.md} and print the accuracies."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    # One process, one thread: parallel work is --nj. Read by numpy's BLAS when it is imported, so before it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from importlib.metadata import version
    from pathlib import Path

    from evc2.errors import UserError
    from evc2.evaluate import info
    from evc2.evaluate.svm_data import read_examples, read_folds
    from evc2.evaluate.svm_report import accuracy_lines, markdown
    from evc2.evaluate.svm_training import measure, train
    from evc2.fileio.atomic import write_text

    if args.nj < 1:
        raise UserError(f"--nj: expected 1 or more, found {args.nj}")
    folds = read_folds(args.spk2fold)
    examples, left_out = read_examples(args.data_dir, folds, args.feats_dir or args.out, args.nj, _names(args.emotions))
    there = sorted(set(examples.vocoders.tolist()))
    kinds = _names(args.train_on) or there
    for kind in kinds:
        if kind not in there:
            raise UserError(f"--train_on: no speech of kind '{kind}' in {args.data_dir}; there is {', '.join(there)}")
    import numpy as np

    training = examples.some(np.isin(examples.vocoders, kinds))
    judge = train(training, folds, args.c)
    judge.accuracy = measure(judge, examples)
    words = list(sys.argv[1:] if cmd is None else cmd)
    judge.about |= {
        "name": "eGeMAPS + SVM",
        "data": f"{args.data_dir}, {len(examples)} utterances of {len(judge.folds)} speakers",
        "left_out": left_out,
        "trained_on": kinds,
        "features": "eGeMAPSv02 functionals, 16 kHz, silence at both ends trimmed",
        "versions": {name: version(name) for name in ("opensmile", "scikit-learn", "numpy")},
        "commit": info.commit(),
        "date": info.now(),
        "command": f"python -m evc2.bin.svm_judge {shlex.join(words)}",
    }
    judge.save(args.out)
    write_text(Path(args.out) / "RESULTS.md", markdown(judge))
    print("\n".join(accuracy_lines(judge)))


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    run(main)
