"""Stage 1 of the recipes: a corpus's manifest becomes Kaldi data directories train, dev and test with trials."""

import logging
from collections.abc import Sequence

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", required=True, help="TSV with the columns that evc2/fileio/manifest.py lists")
    parser.add_argument(
        "--train_manifest",
        action="append",
        default=[],
        metavar="FILE",
        help="manifest of another corpus whose utterances join the training set alone, whatever lists, columns, "
        "--speakers and --emotion_map say; repeatable",
    )
    parser.add_argument("--out", required=True, help="folder to write, e.g. data/speaker_dependent")
    parser.add_argument(
        "--lists",
        default="",
        help="folder with train.txt, dev.txt and test.txt of utterance ids; without it the manifest's column `set` "
        "decides, and where that is empty too the fractions below",
    )
    parser.add_argument("--dev_fraction", type=float, default=0.1, help="of each speaker and emotion")
    parser.add_argument("--test_fraction", type=float, default=0.1, help="of each speaker and emotion")
    parser.add_argument(
        "--dev_least",
        type=int,
        default=3,
        help="where the manifest has train and test but no dev, it is drawn from train: --dev_fraction of each speaker "
        "and emotion with so many utterances",
    )
    parser.add_argument(
        "--same_words", type=parse_bool, default=True, help="draw sentences instead of utterances for the fractions"
    )
    parser.add_argument(
        "--test_count",
        type=int,
        default=0,
        help="so many utterances of each speaker for test, --dev_count for dev, whatever the column `set` says; 0: no",
    )
    parser.add_argument("--dev_count", type=int, default=10, help="with --test_count")
    parser.add_argument(
        "--count_least",
        type=int,
        default=100,
        help="with --test_count: speakers with fewer utterances are cut by the fractions",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw by fractions or counts")
    parser.add_argument("--emotion_map", default="", help='renames emotions, e.g. "excited:happy,calm:neutral"')
    parser.add_argument("--speakers", default="", help='speakers to use, e.g. "4 7"; empty for all')
    parser.add_argument("--max_speakers", type=int, default=0, help="of these, the first so many by name; 0 for all")
    parser.add_argument(
        "--domain_by", default="emotion", choices=["emotion", "speaker"], help="what a conversion changes"
    )
    parser.add_argument(
        "--directions",
        default="",
        help='conversions to try, e.g. "neutral:angry,angry:neutral", or "4:7,7:4" by speaker (empty: each to each); '
        "none: there are no trials",
    )
    parser.add_argument("--sources", default="", help="instead of --directions: emotions (speakers) to start from")
    parser.add_argument("--targets", default="", help="instead of --directions: emotions (speakers) to go to")
    parser.add_argument(
        "--trials",
        default="",
        help="file of lines `utterance target`: the trials of the sets that those utterances are in, whatever the "
        "directions",
    )
    parser.add_argument("--intensity", default="", help="of sources and references, e.g. strong; empty for any")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 all")
    return parser


def _directions(args: object) -> str:
    if args.directions and (args.sources or args.targets):
        raise UserError("give either --directions or --sources with --targets, not both")
    if args.directions or args.domain_by == "speaker":
        return args.directions
    if not (args.sources and args.targets):
        raise UserError("which conversions? Give --directions neutral:angry or --sources neutral --targets angry")
    lists = [names.replace(",", " ").split() for names in (args.sources, args.targets)]
    return " ".join(f"{source}:{target}" for source in lists[0] for target in lists[1] if source != target)


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.fileio.corpus import add_to_train, summary, write_corpus
    from evc2.fileio.manifest import parse_emotion_map, read_manifest
    from evc2.fileio.pairs import (
        check_directions,
        choose_speakers,
        listed_trials,
        make_trials,
        parse_directions,
        report_trials,
        speaker_directions,
    )
    from evc2.fileio.split import by_column, by_counts, by_fractions, by_lists, cut, hold_out

    by, text, none = args.domain_by, _directions(args), args.directions == "none"
    directions = parse_directions(text) if by == "emotion" and not none else []
    utterances = choose_speakers(read_manifest(args.manifest, parse_emotion_map(args.emotion_map)), args.speakers)
    if args.max_speakers < 0:
        raise UserError(f"--max_speakers: expected a number from 0 on (0: all), found {args.max_speakers}")
    if args.max_speakers:
        first = set(sorted({row.speaker for row in utterances})[: args.max_speakers])
        utterances = [row for row in utterances if row.speaker in first]
    levels = {row.intensity for row in utterances} - {""}
    if args.intensity and levels and args.intensity not in levels:
        raise UserError(f"--intensity {args.intensity}: the corpus has {' '.join(sorted(levels))}")
    if args.lists:
        chosen = by_lists(utterances, args.lists)
    elif args.test_count:
        shares = (args.dev_fraction, args.test_fraction)
        chosen = by_counts(utterances, args.dev_count, args.test_count, args.count_least, shares, args.seed)
    else:
        chosen = by_column(utterances) or by_fractions(
            utterances, args.dev_fraction, args.test_fraction, args.seed, args.same_words
        )
        if set(chosen.values()) == {"train", "test"}:
            chosen = hold_out(utterances, chosen, args.dev_fraction, args.dev_least, args.seed)
    sets = cut(utterances, chosen)
    if by == "speaker" and not none:
        directions = speaker_directions(text, sets["train"], args.sources, args.targets)
    else:
        check_directions(directions, sets["train"])
    trials = listed_trials(args.trials, sets, by) if args.trials else {}
    for name in sets:
        if name != "train" and name not in trials and not none:
            trials[name] = make_trials(sets[name], directions, args.intensity, by)
    for name, those in trials.items():
        report_trials(name, those, needed=name != "dev")
    for path in args.train_manifest:
        add_to_train(sets, read_manifest(path), path)
    write_corpus(args.out, sets, trials)
    logging.info("wrote %s", args.out)
    print(summary(sets))


if __name__ == "__main__":
    run(main)
