#!/usr/bin/env python3
"""Write the stored lists local/splits/*/{train,dev,test,test_*}.txt of RAVDESS anew. They are the same each time.

speaker_dependent: every actor trains. Test is statement 2, repetition 2 of all actors; dev is statement 1, repetition 2
of five actors. Actor_07's happy recordings 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07 are the same file byte for
byte, so both train.
seen_unseen: the actors of speaker_disjoint's test are test_unseen, whole; the other eighteen are cut as in
speaker_dependent (with five dev actors of their own), so that one model is tested on held-out utterances of actors it
knows and on actors it does not.
transfer: four actors, two of them women, give the training nothing but neutral speech (repetition 1); their emotional
speech, whole, and the rest of their neutral is test_transfer: emotions that were heard from others, in their voices.
The other twenty are cut as in speaker_dependent (with five dev actors of their own).
speaker_disjoint: six actors are tested, two are for development, sixteen train; three of the six are women.
"""

from collections.abc import Sequence
from pathlib import Path

from ravdess import names_of

from evc2.cli import ArgumentParser, run
from evc2.fileio.atomic import write_text

DEV_ACTORS = (4, 9, 14, 19, 24)
SEEN_DEV_ACTORS = (4, 5, 12, 14, 17)
TRANSFER, TRANSFER_DEV_ACTORS = (17, 18, 19, 20), (4, 9, 14, 11, 24)
TWINS = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
DISJOINT = {"test": (9, 10, 19, 20, 23, 24), "dev": (15, 16)}


def speaker_dependent(name: str, dev_actors: Sequence[int] = DEV_ACTORS) -> str:
    """Return the set of a recording when every actor trains."""
    statement, repetition, actor = (int(field) for field in name.split("-")[4:])
    if repetition == 1 or name in TWINS:
        return "train"
    if statement == 2:
        return "test"
    return "dev" if actor in dev_actors else "train"


def speaker_disjoint(name: str) -> str:
    """Return the set of a recording when no actor is in two sets."""
    actor = int(name[-2:])
    return next((which for which, actors in DISJOINT.items() if actor in actors), "train")


def seen_unseen(name: str) -> str:
    """Return the set of a recording when six actors are unseen and the others' held-out utterances are tested, too."""
    return "test_unseen" if int(name[-2:]) in DISJOINT["test"] else speaker_dependent(name, SEEN_DEV_ACTORS)


def transfer(name: str) -> str:
    """Return the set of a recording when four actors are known by their neutral speech alone."""
    emotion, _, _, repetition, actor = (int(field) for field in name.split("-")[2:])
    if actor not in TRANSFER:
        return speaker_dependent(name, TRANSFER_DEV_ACTORS)
    return "train" if emotion == 1 and repetition == 1 else "test_transfer"


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(Path(__file__).parent / "splits"), help="folder for the lists")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    out = Path(get_parser().parse_args(cmd).out)
    names = [name for actor in range(1, 25) for name in names_of(actor)]
    for rule in (speaker_dependent, speaker_disjoint, seen_unseen, transfer):
        for which in sorted({rule(name) for name in names}):
            utts = sorted(f"Actor_{name[-2:]}-{name}" for name in names if rule(name) == which)
            write_text(out / rule.__name__ / f"{which}.txt", "".join(f"{utt}\n" for utt in utts))


if __name__ == "__main__":
    run(main)
