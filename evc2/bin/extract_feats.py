"""Extract the features of a data directory into arks (stage 3)."""

import os
from collections.abc import Sequence

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError

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
    parser.add_argument("--job", type=int, help="do only this part (1 to --njobs), without joining")
    parser.add_argument("--njobs", type=int, default=1, help="number of parts")
    parser.add_argument("--merge", type=parse_bool, default=False, help="only join the parts, after all jobs")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Do one part, join the parts, or both."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    if args.merge and args.job is not None:
        raise UserError("--merge true comes after all jobs: leave out --job")
    if args.job is None and not args.merge and args.njobs != 1:
        raise UserError(f"--njobs {args.njobs} needs --job (1 to {args.njobs}) or --merge true")
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
