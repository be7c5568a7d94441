"""Pack a trained model into one file for `evc2 convert --model`."""

from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="DIR", help="model directory, exp/<tag>/<phase>")
    parser.add_argument("--model_file", metavar="NAME", help="weights in it; without: the best by validation")
    parser.add_argument("--out", required=True, metavar="FILE.zip", help="the pack to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Write the pack."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from evc2.convert.export import pack_model

    weights = pack_model(args.model, args.out, args.model_file)
    print(f"{args.out}: {Path(args.out).stat().st_size / 2**20:.1f} MiB, weights of {weights}")


if __name__ == "__main__":
    run(main)
