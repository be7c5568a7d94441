"""Extract the features of a data directory into arks (stage 3)."""

import os
from collections.abc import Sequence

from evc2.cli import ArgumentParser, add_job_options, check_job_options, run, setup_logging

EPILOG = """Without --job everything is done here. In parallel: --job 1 .. --job N with --njobs N, then once --njobs N
--merge true, which checks that all is there and writes feats.scp, f0.scp, power.scp and utt2num_frames."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--data_dir", required=True, help="data directory")
    parser.add_argument("--contract", required=True, help="feature contract (conf/feats_<name>.yaml)")
    parser.add_argument("--out", required=True, help="folder to write to; may be --data_dir")
    parser.add_argument(
        "--spk2f0range", help="file of `speaker floor ceil` in Hz; without it --data_dir's own spk2f0range, if any"
    )
    add_job_options(parser)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Do one part, join the parts, or both."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    check_job_options(args)
    # One job, one thread: parallel work is the jobs' number. Read by numpy's BLAS when it is imported, so before it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from evc2.feats.contract import FeatureContract
    from evc2.feats.dump import extract_part, hold_contract, merge_extract

    contract = FeatureContract.load(args.contract)
    hold_contract(args.out, contract)
    if not args.merge:
        extract_part(args.data_dir, contract, args.out, args.job or 1, args.njobs, args.spk2f0range)
    if args.merge or args.job is None:
        number = merge_extract(args.data_dir, contract, args.out, args.njobs)
        print(f"{args.out}: features of {number} utterances, contract {contract.dirname}")


if __name__ == "__main__":
    run(main)
