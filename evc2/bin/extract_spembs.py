"""Compute a vector of every speaker's voice, or bring those of another program into the same form."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, add_job_options, check_job_options, run, setup_logging
from evc2.errors import UserError

EPILOG = """Writes spk2spembs.{ark,scp} (a speaker: the mean of the utterances' vectors, of unit length),
spembs.{ark,scp} (an utterance; not for vectors that were given by speaker) and spembs.yaml (kind, dim, rate). Without
--job everything is done here. In parallel: --job 1 .. --job N with --njobs N, then once --njobs N --merge true."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--data_dir", required=True, metavar="DIR", help="data directory; its audio may have any rate")
    add(
        "--kind",
        default="resemblyzer",
        metavar="KIND|PATH",
        help="resemblyzer (256 values), deepspeaker (512, needs --weights), or vectors that are there already, by "
        "speaker or by utterance: .scp, .ark, .npz, or a folder of <speaker>.npy or <speaker>-spker_embed.npy",
    )
    add("--weights", metavar="FILE", help="the encoder's weights; deepspeaker: the published Keras file (.h5)")
    add("--out", required=True, metavar="DIR", help="folder to write to; may be --data_dir")
    add("--by", choices=("speaker", "utterance"), help="write only the vectors of speakers, or of utterances")
    add("--emotions", nargs="+", metavar="EMOTION", help="use only utterances of these, e.g. neutral")
    add("--plot", metavar="PNG", help="draw the vectors in two dimensions (t-SNE): a colour a speaker")
    add_job_options(parser)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Do one part, join the parts, or both."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    check_job_options(args)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one job, one thread; read when torch is imported

    from evc2.convert import spembs
    from evc2.convert.voice_map import check_plot, plot_voices
    from evc2.convert.voices import KINDS, encoder, own_share
    from evc2.fileio.datadir import DataDir

    data, out = DataDir(args.data_dir), Path(args.out)
    foreign = args.kind not in KINDS
    if foreign and not Path(args.kind).exists():
        raise UserError(f"--kind {args.kind}: expected {', '.join(KINDS)}, or an existing file or folder of vectors")
    if foreign and args.weights:
        raise UserError(
            "--weights goes with --kind resemblyzer or deepspeaker, not with vectors that are there already"
        )
    if args.plot:
        check_plot(args.plot)
    utts = spembs.chosen_utts(data, args.emotions or ())
    spembs.check_out(data, utts, out, args.by)
    out.mkdir(parents=True, exist_ok=True)
    if foreign:
        if args.job is not None:
            print(f"{args.kind}: nothing to compute; --merge true brings the vectors into form")
            return
        by_utt, by_speaker = spembs.foreign_vectors(data, utts, args.kind)
    else:
        if not args.merge:
            encoder(args.kind, args.weights)  # a missing file of weights is said before any audio is read
            spembs.compute_part(data, utts, args.kind, args.weights, out, args.job or 1, args.njobs)
        if args.job is not None:
            return
        by_utt = spembs.join_parts(utts, out, args.njobs)
        by_speaker = spembs.speaker_means(by_utt, data.table("utt2spk"))
    if not by_utt and args.by == "utterance":
        raise UserError(f"{args.kind}: holds vectors by speaker; --by utterance needs one of every utterance")
    spembs.write_vectors(out, args.kind, by_utt, by_speaker, args.by)
    share = own_share(by_utt, data.table("utt2spk")) if by_utt else None
    told = "" if share is None else f"; {100 * share:.1f} % of the utterances are closest to their own speaker's others"
    print(
        f"{out}: vectors of {len(by_speaker)} speakers, {len(by_utt)} utterances, "
        f"{len(next(iter(by_speaker.values())))} values{told}"
    )
    if args.plot:  # last, and no failure: vectors that took minutes must not hang on a picture of them
        genders = data.table("spk2gender") if data.has("spk2gender") else None
        try:
            plot_voices(args.plot, by_utt, by_speaker, data.table("utt2spk"), genders)
        except UserError as error:
            logging.warning("%s; the vectors are written, without a picture", error)


if __name__ == "__main__":
    run(main)
