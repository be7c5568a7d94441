"""Speak text with an emotion: one sentence, a list, or the trials of a data directory."""

import logging
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import (
    ArgumentParser,
    add_job_options,
    add_vocoder_options,
    check_job_options,
    parse_bool,
    run,
    setup_logging,
)
from evc2.errors import UserError

EPILOG = """A list has lines `id|speaker|emotion|text` or `id|speaker|emotion|text|recording.wav`; OUT/wav/<id>.wav is
made. With --tokens soft the emotion is that of the line's recording. A text in braces is phones, of the kind the model
learned: {D AO1 G Z} in ARPAbet, {d ˈɑː ɡ z} in IPA; silence at the ends is added. Of trials the source's words are said
by the target's speaker, with --tokens soft as an utterance of the target emotion by somebody else."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(
        description=__doc__,
        usage="%(prog)s --model DIR_OR_PACK --text T --speaker S (--emotion E | --ref_audio WAV) --out WAV [options]\n"
        "       %(prog)s --model DIR_OR_PACK --list FILE --out OUT [--tokens soft] [options]\n"
        "       %(prog)s --model DIR_OR_PACK --data_dir D [--trials T] --out OUT [--tokens soft] [options]",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="DIR_OR_PACK", help="model directory exp/<tag>/<phase>, or a pack (.zip)")
    add("--model_file", metavar="NAME", help="weights in the directory; without: the best by validation")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", metavar="T", help="what to say")
    what.add_argument("--list", metavar="FILE", help="what to say, line by line")
    what.add_argument("--data_dir", metavar="DIR", help="data directory with text and trials")
    add("--trials", metavar="FILE", help="list of trials; without: trials in the data directory")
    add("--speaker", metavar="S", help="who speaks, of the training's speakers (of --text)")
    add("--voice_wav", metavar="WAV", help="instead of --speaker, for models on speaker vectors: a voice to speak in")
    add(
        "--spembs_weights",
        metavar="FILE",
        help="weights of the speaker encoder, where it needs some (deepspeaker)",
    )
    add("--emotion", metavar="E", help="one of the training's emotions (of --text): the hard token")
    add("--ref_audio", metavar="WAV", help="instead of --emotion: a recording to take it from, the soft token")
    add("--tokens", choices=("hard", "soft"), default="hard", help="of lists and trials")
    add("--intensity", type=float, default=1.0, metavar="X", help="of the emotion: 0 is neutral, 1 as learned, up to 2")
    add("--speed", type=float, default=1.0, metavar="X", help="rate of speech, 2 is twice as fast")
    add("--pitch", type=float, default=0.0, metavar="SEMITONES", help="up or down; beside 0 through WORLD once more")
    add(
        "--plot",
        type=parse_bool,
        default=False,
        help="also draw the spectrogram and its phones (of --text, of trials)",
    )
    add(
        "--out",
        required=True,
        metavar="OUT",
        help="file or existing folder (of --text); else folder for wav/ and wav.scp",
    )
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N")
    add_vocoder_options(parser, default=None)
    add_job_options(parser)
    return parser


def check_args(args) -> None:
    """UserError for options that do not go together, before anything is loaded."""
    check_job_options(args)
    if args.text is None:
        given = [f"--{name}" for name in ("speaker", "voice_wav", "emotion", "ref_audio") if getattr(args, name)]
        if given:
            raise UserError(f"{', '.join(given)}: goes with --text; a list or the trials name their own")
        return
    if args.job or args.merge or args.trials:
        raise UserError("--job, --merge and --trials go with --list or --data_dir")
    if bool(args.emotion) == bool(args.ref_audio):
        raise UserError("give either --emotion E (hard token) or --ref_audio WAV (soft token)")
    if bool(args.speaker) == bool(args.voice_wav):
        raise UserError("give either --speaker S or --voice_wav WAV")


def say(tts, args, controls) -> Path:
    """Say --text; returns the file that was written."""
    from evc2.fileio.audio import read_audio, write_audio

    out = Path(args.out)
    if out.is_dir():
        name = "".join(c if c.isalnum() else "_" for c in args.text[:100]).strip("_") or "text"
        who, how = args.speaker or Path(args.voice_wav).stem, args.emotion or Path(args.ref_audio).stem
        out = out / f"{name}_{who}_{how}.wav"
    asked = {"emotion": args.emotion} if args.emotion else {"reference": read_audio(args.ref_audio)}
    voice = tts.voice(*read_audio(args.voice_wav), args.spembs_weights) if args.voice_wav else None
    wav, info = tts.synthesize(args.text, args.speaker, **asked, voice=voice, controls=controls)
    write_audio(out, wav, info["rate"])
    if args.plot:
        from evc2.convert.tts_plot import draw_speech

        title = f"{args.speaker or 'voice of ' + Path(args.voice_wav).name}: {args.text}"
        draw_speech(out.with_suffix(".png"), info, title, tts.contract.frame_seconds)
    if args.ref_audio and "scores" in info:
        ranked = sorted(info["scores"].items(), key=lambda pair: -pair[1])[:3]
        print("heard in the recording: " + ", ".join(f"{name} {score:.2f}" for name, score in ranked))
    return out


def main(cmd: Sequence[str] | None = None) -> None:
    """Speak."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    check_args(args)

    from evc2.convert.attempts import report_attempts
    from evc2.convert.command import load_tts
    from evc2.convert.jobs import checked_trials, merge
    from evc2.convert.tts import Controls
    from evc2.convert.tts_batch import read_list, speak_list, speak_trials
    from evc2.fileio.datadir import DataDir

    how = {name: getattr(args, name) for name in ("intensity", "speed", "pitch")}
    controls, parts = Controls(**how), (args.job, args.njobs)
    if args.text is not None:
        print(say(load_tts(args), args, controls))
        return
    if args.list is not None:
        lines = read_list(args.list)
        ids = [line.id for line in lines]
    else:
        data = DataDir(args.data_dir)
        ids = list(trials := checked_trials(args.trials or data.path / "trials", data))
        logging.info("%d trials", len(trials))
    if args.merge:
        merge(ids, args.out, args.njobs)
    elif args.list is not None:
        speak_list(load_tts(args), lines, Path(args.out), args.tokens == "soft", controls, *parts)
    else:  # hard: without a style, systems take the emotion by its name
        options = {**how, "style": "reference" if args.tokens == "soft" else None}
        speak_trials(load_tts(args), data, trials, Path(args.out), options, args.plot, *parts)
    if args.job is None:
        report_attempts(args.out, ids)


if __name__ == "__main__":
    run(main)
