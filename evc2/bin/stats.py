"""Compute means and deviations of features, log F0, power and duration by speaker and emotion (stage 4)."""

from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging


def get_parser() -> ArgumentParser:
    """Return the parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data_dir", required=True, nargs="+", help="directories with feats.scp, utt2spk and utt2emo, of the same kind"
    )
    parser.add_argument("--out", required=True, help="the .npz file to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Read all features once and write the sums."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    import logging

    from evc2.feats.contract import FeatureContract
    from evc2.feats.stats import Stats
    from evc2.fileio.ark import ScpReader
    from evc2.fileio.datadir import DataDir, validate

    stats, first = Stats(), None
    # Different sentences compare by the letter; without any text, utterances count as equally long on the mean.
    with_text = all(DataDir(path).has("text") for path in args.data_dir)
    if not with_text:
        logging.warning("no text: durations are of whole utterances, so emotions should share their sentences")
    for path in args.data_dir:
        validate(path, need=("utt2spk", "feats.scp"))
        data, seconds = DataDir(path), 0.005
        if data.has("feats.yaml"):
            contract = FeatureContract.load(data.path / "feats.yaml")
            first = first or (path, contract)
            first[1].require_same(contract, mine=first[0], theirs=path)
            seconds = contract.frame_seconds
        text = data.table("text") if with_text else {}
        utt2spk = data.table("utt2spk")
        if data.has("utt2emo"):
            utt2emo = data.table("utt2emo")
        else:
            logging.warning("%s has no utt2emo: every utterance counts as 'other'", path)
            utt2emo = dict.fromkeys(utt2spk, "other")
        readers = {n: ScpReader(data.path / f"{n}.scp") for n in ("feats", "f0", "power") if data.has(f"{n}.scp")}
        for utt in readers["feats"]:
            arrays = {name: reader[utt] for name, reader in readers.items()}
            duration = len(arrays["feats"]) * seconds
            if with_text:
                letters = sum(letter.isalnum() for letter in text.get(utt, ""))
                duration = duration / letters if letters else None
            stats.add(utt2spk[utt], utt2emo[utt], **arrays, duration=duration)
    stats.save(args.out)
    frames = stats.get().n_frames
    print(f"{args.out}: {frames} frames of {len(stats.speakers)} speakers; emotions: {' '.join(stats.emotions)}")


if __name__ == "__main__":
    run(main)
