"""Compute means and deviations of features, log F0 and power by speaker and emotion (stage 4)."""

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
    for path in args.data_dir:
        validate(path, need=("utt2spk", "feats.scp"))
        data = DataDir(path)
        if data.has("feats.yaml"):
            contract = FeatureContract.load(data.path / "feats.yaml")
            first = first or (path, contract)
            first[1].require_same(contract, mine=first[0], theirs=path)
        utt2spk, feats = data.table("utt2spk"), data.table("feats.scp")
        if data.has("utt2emo"):
            utt2emo = data.table("utt2emo")
        else:
            logging.warning("%s has no utt2emo: every utterance counts as 'other'", path)
            utt2emo = dict.fromkeys(utt2spk, "other")
        readers = {n: ScpReader(data.path / f"{n}.scp") for n in ("feats", "f0", "power") if data.has(f"{n}.scp")}
        for utt in feats:
            arrays = {name: reader[utt] for name, reader in readers.items()}
            stats.add(utt2spk[utt], utt2emo[utt], **arrays)
    stats.save(args.out)
    frames = stats.get().n_frames
    print(f"{args.out}: {frames} frames of {len(stats.speakers)} speakers; emotions: {' '.join(stats.emotions)}")


if __name__ == "__main__":
    run(main)
