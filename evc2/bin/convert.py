"""Convert the emotion or the voice of a recording, of a folder of recordings, or of the trials of a data directory."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, add_vocoder_options, parse_bool, run, setup_logging
from evc2.errors import UserError

EXIT_SKIPPED = 3
OPTIONS = (
    "speaker", "source_emotion", "intensity", "spectrum_intensity", "f0", "spectrum", "power", "envelope", "duration",
    "style", "style_seed", "target_speaker",
)  # fmt: skip


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(
        description=__doc__,
        usage="%(prog)s --model DIR_OR_PACK (--emotion E | --direction A2B | --target_speaker S) [options] IN OUT\n"
        "       %(prog)s --model DIR_OR_PACK --data_dir D --trials T --out O [--njobs N --job J] [options]",
        epilog="IN and OUT are two files, or two folders. A folder's recordings that cannot be converted are listed "
        "and left out, and the exit status is then 3.",
    )
    add = parser.add_argument
    add("inout", nargs="*", metavar="IN OUT", help="recording (wav, flac, ogg, mp3; any rate) or folder; and result")
    add("--model", required=True, metavar="DIR_OR_PACK", help="model directory exp/<tag>/<phase>, or a pack (.zip)")
    add("--model_file", metavar="NAME", help="weights in the directory; without: the best by validation")
    add("--emotion", metavar="E", help="target emotion; trials name their own")
    add("--direction", choices=("A2B", "B2A"), help="instead of --emotion, for a system between two emotions A and B")
    add("--target_speaker", metavar="S", help="whose voice, for systems that convert it; trials name their own")
    add("--source_emotion", metavar="E", help="emotion of the recording; without: the model's other one, or utt2emo")
    add("--speaker", metavar="S", help="who speaks, if a training speaker; without: any voice, or utt2spk")
    add("--intensity", type=float, default=1.0, metavar="X", help="0 is the source, 1 the conversion, up to 2")
    add("--spectrum_intensity", type=float, metavar="X", help="of the spectrum alone; without: --intensity")
    add(
        "--f0", choices=("convert", "keep", "cwt"), default="convert", help="what to do with the pitch; cwt: --f0_model"
    )
    add("--f0_model", metavar="DIR_OR_PACK", help="model of the system cyclegan_cwt, which converts pitch contours")
    add("--spectrum", choices=("network", "gaussian", "keep"), default="network", help="what changes the spectrum")
    add("--power", choices=("network", "gaussian", "keep"), help="what changes the power; without: the system's choice")
    add("--envelope", choices=("differential", "direct"), default="differential",
        help="filter the measured envelope by the change, or synthesise the converted cepstra")  # fmt: skip
    add("--duration", choices=("keep", "scale"), default="keep", help="scale: as the emotion does in the training data")
    add("--input", choices=("recording", "text"), default="recording",
        help="of trials, by systems that take both: what is said comes from the source, or from its text")  # fmt: skip
    add("--style", choices=("mean", "reference", "random", "token"), help="whose style; without: the system's default")
    add("--reference", metavar="WAV", help="recording whose style to copy, with --style reference")
    add("--style_seed", type=int, default=0, metavar="N", help="of --style random")
    add("--plot", type=parse_bool, default=False, help="also draw spectrogram and F0, source above, converted below")
    add("--details", type=parse_bool, default=False,
        help="OUT is a folder: gen/ (conversions), ref/ (sources through the vocoder), plots/")  # fmt: skip
    add_vocoder_options(parser, default=None)
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N")
    add("--data_dir", metavar="DIR", help="data directory with the trials' sources")
    add("--trials", metavar="FILE", help="list of trials; without: trials in the data directory")
    add("--out", metavar="DIR", help="folder for wav/, plots/ and wav.scp of the trials")
    add("--njobs", type=int, default=1, metavar="N", help="parts the list of trials is split into")
    add("--job", type=int, metavar="J", help="do part J of --njobs only (1 to N), then --merge true")
    add("--merge", type=parse_bool, default=False, help="join the lists of all finished jobs, no conversion")
    return parser


def check_args(parser: ArgumentParser, args) -> None:
    """Leave with status 2 where options do not go together."""
    if args.data_dir is not None:
        if args.inout or args.out is None:
            parser.error("--data_dir goes with --out, and without IN OUT")
        if args.emotion or args.direction or args.target_speaker:
            parser.error(
                "with --data_dir the trials say what to convert to; leave out --emotion, --direction, --target_speaker"
            )
        if args.details:
            parser.error("--details goes with IN OUT, not with --data_dir")
        return
    if len(args.inout) != 2:
        parser.error(f"expected IN and OUT (or --data_dir, --trials and --out), found {len(args.inout)} names")
    if args.trials or args.out or args.job or args.merge:
        parser.error("--trials, --out, --job and --merge go with --data_dir")
    if args.input == "text":
        parser.error("--input text goes with --data_dir; to say any other text use evc2 synthesize")
    if args.emotion and args.direction:
        parser.error("give either --emotion or --direction")
    if not (args.emotion or args.direction or args.target_speaker):
        parser.error("convert to what? Give --emotion or --direction, or --target_speaker for another voice")


def check_pairs(args) -> None:
    """UserError for options that need one another, before anything is loaded."""
    if (args.f0 == "cwt") != (args.f0_model is not None):
        raise UserError("--f0 cwt and --f0_model DIR_OR_PACK go together: give both or neither")
    if (args.style == "reference") != (args.reference is not None) and not (args.data_dir and args.reference is None):
        raise UserError("--style reference and --reference WAV go together: give both or neither")


def main(cmd: Sequence[str] | None = None) -> None:
    """Convert."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    check_args(parser, args)
    setup_logging()
    check_pairs(args)
    options = {name: getattr(args, name) for name in OPTIONS}
    if args.data_dir is not None:
        return convert_data_dir(args, options)
    source, target = map(Path, args.inout)
    if not source.exists():
        raise UserError(f"{source}: expected a recording or a folder, found nothing")
    from evc2.convert.batch import convert_file, convert_folder
    from evc2.convert.command import load, style_reference

    evc = load(args)
    if args.direction:
        expected, args.emotion = evc.direction(args.direction)
        if options["source_emotion"] not in (None, expected):
            raise UserError(f"direction {args.direction} starts from {expected}, not {options['source_emotion']}")
    options |= {"emotion": args.emotion, "reference": style_reference(args, evc)}
    details = None
    if target.is_file() and (source.is_dir() or args.details):
        why = "because of --details" if args.details else f"because {source} is one"
        raise UserError(f"{target}: expected a folder, {why}, found a file")
    if args.details:
        from evc2.convert.details import Details, check_details

        check_details(evc.model)
        details = Details(target)
        target = details.gen
    if not source.is_dir():
        print(convert_file(evc, source, target, options, args.plot, details))
        if details:
            print(details.finish())
        return None
    result = convert_folder(evc, source, target, options, args.plot, details)
    print(f"{target}: {result['done']} converted, {len(result['skipped'])} skipped, {result['other']} other files")
    if details:
        print(details.finish())
    if result["skipped"]:
        for name, reason in result["skipped"].items():
            print(f"skipped {name}: {reason}", file=sys.stderr)
        sys.exit(EXIT_SKIPPED)
    return None


