"""Learn how strongly utterances show their emotion (relative attributes, as in Emovox), and write utt2strength."""

import logging
from collections.abc import Sequence

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging

EPILOG = """utt2strength (utterance, 0 to 1; neutral and unlabelled speech: 0) goes into every directory. Printed: how
many pairs of an emotional and a neutral utterance of one speaker are in order, and, where utt2intensity tells both, of
a strong and a normal one of one speaker and emotion, of which learning is told nothing. Sources: Parikh and Grauman,
Relative attributes, ICCV 2011; Zhou et al., Emovox, IEEE Transactions on Affective Computing 2022."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--train_dir", required=True, metavar="DIR", help="to learn from: feats.scp utt2spk utt2emo [f0.scp power.scp]")
    add("--dirs", nargs="*", default=[], metavar="DIR", help="further ones that get utt2strength: dev and test sets")
    add("--out", required=True, metavar="FILE", help="the .npz file for the ranking functions")
    add("--c", type=float, default=0.1, help="weight of the pairs against the size of a ranking function")
    add("--similarity", type=float, default=1.0, help="weight of pairs that should have equal strength; 0: none")
    add(
        "--limits",
        choices=("quantile", "range"),
        default="quantile",
        help="strength 0 and 1 are the median of neutral speech and the 95th percentile of the emotion | the lowest "
        "and the highest of both",
    )
    add("--within_speaker", type=parse_bool, default=True, help="compare only utterances of one speaker")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Learn, write, print the table."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from evc2.feats.relative_attributes import RelativeAttributes
    from evc2.feats.strength import read_sets, strengths, table
    from evc2.fileio.datadir import write_table

    sets = read_sets([args.train_dir, *args.dirs])
    train = sets[0]
    how = {name: getattr(args, name) for name in ("c", "similarity", "limits", "within_speaker")}
    model = RelativeAttributes.fit(train.x, train.speakers, train.emotions, **how)
    values = [strengths(model, one) for one in sets]  # all of them before any is written
    model.save(args.out)
    for one, found in zip(sets, values, strict=True):
        write_table(f"{one.folder}/utt2strength", {u: f"{v:.4f}" for u, v in zip(one.utts, found, strict=True)})
        logging.info("%s/utt2strength: %d utterances", one.folder, len(one.utts))
    print(table(model, sets))


if __name__ == "__main__":
    run(main)
