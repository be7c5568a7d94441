"""Measure the styles of speakers and emotions on a list of recordings of one's choice, and store them with the model.

Training does so on its own data after each epoch. This is for another list: the best recordings of an emotion, or a few
new ones of a speaker that the model knows.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError

TAKEN = r"checkpoint.*\.pth|.*epoch\.pth|.*\.best\.pth|latest\.pth|.*\.ave_.*\.pth"
"""Names of files that a training writes and removes."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="model directory exp/<tag>/<phase> of a seq2seq system")
    add("--model_file", metavar="NAME", help="weights in the directory; without: the best by validation")
    add("--data_dir", required=True, metavar="DIR", help="feature directory (stage 3) with utt2spk and utt2emo")
    add("--utts", metavar="FILE", help="utterances to measure, one a line; without: all")
    add(
        "--out",
        default="styles.pth",
        metavar="NAME",
        help="weights to write into the model directory, for --model_file",
    )
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Measure, and write the weights with what was found."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    if Path(args.out).name != args.out or not args.out.endswith(".pth"):
        raise UserError(f"--out {args.out}: expected a file's name that ends in .pth; it goes to the model directory")
    if re.fullmatch(TAKEN, args.out):
        raise UserError(f"--out {args.out}: trainings write files of such names; choose another, such as styles.pth")
    if Path(args.model).is_file():
        raise UserError(
            f"--model {args.model}: expected a model directory (exp/<tag>/<phase>), where the weights go, found a "
            f"file; a pack can be made of them afterwards (evc2 pack --model_file {args.out})"
        )
    from evc2.convert.loading import load_model
    from evc2.convert.styles import measure
    from evc2.train.checkpoint import save_model

    model, _ = load_model(args.model, args.model_file, args.device)
    counts = measure(model, args.data_dir, args.utts)
    save_model(model.state_dict(), Path(args.model) / args.out)
    for speaker, emotion, count in counts:
        print(f"{speaker:<20} {emotion:<12} {count:>5}")
    print(f"{Path(args.model) / args.out}: use it with --model_file {args.out}")


if __name__ == "__main__":
    run(main)
