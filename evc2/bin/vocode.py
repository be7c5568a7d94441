"""Make waveforms from stored features, or by copy-synthesis (analysis and synthesis of recordings)."""

from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, add_vocoder_options, parse_bool, run, setup_logging, vocoder_conf
from evc2.errors import UserError


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", required=True, metavar="DIR", help="feats.scp, f0.scp, feats.yaml; or wav.scp")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for wav/ and wav.scp")
    add_vocoder_options(parser, default="world")
    parser.add_argument("--contract", metavar="FILE.yaml", help="features to use; without: feats.yaml in --data_dir")
    parser.add_argument("--copy_synthesis", type=parse_bool, default=False, help="analyse wav.scp instead of feats.scp")
    parser.add_argument("--coded", type=parse_bool, default=False, help="copy-synthesis through the coded envelope")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N")
    parser.add_argument("--njobs", type=int, default=1, metavar="N", help="parts the list is split into")
    parser.add_argument("--job", type=int, metavar="J", help="do part J of --njobs only (1 to N), then --merge true")
    parser.add_argument("--merge", type=parse_bool, default=False, help="join the lists of all finished jobs, no work")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Vocode."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from evc2.convert.jobs import merge, run_jobs
    from evc2.convert.loading import check_device
    from evc2.convert.vocode import copying, stored
    from evc2.feats.contract import FeatureContract
    from evc2.fileio.datadir import DataDir
    from evc2.vocoder import build_vocoder

    data = DataDir(args.data_dir)
    ids = list(data.table("wav.scp" if args.copy_synthesis and data.segments is None else "utt2spk"))
    if args.merge:
        return merge(ids, args.out, args.njobs)
    of_feats = data.path / "feats.yaml"
    if args.contract is None and not of_feats.is_file():
        raise UserError(f"{data.path}: has no feats.yaml that says what the features are; give --contract")
    contract = FeatureContract.load(args.contract or of_feats)
    vocoder = build_vocoder(args.vocoder, contract, check_device(args.device), **vocoder_conf(args))
    if args.copy_synthesis:
        work = copying(data, vocoder, args.coded)
    else:
        work = stored(data, vocoder, FeatureContract.load(of_feats) if of_feats.is_file() else contract)
    return run_jobs(ids, work, Path(args.out), args.job, args.njobs)


if __name__ == "__main__":
    run(main)
