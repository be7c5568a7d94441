"""Make an anchor row of the evaluation: trials converted without any network."""

from collections.abc import Sequence

from evc2.cli import ArgumentParser, add_vocoder_options, parse_bool, run, setup_logging, vocoder_conf

ANCHORS = ("zero_effort", "analysis_synthesis", "f0", "f0_power", "f0_power_mcep")


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    about = "the source; the reference through a vocoder; the source with converted F0, and power, and means of cepstra"
    parser.add_argument("--anchor", required=True, choices=ANCHORS, help=about)
    parser.add_argument("--stats", required=True, metavar="FILE.npz", help="training statistics")
    parser.add_argument("--contract", required=True, metavar="FILE.yaml", help="feature contract of the statistics")
    parser.add_argument("--data_dir", required=True, metavar="DIR", help="data directory of sources and references")
    parser.add_argument("--trials", required=True, metavar="FILE", help="list of trials")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for wav/ and wav.scp")
    add_vocoder_options(parser, default=None)
    parser.add_argument("--njobs", type=int, default=1, metavar="N", help="parts the list is split into")
    parser.add_argument("--job", type=int, metavar="J", help="do part J of --njobs only (1 to N), then --merge true")
    parser.add_argument("--merge", type=parse_bool, default=False, help="join the lists of all finished jobs, no work")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Make the anchor, a part of it, or join the parts."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from evc2.convert.anchors import anchor
    from evc2.convert.jobs import checked_trials, merge, run_jobs
    from evc2.feats.contract import FeatureContract
    from evc2.feats.stats import Stats
    from evc2.fileio.datadir import DataDir

    data = DataDir(args.data_dir)
    trials = checked_trials(args.trials, data)
    no_reference = [t.id for t in trials.values() if t.reference is None]
    may_lack = no_reference if args.anchor == "analysis_synthesis" else []
    if args.merge:
        return merge(list(trials), args.out, args.njobs, may_lack)
    contract = FeatureContract.load(args.contract)
    work = anchor(args.anchor, data, trials, Stats.load(args.stats), contract, given_vocoder(args, contract))
    ids = [name for name in trials if name not in may_lack]
    run_jobs(ids, work, args.out, args.job, args.njobs)


def given_vocoder(args, contract):
    """The vocoder that was asked for, where the anchor has use for one; None lets the contract decide."""
    conf = vocoder_conf(args)
    if args.vocoder is None or args.anchor != "analysis_synthesis":
        return None  # a recipe gives one vocoder to all anchors
    from evc2.vocoder import build_vocoder

    return build_vocoder(args.vocoder, contract, **conf)


if __name__ == "__main__":
    run(main)
