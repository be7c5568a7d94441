#!/usr/bin/env python3
"""Find the durations of phones: train an aligner without hand work, and let it align."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging
from evc2.errors import UserError

if TYPE_CHECKING:
    from evc2.systems.aligner import Aligner

EPILOG = """Each of --data_dirs is a feature dir of one mel contract with phones and g2p.yaml (evc2.bin.phonemize).
It gets durations.scp and durations.ark: frames of each phone, one or more, as many in all as feats.scp has. Utterances
that cannot be aligned are left out; their list, with reasons, is the file durations_missing."""


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__, epilog=EPILOG, config=False)
    parser.add_argument("--data_dirs", default=[], nargs="+", help="feature directories to align (none: only train)")
    parser.add_argument("--train_dir", help="feature directory to train on")
    parser.add_argument("--config", help="configuration of the training (conf/train_aligner.yaml)")
    parser.add_argument("--out", help="folder of the training")
    parser.add_argument("--seed", type=int, help="of the training; that of the configuration if not given")
    parser.add_argument("--resume", type=parse_bool, default=True, help="go on with a training in --out, or use it")
    parser.add_argument("--model", help="folder of a trained aligner: nothing is trained")
    parser.add_argument("--ngpu", type=int, default=0, help="0: CPU, 1: GPU, for the training")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 everything")
    return parser


def align_dir(aligner: "Aligner", folder: str) -> dict[str, float]:
    """Write the durations of a feature directory; return figures about them.

    Returns:
        ``utterances`` aligned; ``missing``; ``log_p``, mean log likelihood of a frame in nats; ``share_1``, phones of
        one frame; ``rate``, phones a second of speech, pauses aside.

    Raises:
        UserError: phones by another method than the aligner's, or nothing that can be aligned.
    """
    import numpy as np

    from evc2.fileio.ark import ArkWriter, ScpReader
    from evc2.fileio.datadir import DataDir
    from evc2.fileio.tables import write_table
    from evc2.text.silences import SILENCES
    from evc2.text.tokens import Tokens

    tokens, feats, missing = Tokens(aligner.tokens), ScpReader(f"{folder}/feats.scp"), {}
    phones = DataDir(folder).table("phones")
    sums = {"log_p": 0.0, "frames": 0, "one": 0, "phones": 0, "spoken": 0, "speech": 0}
    aligned = 0
    with ArkWriter(f"{folder}/durations.ark", f"{folder}/durations.scp") as writer:
        for utt, row in sorted(phones.items()):
            names = row.split()
            frames = feats.shape(utt)[0] if utt in feats else 0
            if frames < len(names):
                missing[utt] = f"{frames} frames, {len(names)} phones"
                continue
            found, log_p = aligner.align(feats[utt], tokens.ids(names), utt)
            writer[utt] = found
            spoken = np.array([name not in SILENCES for name in names])
            aligned += 1
            sums["log_p"] += log_p * frames
            sums["frames"] += frames
            sums["one"] += int((found == 1).sum())
            sums["phones"] += len(names)
            sums["spoken"] += int(spoken.sum())
            sums["speech"] += int(found[spoken].sum())
        if not aligned:
            raise UserError(f"{folder}: no utterance can be aligned, e.g. {next(iter(missing.items()), 'no phones')}")
    path = Path(folder) / "durations_missing"
    if missing:
        write_table(path, missing)
    else:
        path.unlink(missing_ok=True)
    return {
        "utterances": aligned,
        "missing": len(missing),
        "log_p": sums["log_p"] / sums["frames"],
        "share_1": sums["one"] / sums["phones"],
        "rate": sums["spoken"] / max(sums["speech"], 1) / aligner.contract.frame_seconds,
    }


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    if not args.model and not (args.train_dir and args.config and args.out):
        raise UserError("expected --train_dir, --config and --out to train, or --model with a trained aligner")
    if args.model and not args.data_dirs:
        raise UserError("nothing to do: give --data_dirs to align with --model, or --train_dir to train")
    from evc2.bin.evc_train import train
    from evc2.feats.contract import FeatureContract
    from evc2.tasks.aligner import AlignerTask, load_aligner, require_mel, require_phones
    from evc2.text.g2p import read_g2p

    for folder in [*args.data_dirs, *([] if args.model else [args.train_dir])]:  # before the minutes of training
        require_mel(FeatureContract.load(f"{folder}/feats.yaml"), folder)
        require_phones(folder)
    if not args.model:
        words = ["--config", args.config, "--output_dir", args.out, "--feats_contract", f"{args.train_dir}/feats.yaml"]
        words += ["--train_dir", args.train_dir, "--valid_dir", args.train_dir, "--ngpu", str(args.ngpu)]
        words += ["--resume", str(args.resume).lower()] + (["--seed", str(args.seed)] if args.seed is not None else [])
        train(AlignerTask, words)
    aligner = load_aligner(args.model or args.out)
    for folder in args.data_dirs:
        FeatureContract.load(f"{folder}/feats.yaml").require_same(aligner.contract, folder, "the aligner's")
        if read_g2p(folder) != aligner.g2p:
            raise UserError(
                f"{folder}/g2p.yaml: phones by {read_g2p(folder)}, but the aligner was trained on those by "
                f"{aligner.g2p}; make all phones by one method"
            )
    for folder in args.data_dirs:
        found = align_dir(aligner, folder)
        print(
            f"{folder}: {found['utterances']} utterances aligned, {found['missing']} left out; mean log likelihood "
            f"of a frame {found['log_p']:.2f}, phones of one frame {100 * found['share_1']:.1f} %, "
            f"{found['rate']:.1f} phones a second"
        )
        if found["missing"]:
            logging.warning("%s/durations_missing lists what was left out", folder)


if __name__ == "__main__":
    run(main)
