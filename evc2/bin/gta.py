"""Write teacher-forced mel spectrograms of a system, for the fine-tuning of a vocoder on them (voc.sh --gta)."""

from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, add_job_options, check_job_options, run, setup_logging


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="DIR_OR_PACK", help="model directory or pack")
    parser.add_argument(
        "--model_file", metavar="NAME", help="weights in the directory; without: the best by validation"
    )
    parser.add_argument("--data_dir", required=True, help="data directory with the features that the system reads")
    parser.add_argument("--out", required=True, help="folder to write feats.scp and feats.yaml to")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N")
    add_job_options(parser)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Do one part, join the parts, or both."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    check_job_options(args)
    from evc2.convert.loading import contract_of
    from evc2.feats.contract import FeatureContract
    from evc2.feats.dump import hold_contract, merge_extract
    from evc2.fileio.datadir import DataDir

    data, out = DataDir(args.data_dir), Path(args.out)
    contract = contract_of(args.model)
    FeatureContract.load(data.path / "feats.yaml").require_same(contract, f"features in {data.path}", "model")
    hold_contract(out, contract)
    if not args.merge:
        from evc2.convert.evc import EVC
        from evc2.convert.gta import gta_part

        evc = EVC.from_pretrained(args.model, args.model_file, args.device)
        gta_part(evc, data, out, args.job or 1, args.njobs)
    if args.merge or args.job is None:
        number = merge_extract(data.path, contract, out, args.njobs, which=("feats",))
        print(f"{out}: teacher-forced features of {number} utterances")


if __name__ == "__main__":
    run(main)