def convert_data_dir(args, options: dict) -> None:
    """Convert trials, or join the lists of jobs that have done so."""
    from evc2.convert.attempts import report_attempts
    from evc2.convert.jobs import checked_trials, merge
    from evc2.fileio.datadir import DataDir

    data = DataDir(args.data_dir)
    trials = checked_trials(args.trials or data.path / "trials", data)
    if args.merge:
        merge(list(trials), args.out, args.njobs)
        return report_attempts(args.out, trials)
    from evc2.convert.batch import convert_trials
    from evc2.convert.command import load, style_reference

    evc = load(args)
    if args.input == "text" and not evc.model.reads_text:
        raise UserError(
            f"--input text: {type(evc.model).__name__} reads no text; leave it out, and what is said comes from the "
            f"recordings"
        )
    if not evc.model.converts or args.input == "text":  # before the reference, which is heard in its own way
        from evc2.convert.tts import TTS
        from evc2.convert.tts_batch import speak_trials

        evc, convert_trials = TTS.of(evc), speak_trials
    options["reference"] = style_reference(args, evc)
    logging.info("%d trials", len(trials))
    convert_trials(evc, data, trials, Path(args.out), options, args.plot, args.job, args.njobs)
    if args.job is None:
        report_attempts(args.out, trials)
    return None


if __name__ == "__main__":
    run(main)
