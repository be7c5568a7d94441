"""Bitrate of units by the formula of ZeroSpeech 2019, and the most that codebooks can take."""

import shlex
import sys
from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(
        description=__doc__,
        epilog="Which files count: those of --list, or all of --wavs or --data_dir; with --trials only the sources of "
        "trials. Files without an embedding are left out, counted and named.",
    )
    add = parser.add_argument
    add("--embeddings", metavar="DIR|SCP", help="folder of <utterance>.txt, a row a time step; or an scp of arks")
    add("--list", metavar="FILE", help="lines `<utterance>.txt <seconds>`, as in the official bitrate_filelist")
    add("--wavs", metavar="SCP|DIR", help="without a list: recordings, whose lengths count")
    add("--data_dir", metavar="DIR", help="without a list: data directory that knows the lengths")
    add("--trials", metavar="FILE", help="count only the sources of these trials")
    add("--codes", metavar="N[,N]", help="upper bound: sizes of the codebooks, or one for all")
    add("--rates", metavar="R[,R]", help="upper bound: codes a second of each codebook")
    add("--out", metavar="FILE", help="JSON file for the figures")
    return parser


def _numbers(name: str, text: str, kind: type) -> list:
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"--{name}: expected numbers joined by commas, found '{text}'") from None


def _seconds(args) -> dict[str, float]:
    """Utterance -> seconds of the files that count."""
    from evc2.evaluate.zerospeech.seconds import find_seconds, read_list
    from evc2.fileio.trials import read_trials

    if sum(map(bool, (args.list, args.wavs, args.data_dir))) != 1:
        raise UserError("give one of --list, --wavs and --data_dir: they say which files count and how long they are")
    names = dict.fromkeys(trial.source for trial in read_trials(args.trials)) if args.trials else None
    if args.list:
        seconds = read_list(args.list)
        seconds = seconds if names is None else {name: seconds[name] for name in names if name in seconds}
    else:
        seconds = find_seconds(args.data_dir, args.wavs, names)
    if not seconds:
        raise UserError(f"{args.trials}: none of its sources is in {args.list or args.wavs or args.data_dir}")
    return seconds


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the figures, and write them to --out."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from evc2.evaluate import info
    from evc2.evaluate.zerospeech.bitrate import bitrate, upper_bound
    from evc2.evaluate.zerospeech.embeddings import open_embeddings
    from evc2.fileio.atomic import write_json

    if not (args.embeddings or args.codes):
        raise UserError("nothing to do: give --embeddings, or --codes and --rates for an upper bound")
    if bool(args.codes) != bool(args.rates):
        raise UserError("--codes and --rates go together: give both or neither")
    result: dict[str, object] = {}
    if args.embeddings:
        found = bitrate(open_embeddings(args.embeddings), _seconds(args))
        result |= {"embeddings": args.embeddings, "list": args.list or args.wavs or args.data_dir, **found.to_dict()}
        print(f"bitrate {found.bits_per_second:.2f} bit/s")
        print(f"{found.rows} rows (N) of {found.files} files, {found.seconds:.2f} seconds (D)")
        print(f"{found.symbols} distinct rows, entropy {found.entropy:.4f} bit")
        if found.missing:
            print(f"{len(found.missing)} files have no embedding and are left out: {' '.join(found.missing[:5])}")
    if args.codes:
        bound = upper_bound(_numbers("rates", args.rates, float), _numbers("codes", args.codes, int))
        result["upper_bound"] = bound
        print(f"upper bound {bound:.2f} bit/s: codebooks of {args.codes} codes at {args.rates} codes a second")
    if args.out:
        words = shlex.join(sys.argv[1:] if cmd is None else cmd)
        about = {"commit": info.commit(), "date": info.now(), "command": f"python -m evc2.bin.zs_bitrate {words}"}
        write_json(args.out, {**result, "about": about})


if __name__ == "__main__":
    run(main)
