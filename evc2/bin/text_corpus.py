"""Write the manifest of a corpus of speech with its text: LJSpeech, LibriSpeech, VCTK, ESD, or one in such a layout."""

from collections.abc import Sequence
from dataclasses import replace

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError, nearest

CORPORA = ("ljspeech", "librispeech", "vctk", "esd")  # those of evc2.fileio.corpora, which --help need not import


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, choices=CORPORA, help="whose layout the folder has")
    parser.add_argument("--db_root", default="", help="folder of the corpus, or one around it")
    parser.add_argument("--manifest", required=True, help="TSV to write, for make_data")
    parser.add_argument(
        "--transcripts",
        "--metadata",
        default="",
        metavar="FILE",
        help="transcripts beside those of the corpus, which they replace where both have one: lines `name<TAB>text` or "
        "`name|raw|normalised`; also looked for in --db_root, where transcripts.tsv is always read",
    )
    parser.add_argument("--speakers", default="", help='speakers to use, e.g. "p225 p226"; empty for all')
    parser.add_argument(
        "--max_per_speaker", type=int, default=0, help="so many utterances of each speaker, drawn; 0 for all"
    )
    parser.add_argument("--max_seconds", type=float, default=15.0, help="longer recordings are left out; 0 for none")
    parser.add_argument(
        "--emotion",
        default="",
        help="of all utterances, whatever the corpus says; empty: the corpus's labels, or `other` (not labelled) where "
        "it has none",
    )
    parser.add_argument(
        "--set", default="", choices=["", "train", "dev", "test"], help="of all utterances; empty: the corpus's own"
    )
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 all")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.fileio.corpora import CORPORA as READERS
    from evc2.fileio.corpora import Selection, read_corpus
    from evc2.fileio.manifest import write_manifest
    from evc2.fileio.pairs import choose_speakers
    from evc2.fileio.trials import EMOTIONS

    if args.emotion not in ("", *EMOTIONS):
        raise UserError(f"--emotion: unknown emotion '{args.emotion}'{nearest(args.emotion, EMOTIONS)}")
    if args.max_seconds < 0 or args.max_per_speaker < 0:
        raise UserError("--max_seconds and --max_per_speaker: expected numbers from 0 on (0: no limit)")
    rows, left_out = read_corpus(args.corpus, args.db_root, args.transcripts)
    select = Selection(args.max_seconds, args.max_per_speaker)
    rows = select(choose_speakers(rows, args.speakers), left_out)
    name = READERS[args.corpus].name
    select.report(name, rows, left_out)
    if not rows:
        raise UserError(f"{name}: all recordings are longer than {args.max_seconds:g} s; raise --max_seconds")
    write_manifest(
        args.manifest, [replace(row, emotion=args.emotion or row.emotion, set=args.set or row.set) for row in rows]
    )


if __name__ == "__main__":
    run(main)
