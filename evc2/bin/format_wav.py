"""Resample, cut, trim and level the audio of a data directory; leave out what cannot be used (stage 2)."""

from collections.abc import Sequence

from evc2.cli import ArgumentParser, add_job_options, check_job_options, parse_bool, run, setup_logging
from evc2.errors import UserError

EPILOG = """Without --job everything is done here. In parallel: --job 1 .. --job N with --njobs N, then once --njobs N
--merge true. OUT is a data directory afterwards; OUT/skipped lists what was left out and why."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--data_dir", required=True, help="data directory; wav.scp may hold pipes, segments are cut")
    parser.add_argument("--contract", required=True, help="feature contract (conf/feats_<name>.yaml); gives the rate")
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--trim", type=parse_bool, default=True, help="cut the silence before and after, less 50 ms")
    parser.add_argument("--trim_db", type=float, default=40.0, help="silence is this far below the loudest frame (dB)")
    parser.add_argument(
        "--textgrids", help="folder of <utterance>.TextGrid; cut from the first phone to the last instead of by level"
    )
    parser.add_argument("--tier", default="phones", help="tier of the TextGrids")
    parser.add_argument(
        "--loudness",
        type=float,
        help="raise quieter utterances to this level in dBFS, e.g. -30; as recorded without it",
    )
    parser.add_argument(
        "--vad",
        default="none",
        choices=["none", "energy", "webrtc"],
        help="cut pauses beyond about half a second, found by their level or by WebRTC's detector",
    )
    parser.add_argument("--min_seconds", type=float, default=0.1, help="shorter utterances are bad")
    parser.add_argument("--max_seconds", type=float, help="longer utterances are left out; no limit without it")
    parser.add_argument("--max_bad", type=float, default=0.05, help="more bad utterances than this share are an error")
    add_job_options(parser)
    return parser


def _bounds_of(args):
    from evc2.feats.prepare import Bounds
    from evc2.fileio.datadir import DataDir
    from evc2.text.durations import TextGrids, read_alignment

    if args.vad != "none":
        raise UserError("give either --textgrids or --vad: where pauses are cut out, the TextGrids are no longer right")
    data, grids = DataDir(args.data_dir), TextGrids(args.textgrids)
    found = grids.match(data.table("utt2spk"), grids.stems(data))

    def bounds(utt: str) -> Bounds | str:
        if utt not in found:
            return "no TextGrid"
        try:
            times = read_alignment(found[utt], args.tier).times
        except UserError as error:
            return " ".join(str(error).split())
        return Bounds(times[0], times[-1], str(found[utt].relative_to(grids.folder)))

    return bounds


def main(cmd: Sequence[str] | None = None) -> None:
    """Do one part, join the parts, or both."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    check_job_options(args)

    from evc2.feats.contract import FeatureContract
    from evc2.feats.dump import format_part, hold_contract, merge_format
    from evc2.feats.prepare import Preparation
    from evc2.fileio.datadir import validate

    contract = FeatureContract.load(args.contract)
    hold_contract(args.out, contract)
    if not args.merge:
        validate(args.data_dir, need=("wav.scp", "utt2spk"))
        how = Preparation(
            trim_db=args.trim_db if args.trim else None,
            min_seconds=args.min_seconds,
            max_seconds=float("inf") if args.max_seconds is None else args.max_seconds,
            loudness=args.loudness,
            vad=args.vad,
        )
        bounds_of = _bounds_of(args) if args.textgrids else None
        format_part(args.data_dir, contract, args.out, args.job or 1, args.njobs, how, bounds_of)
    if args.merge or args.job is None:
        kept, skipped = merge_format(args.data_dir, contract, args.out, args.njobs, args.max_bad)
        print(f"{args.out}: {kept} utterances at {contract.rate} Hz, {skipped} skipped")


if __name__ == "__main__":
    run(main)
