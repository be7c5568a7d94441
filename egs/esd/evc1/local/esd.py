#!/usr/bin/env python3
"""ESD as a manifest and lists of its sets for evc2.bin.make_data.

A speaker with all 350 sentences has the official sets, in each emotion 300 for train, 20 for dev ("evaluation") and 30
for test. With fewer sentences 80, 10 and 10 % of them are drawn, at least one each, and a sentence is in one set in all
emotions, so that every trial has a reference with the same words.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError
from evc2.fileio.atomic import write_text
from evc2.fileio.corpora import read_corpus
from evc2.fileio.corpora.esd import LAYOUT, SENTENCES
from evc2.fileio.manifest import Utterance, require_folder, write_manifest
from evc2.fileio.pairs import choose_speakers
from evc2.fileio.split import by_fractions

HOW = (
    f"Expected {LAYOUT}. ESD is given on request, for research: fill in the form at "
    "https://hltsingapore.github.io/ESD, then name its folder."
)
FIRST_ENGLISH = "0011"  # 0001 to 0010 speak Mandarin
SHARE = 0.1  # of the sentences, for dev and for test
KNOWN = "test_known"  # test sentences of the speakers that train, where others are the test


def sets_of_speaker(rows: Sequence[Utterance], seed: int = 0) -> dict[str, str]:
    """Return utterance -> train, dev or test for the utterances of one speaker, as the module's text says.

    The sentences of dev and test are drawn among those said in all of the speaker's emotions, where there are three.
    """
    sentences: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        sentences[row.sentence].add(row.emotion)
    if len(sentences) >= SENTENCES:
        return {row.utt: row.set for row in rows}
    emotions = {row.emotion for row in rows}
    complete = {name for name, said in sentences.items() if said == emotions}
    if len(complete) < 3:
        complete = set(sentences)
    drawn = by_fractions([row for row in rows if row.sentence in complete], SHARE, SHARE, seed)
    logging.warning(
        "%s: %d sentences instead of %d, so the sets are drawn: %s",
        rows[0].speaker,
        len(sentences),
        SENTENCES,
        ", ".join(
            f"{len({row.sentence for row in rows if drawn.get(row.utt, 'train') == name})} for {name}"
            for name in ("train", "dev", "test")
        ),
    )
    return {row.utt: drawn.get(row.utt, "train") for row in rows}


def make_sets(rows: Sequence[Utterance], strangers: Collection[str] = (), seed: int = 0) -> dict[str, list[Utterance]]:
    """Return set -> utterances.

    With `strangers`, speakers that are not trained on, these alone are the test, with their test sentences; those of
    the others are the set "test_known".

    Raises:
        UserError: a set without utterances.
    """
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for row in rows:
        speakers[row.speaker].append(row)
    sets: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []} | ({KNOWN: []} if strangers else {})
    for speaker, own in speakers.items():
        chosen = sets_of_speaker(own, seed)
        for row in own:
            name = chosen[row.utt]
            if speaker in strangers and name != "test":
                continue
            sets[KNOWN if strangers and name == "test" and speaker not in strangers else name].append(row)
    empty = [name for name, members in sets.items() if not members]
    if empty:
        raise UserError(
            f"ESD: no utterance for {' and '.join(empty)}: {len(rows)} utterances of {' '.join(speakers)} have too few "
            "sentences; expected at least three of a speaker that is trained on"
        )
    return sets


def choose(rows: Sequence[Utterance], speakers: str, strangers: str) -> list[Utterance]:
    """Return the utterances of `speakers` ("0011 0012"; empty: all of English) and of `strangers`.

    Raises:
        UserError: a speaker that the corpus has not, or nobody left to train on.
    """
    both = [names.replace(",", " ").split() for names in (speakers, strangers)]
    known = both[0] or sorted({row.speaker for row in rows if row.speaker >= FIRST_ENGLISH})
    if not set(known) - set(both[1]):
        found = " ".join(sorted({row.speaker for row in rows}))
        raise UserError(
            f"ESD: nobody to train on: --speakers {' '.join(known) or 'of English (none)'} without --test_speakers "
            f"{strangers or '(none)'}; the corpus has {found}"
        )
    return choose_speakers(rows, " ".join(dict.fromkeys(known + both[1])))


def write_lists(folder: str, sets: Mapping[str, Sequence[Utterance]]) -> None:
    """Write <folder>/<set>.txt, an utterance id a line."""
    for name, members in sets.items():
        write_text(Path(folder) / f"{name}.txt", "".join(f"{row.utt}\n" for row in members))


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help="folder with 0011 ... 0020, or one around it")
    parser.add_argument("--transcripts", default="", help="further transcripts, as evc2 text_corpus takes them")
    parser.add_argument("--speakers", default="", help='speakers to use, e.g. "0011 0012"; empty: all of English')
    parser.add_argument("--test_speakers", default="", help="speakers that are not trained on, and alone are the test")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of sentences")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    parser.add_argument("--lists", required=True, help="folder to write with train.txt, dev.txt, test.txt")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    root = require_folder(args.db_root, "ESD", HOW)
    rows, left_out = read_corpus("esd", str(root), args.transcripts)
    for why, names in left_out.items():
        logging.warning("ESD: left out: %d %s: %s%s", len(names), why, " ".join(names[:5]), " ..." * (len(names) > 5))
    strangers = args.test_speakers.replace(",", " ").split()
    sets = make_sets(choose(rows, args.speakers, args.test_speakers), strangers, args.seed)
    write_manifest(args.manifest, [row for members in sets.values() for row in members])
    write_lists(args.lists, sets)


if __name__ == "__main__":
    run(main)
