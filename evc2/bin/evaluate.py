"""Score converted wavs: tables of metrics with intervals, anchors and paired comparisons."""

import shlex
import sys
from collections.abc import Sequence

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging

INCOMPLETE = 3
"""Exit status when some trial could not be scored, or not wholly; the rest is scored and written."""


def get_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(
        description="Score the wavs of one or more systems on a list of trials. Writes scores.tsv (a row a system and "
        "trial), scores.json, RESULTS.md and report.html, a page to listen to. Exit status 3: all done, but some trial "
        "could not be scored. The same command goes on after an interruption."
    )
    parser.add_argument("--trials", required=True, help="list of trials: id, source, speaker, emotion, [reference]")
    parser.add_argument(
        "--data_dir",
        required=True,
        help="data directory with wav.scp and utt2emo of both utterances; where the speaker changes, also utt2spk",
    )
    parser.add_argument(
        "--system",
        required=True,
        action="append",
        metavar="NAME=WHERE",
        help="wav.scp by trial id, a folder of <trial id>.wav, @source or @reference; repeatable, a row each",
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument(
        "--compare",
        metavar="A,B",
        help="compare each system with these; without: zero_effort, f0, f0_power_mcep where present",
    )
    parser.add_argument(
        "--metrics",
        metavar="A,B",
        help="metrics in the order of the columns; if not given, all but mel_l1, mr_stft and pesq_wb, which compare "
        "copies of a recording with it, sample by sample",
    )
    parser.add_argument("--skip_metrics", metavar="A,B", help="metrics to leave out; patterns such as dnsmos* (slow)")
    parser.add_argument(
        "--compare_by",
        default="mcd,mcd_gv,emo_acc_neural,emo_acc_svm,spk_sim_target,spk_changed",
        help="metrics of the paired comparisons in RESULTS.md, as far as they are computed",
    )
    parser.add_argument(
        "--asr_model", default="base.en", help="Whisper model for CER and WER: a folder, or a name on the hub"
    )
    parser.add_argument("--language", default="en", help="of the speech, as Whisper names it")
    parser.add_argument("--judge", metavar="A,B", help="folders of emotion judges (egs/*/ser1), at most one of a kind")
    parser.add_argument("--download", type=parse_bool, default=True, help="a model that is not here may be fetched")
    parser.add_argument("--report", type=parse_bool, default=True, help="write report.html")
    parser.add_argument(
        "--report_trials", default="12", metavar="N|A,B", help="how many trials, or which, the report has players for"
    )
    parser.add_argument("--f0_method", default="dio", choices=("dio", "harvest"), help="harvest takes 70 times as long")
    parser.add_argument("--nj", type=int, default=1, help="processes")
    parser.add_argument("--facts", metavar="FILE", help="JSON with steps, minutes and hardware of the training")
    parser.add_argument("--enrol_dir", metavar="DIR", help="data dir with recordings of speakers whom --data_dir lacks")
    parser.add_argument("--data_name", help="what to call the data in RESULTS.md instead of the folder's name")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--bootstrap", type=int, default=2000, help="resamples of the bootstrap")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command; leaves with status 3 when some trial could not be scored."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.evaluate.evaluate import Options, evaluate
    from evc2.evaluate.settings import Settings

    words = list(sys.argv[1:] if cmd is None else cmd)
    options = Options(
        trials=args.trials,
        data_dir=args.data_dir,
        systems=args.system,
        out=args.out,
        compare=_names(args.compare),
        metrics=_names(args.metrics),
        skip_metrics=_names(args.skip_metrics) or (),
        compare_by=args.compare_by,
        f0_method=args.f0_method,
        nj=args.nj,
        facts=args.facts,
        data_name=args.data_name,
        enrol_dir=args.enrol_dir,
        seed=args.seed,
        draws=args.bootstrap,
        settings=Settings(args.asr_model, args.language, tuple(_names(args.judge) or ()), args.download),
        report=args.report,
        report_trials=int(args.report_trials) if args.report_trials.isdecimal() else _names(args.report_trials),
        command=f"python -m evc2.bin.evaluate {shlex.join(words)}",
    )
    if evaluate(options):
        sys.exit(INCOMPLETE)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    run(main)
