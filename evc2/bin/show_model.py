#!/usr/bin/env python3
"""Print the networks of a configured model and their parameters."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from evc2.cli import ArgumentParser, run
from evc2.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = ArgumentParser(description=__doc__, config=False)
    parser.add_argument("--config", required=True, help="training configuration (YAML) or exp/.../config.yaml")
    parser.add_argument("--contract", help="feature contract, for the training configuration of a vocoder")
    return parser


def vocoder(config: dict[str, Any], contract: str | None) -> Any:
    """The vocoder of a configuration; its sizes depend on the features."""
    from evc2.feats.contract import FeatureContract
    from evc2.tasks.vocoder import build

    if contract is None and not isinstance(config.get("feats_contract"), dict):
        raise UserError("the sizes of a vocoder depend on its features: give --contract conf/feats_<name>.yaml")
    found = FeatureContract.load(contract) if contract else FeatureContract.from_dict(config["feats_contract"])
    return build(config["vocoder"], config.get("vocoder_conf") or {}, found)


def main(cmd: Sequence[str] | None = None) -> None:
    """Print a row ``network  parameters`` a network (each distinct one once), and the total."""
    args = get_parser().parse_args(cmd)
    import yaml

    from evc2.systems import build, get_class, voices_like

    try:
        with open(args.config, encoding="utf-8") as f:
            config = yaml.safe_load(f)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{args.config}: expected a readable YAML file: {error}") from error
    if not isinstance(config, dict) or not {"system", "vocoder"} & set(config):
        raise UserError(f"{args.config}: expected a key 'system' or 'vocoder', found neither")
    if "vocoder" in config:
        model = vocoder(config, args.contract)
    else:
        conf = config.get("system_conf") or {}
        if conf.get("domains") == []:  # the training data will say which
            print("two domains, A and B, stand for those of the training data", file=sys.stderr)
            conf = {**conf, "domains": ["A", "B"]}
        if "voices" in conf and not conf.get("speakers"):
            print("102 speakers, two of them V001 and V002, stand for those of the training data", file=sys.stderr)
            speakers = [*(f"S{k:03d}" for k in range(1, 101)), "V001", "V002"]
            conf = {**conf, "speakers": speakers, "voices": voices_like(speakers, conf["voices"])}
        if get_class(config["system"]).reads_text and not conf.get("speakers"):
            counts = {key: n for key, n in get_class(config["system"]).counts.items() if not conf.get(key)}
            said = ", ".join(f"{n} {key}" for key, n in counts.items())
            print(f"{said} stand for those of the training data", file=sys.stderr)
            conf = {**conf, **{key: [f"{key}{k}" for k in range(n)] for key, n in counts.items()}}
        model = build(config["system"], conf)
    total = 0
    for name, network in model.networks().items():
        count = sum(p.numel() for p in network.parameters())
        total += count
        print(f"{name:<24}{count:>14,}")
    print(f"{'total':<24}{total:>14,}")


if __name__ == "__main__":
    run(main)
