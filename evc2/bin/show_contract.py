"""Print a feature contract, or the name of the folder below dump/ that its features go to."""

from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, parse_bool, run
from evc2.errors import UserError


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--contract", help="feature contract (conf/feats_<name>.yaml)")
    what.add_argument(
        "--needs_of",
        metavar="CONFIG",
        help="training configuration: print the contract that it is for, and what it needs of the text (learned: "
        "phones with learned durations; phones: these alone; none: nothing)",
    )
    parser.add_argument("--dirname", type=parse_bool, default=False, help="print the folder's name only")
    return parser


def needs(path: str) -> tuple[str, str]:
    """The feature contract that a training configuration names, and ``learned``, ``phones`` or ``none``."""
    import yaml

    from evc2.systems import READS_TEXT

    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: expected a readable YAML file: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected a training configuration, found no keys")
    contract = config.get("feats_contract") or "conf/feats_world.yaml"
    return str(contract), READS_TEXT.get(str(config.get("system")), "none")


def main(cmd: Sequence[str] | None = None) -> None:
    """Print `name_digest`, and unless --dirname true every key with its value."""
    args = get_parser().parse_args(cmd)
    if args.needs_of:
        print(*needs(args.needs_of))
        return
    from evc2.feats.contract import FeatureContract

    contract = FeatureContract.load(args.contract)
    print(contract.dirname)
    if not args.dirname:
        for key, value in contract.to_dict().items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    run(main)
