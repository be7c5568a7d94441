"""Write the phones of each utterance of a data directory: from its text, or from TextGrids with their durations."""

import logging
from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError

SHOWN = 5
EPILOG = """OUT/phones has a line `utterance p1 p2 ... pn`: `sp` is a pause, `sil` is at both ends (not with TextGrids).
OUT/g2p.yaml tells how text becomes such phones, for synthesis. With --textgrids OUT/durations.scp has the frames of
each phone too; the audio must be cut by them (evc2 format_wav --textgrids), and DATA_DIR must have its features."""


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--data_dir", required=True, help="data directory with `text`")
    parser.add_argument(
        "--out", required=True, help="folder to write phones and g2p.yaml to; may be the data directory"
    )
    parser.add_argument(
        "--g2p",
        default="espeak",
        choices=["espeak", "arpabet"],
        help="phones of espeak-ng in IPA, or ARPAbet by --lexicon (espeak-ng for other words)",
    )
    parser.add_argument("--language", default="en-us", help="voice of espeak-ng")
    parser.add_argument("--lexicon", help="pronouncing dictionary, lines `WORD  P H O N E S` (CMUdict, LibriSpeech)")
    parser.add_argument(
        "--textgrids", help="folder of <utterance>.TextGrid, whose phones are taken instead of the text"
    )
    parser.add_argument("--tier", default="phones", help="tier of the TextGrids")
    parser.add_argument(
        "--max_bad", type=float, default=0.05, help="more unusable TextGrids than this share are an error"
    )
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 all")
    return parser


def _texts(data) -> dict[str, str]:
    texts = data.table("text") if data.has("text") else {}
    silent = [utt for utt in data.utts if utt not in texts]
    if silent:
        raise UserError(
            f"{data.path}: expected a text of every utterance in its file `text`, found none of {len(silent)} of "
            f"{len(data.utts)} ({', '.join(silent[:SHOWN])}{' ...' * (len(silent) > SHOWN)}); write what is said "
            "in them, or take them out"
        )
    return {utt: texts[utt] for utt in data.utts}


def _from_text(data, g2p) -> dict[str, list[str]]:
    from evc2.text.g2p import with_silence

    phones = {}
    for utt, text in _texts(data).items():
        try:
            phones[utt] = with_silence(g2p(text))
        except UserError as error:
            raise UserError(f"{data.path}/text: {utt}: {error}") from None
    if g2p.unknown:
        words = sorted(g2p.unknown, key=g2p.unknown.get, reverse=True)
        logging.warning(
            "%d words are not in the lexicon and were said as espeak-ng does: %s%s",
            len(words),
            " ".join(words[:20]),
            " ..." * (len(words) > 20),
        )
    return phones


def _from_textgrids(data, args, inventory):
    from evc2.feats.contract import FeatureContract
    from evc2.fileio.datadir import write_table
    from evc2.text.durations import align_by_textgrids
    from evc2.text.lexicon import INVENTORY

    rate = 1 / FeatureContract.load(data.path / "feats.yaml").frame_seconds
    found = align_by_textgrids(data, args.textgrids, args.tier, rate)
    listed = Path(args.out) / "textgrids_missing"
    write_table(listed, found.missing)
    if found.missing:
        text = f"{len(found.missing)} of {len(data.utts)} utterances have no TextGrid that can be used"
        utt, reason = next(iter(found.missing.items()))
        if len(found.missing) > args.max_bad * len(data.utts) or not found.phones:
            raise UserError(
                f"{data.path}: {text}, over --max_bad {args.max_bad:g}; the first, {utt}: {reason}\nMend them or raise "
                f"--max_bad; all are in {listed}"
            )
        logging.warning("%s: %s and are left out: %s", data.path, text, listed)
    kinds = {phone for row in found.phones.values() for phone in row}
    strange = sorted(kinds - set(INVENTORY))
    if inventory and strange:
        raise UserError(
            f"{args.textgrids}: expected phones of ARPAbet for --g2p arpabet, found {' '.join(strange[:SHOWN])}; "
            "align with an ARPAbet dictionary, or choose --g2p espeak"
        )
    if not inventory and not strange:
        raise UserError(f"{args.textgrids}: has phones of ARPAbet; choose --g2p arpabet, so that text becomes such too")
    return found


def main(cmd: Sequence[str] | None = None) -> None:
    """Write the tables; g2p.yaml first and phones last."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)

    import yaml

    from evc2.fileio.ark import ArkWriter
    from evc2.fileio.atomic import write_text
    from evc2.fileio.datadir import DataDir, write_table
    from evc2.text.g2p import build_g2p

    data, out = DataDir(args.data_dir), Path(args.out)
    how = {"kind": args.g2p, "language": args.language, "lexicon": args.lexicon or None}
    g2p = build_g2p(**how)
    listed = out / "textgrids_missing"
    stale = ("phones", "durations.scp") if args.textgrids or listed.exists() else ("phones",)  # learned ones may stay
    for name in (*stale, listed.name):
        (out / name).unlink(missing_ok=True)
    if args.textgrids:
        phones, durations, _ = _from_textgrids(data, args, g2p.inventory)
        with ArkWriter(out / "durations.ark", out / "durations.scp") as writer:
            for utt, frames in durations.items():
                writer[utt] = frames
    else:
        phones = _from_text(data, g2p)
    write_text(out / "g2p.yaml", yaml.safe_dump(how, sort_keys=False, allow_unicode=True))
    write_table(out / "phones", {utt: " ".join(row) for utt, row in phones.items()})
    kinds = {phone for row in phones.values() for phone in row}
    print(f"{out}: {sum(map(len, phones.values()))} phones of {len(kinds)} kinds in {len(phones)} utterances")


if __name__ == "__main__":
    run(main)
