"""Make, check and zip a submission to ZeroSpeech's 2019 track: units of the test files, and converted speech."""

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, add_job_options, check_job_options, parse_bool, run, setup_logging
from evc2.errors import UserError

KINDS = ("bottom", "both", "dense")
LANGUAGES = ("english", "surprise")


def get_parser() -> ArgumentParser:
    """Return the parser: one subcommand an action."""
    parser = ArgumentParser(description=__doc__, config=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    make = actions.add_parser("make", help="write OUT/2019/<language>, metadata and code; a second language joins it")
    add = make.add_argument
    add("--model", required=True, metavar="DIR_OR_PACK", help="trained model of the system vqvae")
    add("--model_file", metavar="NAME", help="weights in the directory; without: the best by validation")
    add("--data_dir", required=True, metavar="DIR", help="data directory of the test files")
    add("--out", required=True, metavar="SUB", help="folder of the submission")
    add("--language", default="english", choices=LANGUAGES, help="of the data")
    add("--rows", default="bottom", choices=KINDS, help="one-hot bottom codes, bottom and top codes, or code vectors")
    add("--auxiliary1", choices=KINDS, help="another embedding to be measured as well")
    add("--auxiliary2", choices=KINDS, help="and another one")
    add("--decimals", type=int, default=6, help="of code vectors")
    add("--wavs", metavar="SCP|DIR", help="converted wavs by trial; goes with --trials")
    add("--trials", metavar="FILE", help="which trial is which file and voice")
    add("--metadata", nargs="+", default=[], metavar="KEY=VALUE|FILE", help="e.g. author=..., or YAML files")
    add("--zip", type=parse_bool, default=False, help="also write SUB.zip")
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N")
    add_job_options(make)

    check = actions.add_parser("validate", help="list all that is wrong; exit status 1 if anything is")
    check.add_argument("submission", metavar="SUB", help="folder or zip archive")
    check.add_argument("--languages", default="english,surprise", metavar="A,B", help="those that must be there")
    check.add_argument("--required", nargs="+", default=[], metavar="FILE", help="official required_filelist of them")
    check.add_argument("--data_dir", metavar="DIR", help="without a list: its utterances are required")
    check.add_argument("--trials", metavar="FILE", help="with --data_dir: their wavs are required")

    pack = actions.add_parser("zip", config=False, help="zip a submission")
    pack.add_argument("submission", metavar="SUB")
    pack.add_argument("out", metavar="OUT.zip")
    return parser


def _make(args: argparse.Namespace, command: str) -> None:
    check_job_options(args)
    if bool(args.wavs) != bool(args.trials):
        raise UserError("--wavs and --trials go together: give both or neither")
    if args.auxiliary2 and not args.auxiliary1:
        raise UserError("--auxiliary2 needs --auxiliary1")
    if args.njobs < 1 or not (args.job is None or 1 <= args.job <= args.njobs):
        raise UserError(f"--job {args.job} of {args.njobs}: expected a job from 1 to the number of jobs")
    from evc2.evaluate.zerospeech.embeddings import require_files
    from evc2.evaluate.zerospeech.submission import AUXILIARY, parse_metadata, track, write_embeddings
    from evc2.fileio.datadir import DataDir

    metadata, data = parse_metadata(args.metadata), DataDir(args.data_dir)
    folder = track(args.out) / args.language
    kinds = {"test": args.rows, AUXILIARY[0]: args.auxiliary1, AUXILIARY[1]: args.auxiliary2}
    kinds = {name: kind for name, kind in kinds.items() if kind}
    if not args.merge:
        from evc2.convert.jobs import utterance
        from evc2.convert.units import load_units

        encode = load_units(args.model, args.model_file, args.device)
        mine = data.utts if args.job is None else data.utts[args.job - 1 :: args.njobs]
        widths = write_embeddings(folder, mine, lambda utt: encode(*utterance(data, utt)), kinds, args.decimals)
        logging.info("%d embeddings with columns %s", len(mine), widths)
    if args.job is None:
        require_files(folder, kinds, data.utts)
        _finish(args, data, metadata, kinds, command)


def _finish(args: argparse.Namespace, data, metadata: dict, kinds: dict[str, str], command: str) -> None:
    """Everything but the embeddings: wavs, metadata, code, the archive."""
    from evc2.evaluate import info
    from evc2.evaluate.zerospeech import submission
    from evc2.evaluate.zerospeech.seconds import wav_table
    from evc2.fileio.trials import read_trials

    if args.trials:
        names = submission.wav_names(read_trials(args.trials), data.table("utt2spk"))
        submission.write_wavs(submission.track(args.out) / args.language / "test", wav_table(args.wavs), names)
        print(f"{len(names)} wavs")
    about = submission.defaults(kinds, info.commit()) | metadata
    submission.write_metadata(args.out, about)
    if about["open source"]:
        submission.write_code(args.out, info.commit(), args.model, command)
    print(f"{args.out}: embeddings of {len(data.utts)} files in {', '.join(kinds)}")
    if args.zip:
        count = submission.write_zip(args.out, f"{args.out}.zip")
        print(f"{args.out}.zip: {count} files, {Path(f'{args.out}.zip').stat().st_size / 2**20:.1f} MiB")


def _validate(args: argparse.Namespace) -> None:
    from evc2.evaluate.zerospeech.submission import wav_names
    from evc2.evaluate.zerospeech.validation import read_required, validate
    from evc2.fileio.datadir import DataDir
    from evc2.fileio.trials import read_trials

    languages = [name.strip() for name in args.languages.split(",") if name.strip()]
    if not languages or set(languages) - set(LANGUAGES):
        raise UserError(f"--languages: expected {' or '.join(LANGUAGES)}, found '{args.languages}'")
    if (args.data_dir and len(languages) > 1) or (args.trials and not args.data_dir):
        raise UserError("--data_dir is of one language, and --trials go with it: give --languages, one of them")
    required = [name for path in args.required for name in read_required(path, languages[0])]
    if args.data_dir:
        data = DataDir(args.data_dir)
        names = [f"{utt}.txt" for utt in data.utts]
        names += wav_names(read_trials(args.trials), data.table("utt2spk")).values() if args.trials else []
        required += [f"{languages[0]}/test/{name}" for name in names]
    problems = validate(args.submission, languages, required)
    if problems:
        raise UserError("\n  ".join([f"{args.submission}: {len(problems)} problems:", *problems]))
    print(f"{args.submission}: valid ({', '.join(languages)}; {len(required)} required files)")


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the action."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    if args.action == "make":
        _make(args, f"python -m evc2.bin.zs_submission {shlex.join(sys.argv[1:] if cmd is None else cmd)}")
    elif args.action == "validate":
        _validate(args)
    else:
        from evc2.evaluate.zerospeech.submission import write_zip

        print(f"{args.out}: {write_zip(args.submission, args.out)} files")


if __name__ == "__main__":
    run(main)
