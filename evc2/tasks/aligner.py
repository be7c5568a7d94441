"""The task of the learned aligner, and the model that it leaves."""

import argparse
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from espnet2.utils.nested_dict_action import NestedDictAction

from evc2.errors import UserError, check_keys
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir
from evc2.systems.aligner import Aligner
from evc2.tasks.abs_task import TurnTask
from evc2.text.g2p import read_g2p
from evc2.text.lexicon import to_arpabet
from evc2.text.silences import NOISE, PAUSE, SILENCE
from evc2.text.spoken import Spoken, speak
from evc2.text.tokens import Tokens, token_list
from evc2.train.iterators import EVCIterFactory, length_plan
from evc2.train.utterances import UtteranceDataset

WEIGHTS = "latest.pth"
MOST_TEXTS = 200  # that espeak-ng says, and utterances by which the cepstra are scaled


def require_mel(contract: FeatureContract, folder: str) -> None:
    """UserError for features that the aligner cannot work on."""
    if contract.kind != "mel":
        raise UserError(
            f"{folder}: the aligner works on log-mel features, found kind '{contract.kind}'; extract them with "
            f"--feats_config conf/feats_hifigan.yaml"
        )


def require_phones(folder: str) -> None:
    """UserError where a feature directory has no phones."""
    if not (Path(folder) / "phones").is_file():
        raise UserError(f"{folder}: there is no file phones; make it with evc2.bin.phonemize --data_dir {folder} ...")


def evenly(items: list[str], most: int) -> list[str]:
    """At most so many of the items, spread over all."""
    return items[:: math.ceil(len(items) / most)]


