"""Print a feature contract, or the name of the folder below dump/ that its features go to."""

from collections.abc import Sequence

from evc2.cli import ArgumentParser, parse_bool, run


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--contract", required=True, help="feature contract (conf/feats_<name>.yaml)")
    parser.add_argument("--dirname", type=parse_bool, default=False, help="print the folder's name only")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Print `name_digest`, and unless --dirname true every key with its value."""
    args = get_parser().parse_args(cmd)
    from evc2.feats.contract import FeatureContract

    contract = FeatureContract.load(args.contract)
    print(contract.dirname)
    if not args.dirname:
        for key, value in contract.to_dict().items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    run(main)
