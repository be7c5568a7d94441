"""ABX discriminability of phones in embeddings, as ZeroSpeech measures it: an error in %, 50 is chance."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError

NO_TASK = "ABX over phone alignments, not the official task"


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(
        description=__doc__,
        epilog="Tasks with times need the length of a row: --frame_seconds, or the recordings' lengths (--data_dir or "
        "--wavs) divided by the number of rows. Official tasks (.abx, needs h5py) of snippets take whole files.",
    )
    add = parser.add_argument
    add(
        "--embeddings", required=True, metavar="DIR|SCP", help="folder of <utterance>.txt, a row a time step; or an scp"
    )
    add("--task", metavar="FILE", help="official task (.abx, HDF5), or a list of items (.item) with times and contexts")
    add("--alignments", metavar="DIR", help="instead of a task: TextGrids with a tier `phones`; items are triphones")
    add("--distance", default="cosine", metavar="A,B", help="cosine, kl, levenshtein; one or several")
    add("--normalize", action="store_true", default=None, help="divide by the path's length; without: cosine only")
    add("--no_normalize", action="store_false", dest="normalize", default=None, help="divide nothing by it")
    add("--speaker", default="across", choices=("across", "within"), help="is X by another speaker than A and B?")
    add("--times", default="auto", choices=("auto", "seconds", "whole"), help="what times of an .abx file mean")
    add("--frame_seconds", type=float, metavar="S", help="seconds of a row, e.g. 0.064")
    add("--data_dir", metavar="DIR", help="data directory: lengths of the utterances; with --alignments also utt2spk")
    add("--wavs", metavar="SCP|DIR", help="recordings, whose lengths count")
    add("--nj", type=int, default=1, help="threads; the result is the same with any number")
    add("--out", metavar="FILE", help="JSON file for the figures")
    return parser


def _items(args):
    """The items of --task or --alignments, and what to call the task."""
    from evc2.evaluate.zerospeech.items import items_of_alignments, read_items
    from evc2.fileio.datadir import DataDir

    if args.task:
        return read_items(args.task), f"items of {args.task}"
    utt2spk = DataDir(args.data_dir).table("utt2spk") if args.data_dir else None
    return items_of_alignments(args.alignments, utt2spk), NO_TASK


def main(cmd: Sequence[str] | None = None) -> None:
    """Print the error of each distance, and write all figures to --out."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    if bool(args.task) == bool(args.alignments):
        raise UserError("what to tell apart? Give --task FILE (.abx or .item) or --alignments DIR, one of them")
    if args.nj < 1:
        raise UserError(f"--nj: expected 1 or more, found {args.nj}")
    if args.frame_seconds is not None and not args.frame_seconds > 0:
        raise UserError(f"--frame_seconds: expected a positive number of seconds, found {args.frame_seconds}")
    from evc2.evaluate import info
    from evc2.evaluate.zerospeech.abx import score
    from evc2.evaluate.zerospeech.abx_file import load_task, read_task, score_task
    from evc2.evaluate.zerospeech.corpus import load
    from evc2.evaluate.zerospeech.distances import parse_kinds
    from evc2.evaluate.zerospeech.embeddings import open_embeddings
    from evc2.evaluate.zerospeech.seconds import find_seconds
    from evc2.fileio.atomic import write_json

    kinds, embeddings = parse_kinds(args.distance), open_embeddings(args.embeddings)
    official = bool(args.task) and Path(args.task).suffix == ".abx"
    if official and args.speaker == "within":
        raise UserError("--speaker within goes with a list of items or alignments; an .abx file has its own triplets")
    if official:
        task, name = read_task(args.task, args.times), f"official task {args.task}"
        timed, names = not task.whole, task.names
    else:
        task, name = _items(args)
        timed, names = True, task.names
    seconds = None
    if timed and args.frame_seconds is None:
        seconds = find_seconds(args.data_dir, args.wavs, [n for n in dict.fromkeys(names) if n in embeddings])
    if official:
        corpus = load_task(task, embeddings, args.frame_seconds, seconds)
    else:
        corpus = load(task.names, task.onsets, task.offsets, embeddings, args.frame_seconds, seconds)
    results = {}
    print(f"{name}, {args.speaker} speakers; {len(corpus.rows)} distinct rows of {corpus.rows.shape[1]} values")
    for kind in kinds:
        if official:
            found = score_task(task, corpus, kind, args.normalize, args.nj)
        else:
            found = score(task, corpus, kind, args.normalize, args.speaker, args.nj)
        found["normalize"] = kind == "cosine" if args.normalize is None else args.normalize
        results[kind] = found
        print(
            f"{kind:<12} error {found['error']:.2f} %  ({found['phone_pairs']} phone pairs, {found['speaker_pairs']} "
            f"speaker pairs, {found['contexts']} contexts, {found['triplets']} triplets)"
        )
    if corpus.missing:
        print(f"{len(corpus.missing)} files have no embedding: {' '.join(corpus.missing[:5])}")
    if args.out:
        words = shlex.join(sys.argv[1:] if cmd is None else cmd)
        about = {"commit": info.commit(), "date": info.now(), "command": f"python -m evc2.bin.zs_abx {words}"}
        result = {"task": name, "speaker": args.speaker, "embeddings": args.embeddings, "official": official}
        write_json(args.out, {**result, "abx": results, "missing": corpus.missing, "about": about})


if __name__ == "__main__":
    run(main)
