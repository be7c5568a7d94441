"""Make a listening test: pages for naturalness (MOS), speaker similarity and emotion preference (XAB)."""

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError


def get_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(
        description="Make the pages and recordings of a listening test. The folder is served by serve_listening, or "
        "put on any web space without its subfolder `private`, which holds the key."
    )
    parser.add_argument("--trials", required=True, help="list of trials: id, source, speaker, emotion, [reference]")
    parser.add_argument("--data_dir", required=True, help="data directory with wav.scp, utt2spk and utt2emo")
    parser.add_argument(
        "--system",
        required=True,
        action="append",
        metavar="NAME=WHERE",
        help="wav.scp by trial id, a folder of <trial id>.wav, @source or @reference; repeatable",
    )
    parser.add_argument("--out", required=True, help="new folder for the test")
    parser.add_argument("--tests", default="mos,similarity,xab", help="kinds of test in their order")
    parser.add_argument("--num_trials", type=int, default=20, help="trials in the test, spread over emotions, speakers")
    parser.add_argument("--per_listener", type=int, default=20, help="rated items a listener and kind of test")
    parser.add_argument("--checks", type=int, default=1, help="attention checks a listener and kind of test")
    parser.add_argument("--practice", type=int, default=2, help="practice items a kind of test; they do not count")
    parser.add_argument("--natural", type=parse_bool, default=True, help="whether natural speech is rated too")
    parser.add_argument(
        "--xab_pairs", metavar="A:B,A:C", help="systems to compare in the XAB test; all pairs if not given"
    )
    parser.add_argument(
        "--normalize", type=parse_bool, default=False, help="make levels equal; level is part of emotion"
    )
    parser.add_argument("--rate", type=int, help="sample rate of all recordings in Hz; the highest found if not given")
    parser.add_argument("--seed", type=int, default=0, help="seed of all draws")
    parser.add_argument("--title", default="Listening test", help="title of the page")
    parser.add_argument("--consent", metavar="FILE", help="text that listeners agree to; paragraphs by blank lines")
    parser.add_argument("--contact", default="", help="whom listeners may ask")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.evaluate.jobs import parse_systems
    from evc2.listening.page import CONSENT, Texts, write_test
    from evc2.listening.plan import Size, make_plan
    from evc2.listening.scales import get_scales

    scales = get_scales(args.tests)
    systems = parse_systems(args.system)
    texts = Texts(args.title, _paragraphs(args.consent) if args.consent else CONSENT, args.contact)
    size = Size(args.num_trials, args.per_listener, args.checks, args.practice, args.natural, args.seed)
    materials = _materials(args.trials, args.data_dir, systems)
    plan = make_plan(materials, systems, scales, size, _pairs(args.xab_pairs))
    words = shlex.join(sys.argv[1:] if cmd is None else cmd)
    command = f"python -m evc2.bin.make_listening_test {words}"
    out = write_test(args.out, plan, scales, systems, size, texts, args.rate, args.normalize, command)
    for note in plan.notes:
        logging.warning(note)
    _report(plan, out)


def _materials(trials_path: str, data_dir: str, systems: dict[str, str]) -> list:
    from evc2.evaluate.jobs import make_jobs
    from evc2.fileio.datadir import DataDir, read_trials
    from evc2.listening.conditions import Material

    data = DataDir(data_dir)
    trials = read_trials(trials_path)
    speakers = data.table("utt2spk") if data.has("utt2spk") else {}
    genders = data.table("spk2gender") if data.has("spk2gender") else {}
    sentences = data.table("utt2sentence") if data.has("utt2sentence") else {}
    found = []
    for trial, job in zip(trials, make_jobs(trials, data, systems), strict=True):
        words = sentences.get(trial.source) or " ".join((job.text or trial.source).lower().split())
        place = (speakers.get(trial.source), genders.get(trial.speaker))
        wavs = (job.converted, job.reference, job.source)
        found.append(Material(trial.id, trial.speaker, trial.emotion, job.source_emotion, words, *wavs, *place))
    return found


def _pairs(text: str | None) -> list[tuple[str, str]] | None:
    if text is None:
        return None
    pairs = [tuple(word.strip().split(":")) for word in text.split(",") if word.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise UserError(f"--xab_pairs: expected A:B,A:C with names of systems, found '{text}'")
    return pairs


def _paragraphs(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--consent: cannot read {path}: {error}") from None
    found = [" ".join(part.split()) for part in text.replace("\r", "").split("\n\n") if part.strip()]
    if not found:
        raise UserError(f"--consent: {path} is empty; expected what listeners agree to")
    return found


def _report(plan, out: Path) -> None:
    for test, dealt in plan.shares.items():
        scored = sum(e.test == test and e.role == "scored" for e in plan.entries.values())
        own = sum(plan.entries[item].role == "scored" for item in dealt[0])
        need = -(-scored // own)
        print(f"{test}: {scored} items, {own} a listener: every item is heard once by {need} listeners")
    print(f"{out}: test {plan.id}. Serve it: python -m evc2.bin.serve_listening --test {out}")
    print(f"Keep {out}/private to yourself: it holds the key.")


if __name__ == "__main__":
    run(main)
