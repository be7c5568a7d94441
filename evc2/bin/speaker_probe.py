"""How much of the speaker is left in embeddings: accuracy of a linear classifier on segments of two seconds."""

import logging
import shlex
import sys
from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(
        description=__doc__,
        epilog="The interval takes segments as independent; those of one utterance are not wholly so.",
    )
    add = parser.add_argument
    add(
        "--embeddings", required=True, metavar="DIR|SCP", help="folder of <utterance>.txt, a row a time step; or an scp"
    )
    add("--data_dir", required=True, metavar="DIR", help="data directory with utt2spk, and lengths of the utterances")
    add(
        "--split",
        default="time",
        choices=("time", "utterance"),
        help="time: the first 3/4 of each utterance train, the rest tests; utterance: 3/4 of each speaker's utterances",
    )
    add("--frame_seconds", type=float, metavar="S", help="seconds of a row; without: by the lengths of the utterances")
    add("--segment_seconds", type=float, default=2.0, metavar="S", help="about how long a segment is")
    add("--seed", type=int, default=0, help="of the draw of utterances")
    add("--out", metavar="FILE", help="JSON file for the figures")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the accuracy, and write all figures to --out."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    for name in ("frame_seconds", "segment_seconds"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name}: expected a positive number of seconds, found {value}")
    from evc2.evaluate import info
    from evc2.evaluate.zerospeech.embeddings import matrix, open_embeddings
    from evc2.evaluate.zerospeech.seconds import seconds_of_data
    from evc2.evaluate.zerospeech.speaker_probe import make_segments, probe
    from evc2.fileio.atomic import write_json
    from evc2.fileio.datadir import DataDir

    embeddings, utt2spk = open_embeddings(args.embeddings), DataDir(args.data_dir).table("utt2spk")
    there = [utt for utt in utt2spk if utt in embeddings]
    if len(there) < len(utt2spk):
        logging.warning("%d of %d utterances have no embedding", len(utt2spk) - len(there), len(utt2spk))
    if args.frame_seconds is not None:
        rate = dict.fromkeys(there, 1 / args.frame_seconds)
    else:
        seconds = seconds_of_data(args.data_dir, there)
        rate = {utt: len(matrix(embeddings, utt)) / seconds[utt] for utt in there}
    segments = make_segments(embeddings, utt2spk, rate, args.split, args.segment_seconds, args.seed)
    found = probe(segments)
    print(
        f"speaker accuracy {found['accuracy']:.1f} % (95 %: {found['low']:.1f} to {found['high']:.1f}), chance "
        f"{found['chance']:.1f} %; {found['speakers']} speakers, {found['train']} segments to train, "
        f"{found['test']} to test"
    )
    if args.out:
        words = shlex.join(sys.argv[1:] if cmd is None else cmd)
        about = {"commit": info.commit(), "date": info.now(), "command": f"python -m evc2.bin.speaker_probe {words}"}
        write_json(args.out, {**found, "split": args.split, "embeddings": args.embeddings, "about": about})


if __name__ == "__main__":
    run(main)
