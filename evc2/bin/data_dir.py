"""Check, mend, cut or join Kaldi data directories."""

import argparse
from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError
from evc2.fileio import copies, datadir
from evc2.fileio.select import of_speakers, read_ids, select

WAYS = ("first", "last", "shortest", "speakers", "per_spk")


def get_parser() -> ArgumentParser:
    """Return the parser: one subcommand an action, with the options of Kaldi's scripts of that purpose."""
    parser = ArgumentParser(description=__doc__, config=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    validate = actions.add_parser("validate", config=False, help="check a directory; list all that is wrong")
    for what in ("wav", "text", "feats"):
        validate.add_argument(f"--no_{what}", action="store_true", help=f"the directory may lack {what}")
    validate.add_argument("--need", nargs="+", default=[], metavar="NAME", help="files that must exist besides")
    validate.add_argument("data_dir")

    fix = actions.add_parser("fix", config=False, help="sort; drop what is not in all files; remake spk2utt")
    fix.add_argument("data_dir")

    subset = actions.add_parser(
        "subset", config=False, help="make a smaller directory", usage="%(prog)s [options] SRC [NUMBER] DST"
    )
    for way in WAYS:
        what = {"per_spk": "NUMBER of each speaker", "speakers": "whole speakers, about NUMBER utterances"}.get(way)
        subset.add_argument(f"--{way}", action="store_true", help=what or f"the {way} NUMBER utterances")
    subset.add_argument("--utt_list", metavar="FILE", help="the utterances listed there")
    subset.add_argument("--spk_list", metavar="FILE", help="the utterances of the speakers listed there")
    subset.add_argument("args", nargs="+", help="SRC NUMBER DST, or SRC DST with a list")

    combine = actions.add_parser("combine", config=False, help="join directories")
    combine.add_argument("dst")
    combine.add_argument("srcs", nargs="+", metavar="SRC")

    copy = actions.add_parser("copy", config=False, help="labels of SRC with other utterance ids or other audio")
    copy.add_argument("--utt_suffix", default="", help="added to every utterance id")
    copy.add_argument("--wav_scp", metavar="FILE", help="audio by SRC's ids instead of its own")
    copy.add_argument(
        "--set", action="append", default=[], metavar="TABLE=VALUE", help="e.g. utt2vocoder=world, for all"
    )
    copy.add_argument("src")
    copy.add_argument("dst")
    return parser


def _validate(args: argparse.Namespace) -> None:
    need = ["utt2spk", "spk2utt", *args.need]
    need += [
        name
        for name, off in (("wav.scp", args.no_wav), ("text", args.no_text), ("feats.scp", args.no_feats))
        if not off
    ]
    datadir.validate(args.data_dir, need=need)
    data = datadir.DataDir(args.data_dir)
    print(f"{args.data_dir}: valid; {len(data.utts)} utterances, {len(data.speakers)} speakers")


def _subset(args: argparse.Namespace) -> None:
    ways = [way for way in WAYS if getattr(args, way)]
    lists = [name for name in (args.utt_list, args.spk_list) if name]
    if len(ways) + len(lists) > 1:
        raise UserError(f"subset: choose one of --{', --'.join(WAYS)}, --utt_list and --spk_list")
    if len(args.args) != (2 if lists else 3):
        raise UserError(f"subset: expected {'SRC DST' if lists else 'SRC NUMBER DST'}, found: {' '.join(args.args)}")
    source, *middle, destination = args.args
    data = datadir.DataDir(source)
    if args.utt_list:
        utts = read_ids(args.utt_list)
    elif args.spk_list:
        utts = of_speakers(data, read_ids(args.spk_list))
    elif middle[0].isdecimal() and int(middle[0]) > 0:
        utts = select(data, int(middle[0]), ways[0] if ways else "spread")
    else:
        raise UserError(f"subset: expected a positive number of utterances, found '{middle[0]}'")
    datadir.subset(source, destination, utts)


def main(cmd: Sequence[str] | None = None) -> None:
    """Do one action."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    if args.action == "validate":
        _validate(args)
    elif args.action == "fix":
        datadir.fix(args.data_dir)
    elif args.action == "subset":
        _subset(args)
    elif args.action == "copy":
        values = dict(word.partition("=")[::2] for word in args.set)
        if any(not name.startswith("utt2") or not value for name, value in values.items()):
            raise UserError(f"copy: expected --set utt2<name>=<value>, found: {' '.join(args.set)}")
        copies.copy(args.src, args.dst, args.utt_suffix, args.wav_scp, values)
    else:
        datadir.combine(args.dst, args.srcs)


if __name__ == "__main__":
    run(main)