def known_speech(folder: str, aligner: Aligner) -> list[tuple[torch.Tensor, np.ndarray, np.ndarray]]:
    """The training texts said by espeak-ng: log-mel, numbers of the tokens, durations; see :meth:`Aligner.begin`.

    Where it cannot say them (no ``text``, a language that it does not have), there is a warning and nothing.
    """
    data = DataDir(folder)
    texts = sorted(set(data.table("text").values())) if data.has("text") else []
    language = str(aligner.g2p.get("language") or "en-us")
    spoken: list[Spoken] = []
    if texts:
        try:
            spoken = speak(evenly(texts, MOST_TEXTS), language, aligner.contract.to_dict())
        except (ImportError, UserError) as error:
            logging.warning("espeak-ng cannot say the training texts: %s", error)
    tokens, known, dropped = Tokens(aligner.tokens), [], set()
    for feats, phones, durations in spoken:
        numbers, frames = [], []
        for phone, duration in zip(phones, durations.tolist(), strict=True):
            parts = [phone]
            if aligner.g2p.get("kind") == "arpabet" and phone not in (SILENCE, PAUSE):
                parts = to_arpabet([phone], dropped) or [NOISE]
            edges = [duration * i // len(parts) for i in range(len(parts) + 1)]  # "AA R" share what "ɑːɹ" has
            numbers += tokens.ids(parts).tolist()
            frames += [b - a for a, b in zip(edges[:-1], edges[1:], strict=True)]
        known.append((torch.from_numpy(feats), np.array(numbers), np.array(frames)))
    if not known:
        logging.warning("%s: phones start from nothing, which few different sentences may not be enough for", folder)
    return known


class AlignerTask(TurnTask):
    """Aligners (``model_conf`` holds the keys of :class:`~evc2.systems.aligner.Aligner`)."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = cls.add_turn_arguments(parser)
        group.add_argument("--model_conf", action=NestedDictAction, default={}, help="Keys of Aligner")
        group.add_argument("--num_valid_utts", type=int, default=200, help="Utterances to validate on, of valid_dir")
        parser.set_defaults(
            best_model_criterion=[("valid", "loss", "min")],
            keep_nbest_models=[1],
            media_interval=0,
            use_tensorboard=False,
            use_matplotlib=False,
        )

    @classmethod
    def model_class(cls, args: argparse.Namespace) -> type[Aligner]:
        return Aligner

    @classmethod
    def name_of(cls, args: argparse.Namespace) -> str:
        return "the aligner"

    @classmethod
    def check(cls, args: argparse.Namespace) -> None:
        """Fill tokens and g2p from the training data, and refuse to go on with a model of other phones."""
        require_mel(FeatureContract.from_dict(args.feats_contract), args.train_dir)
        require_phones(args.train_dir)
        check_keys(Aligner, args.model_conf, "model_conf")
        phones = DataDir(args.train_dir).table("phones")
        tokens = token_list(row.split() for row in phones.values())
        args.model_conf = {**args.model_conf, "tokens": tokens, "g2p": read_g2p(args.train_dir)}
        kept = Path(args.output_dir) / "config.yaml"
        if args.resume and kept.is_file() and (Path(args.output_dir) / "checkpoint.pth").is_file():
            before = read_config(args.output_dir)
            for key in ("model_conf", "feats_contract"):
                if before.get(key) != getattr(args, key):
                    raise UserError(
                        f"{args.output_dir}: holds an aligner that was trained with another {key} than the one of now; "
                        f"train anew (--resume false) or into another folder"
                    )

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> Aligner:
        contract = FeatureContract.from_dict(args.feats_contract)
        model = Aligner(n_mels=contract.n_mels, **args.model_conf)
        model.contract = contract
        reader = ScpReader(f"{args.train_dir}/feats.scp")
        frames = [torch.from_numpy(reader[utt]) for utt in evenly(sorted(reader), MOST_TEXTS)]
        model.begin(frames, known_speech(args.train_dir, model) if model.start == "espeak" else [])
        return model

    @classmethod
    def build_task_iter_factory(cls, args: argparse.Namespace, iter_options: Any, mode: str) -> EVCIterFactory:
        train = mode == "train"
        folder = args.train_dir if train else args.valid_dir
        rank, world = 0, 1
        if iter_options.distributed:
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        whole = UtteranceDataset(DataDir(folder), args.model_conf["tokens"], durations=False)
        lengths = whole.lengths
        used = {utt: frames for utt, frames in lengths.items() if frames >= len(whole.phones[utt].split())}
        if not used:
            raise UserError(
                f"{folder}: every utterance has more phones than frames; are these the phones of this audio?"
            )
        if len(used) < len(lengths):
            logging.warning("[%s] %d utterances have more phones than frames", mode, len(lengths) - len(used))
        if not train:
            used = {utt: used[utt] for utt in evenly(sorted(used), max(args.num_valid_utts, 1))}
        logging.info("[%s] %d utterances", mode, len(used))
        iters, size = iter_options.num_iters_per_epoch, iter_options.batch_size
        plan = length_plan(used, iters, size, args.seed, train, rank, world)
        return EVCIterFactory(
            whole, plan, iter_options.collate_fn, num_workers=args.num_workers, pin_memory=args.ngpu > 0
        )


def read_config(folder: str) -> dict[str, Any]:
    """``config.yaml`` of a training.

    Raises:
        UserError: there is none, or it is not one of an aligner.
    """
    path = Path(folder) / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{folder}: expected a trained aligner with its config.yaml, found: {error}") from None
    if not isinstance(config, dict) or not {"model_conf", "feats_contract"} <= config.keys():
        raise UserError(f"{path}: expected the configuration of an aligner (model_conf, feats_contract)")
    if not isinstance(config["model_conf"], dict) or "tokens" not in config["model_conf"]:
        raise UserError(f"{path}: expected the tokens of an aligner in model_conf; is this another kind of model?")
    return config


def load_aligner(folder: str, device: str = "cpu") -> Aligner:
    """Load what :class:`AlignerTask` left in a folder, ready to align.

    Raises:
        UserError: no model there, or a file that is not one.
    """
    config = read_config(folder)
    contract = FeatureContract.from_dict(config["feats_contract"])
    check_keys(Aligner, config["model_conf"], f"{folder}/config.yaml: model_conf")
    model = Aligner(n_mels=contract.n_mels, **config["model_conf"])
    model.contract = contract
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise UserError(f"{path}: no such file; the training did not finish an epoch, run it again")
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever the bytes make torch stumble over
        raise UserError(f"{path}: not the weights of this aligner: {type(error).__name__}") from None
    return model.eval().to(device)
