"""The task of all trainable vocoders."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from evc2.errors import UserError, check_keys, nearest
from evc2.feats.contract import FeatureContract
from evc2.fileio.datadir import DataDir
from evc2.systems.vocoder import AbsVocoderModel
from evc2.tasks.abs_task import TurnTask
from evc2.train.copies import Copies
from evc2.train.iterators import EVCIterFactory, drawn_plan
from evc2.train.wav_crops import WavCrops

#: vocoder -> class of its training
MODELS = {
    "hifigan": "evc2.systems.gan_vocoder:GANVocoder",
    "melgan": "evc2.systems.gan_vocoder:GANVocoder",
    "wavernn": "evc2.systems.wavernn:WaveRNNModel",
}


def get_class(name: str) -> type[AbsVocoderModel]:
    """Class of the training of a vocoder; UserError names the known ones."""
    if name not in MODELS:
        raise UserError(f"there is no vocoder {name!r}{nearest(name, MODELS)}; known: {', '.join(MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    return getattr(import_module(module), attribute)


def build(name: str, conf: Mapping[str, Any], contract: FeatureContract) -> AbsVocoderModel:
    """Build a vocoder for training; a key that does not exist is a UserError with the nearest valid one."""
    cls = get_class(name)
    check_keys(cls, conf, f"vocoder_conf of {name}")
    return cls(contract, **{"net": name, **conf})


class VocoderTask(TurnTask):
    """Vocoders, chosen by ``vocoder:``; ``vocoder_conf`` holds the keys of its class."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = cls.add_turn_arguments(parser)
        group.add_argument("--vocoder", default="hifigan", help=f"One of {', '.join(MODELS)}")
        group.add_argument("--vocoder_conf", action=NestedDictAction, default={}, help="Keys of the vocoder's class")
        group.add_argument(
            "--init_vocoder", type=str_or_none, default=None, help="Vocoder whose generator is fine-tuned: name or path"
        )
        group.add_argument(
            "--train_feats_dir",
            type=str_or_none,
            default=None,
            help="Generated mels for training (GTA), with feats.scp",
        )
        group.add_argument("--valid_feats_dir", type=str_or_none, default=None, help="Generated mels for validation")
        parser.set_defaults(best_model_criterion=[("valid", "mel_l1", "min"), ("valid", "loss", "min")])

    @classmethod
    def model_class(cls, args: argparse.Namespace) -> type[AbsVocoderModel]:
        return get_class(args.vocoder)

    @classmethod
    def name_of(cls, args: argparse.Namespace) -> str:
        return args.vocoder

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return ("wav",)

    @classmethod
    def check(cls, args: argparse.Namespace) -> None:
        check_keys(cls.model_class(args), args.vocoder_conf, f"vocoder_conf of {args.vocoder}")
        if bool(args.train_feats_dir) != bool(args.valid_feats_dir):
            raise UserError("--train_feats_dir and --valid_feats_dir go together: generated mels of both sets, or none")

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> AbsVocoderModel:
        contract = FeatureContract.from_dict(args.feats_contract)
        model = build(args.vocoder, args.vocoder_conf, contract)
        if args.init_vocoder:
            from evc2.vocoder import build_vocoder

            vocoder = build_vocoder(args.init_vocoder, contract)
            vocoder.contract.require_same(
                contract, f"--init_vocoder {args.init_vocoder}", "--feats_contract", vocoder.keys
            )
            if vocoder.net is None:
                raise UserError(f"--init_vocoder {args.init_vocoder}: has no network to start from")
            model.start_from(vocoder.net)
            logging.info("the generator starts from %s", args.init_vocoder)
        return model

    @classmethod
    def build_task_iter_factory(cls, args: argparse.Namespace, iter_options: Any, mode: str) -> EVCIterFactory:
        train = mode == "train"
        folder, generated = (args.train_dir, args.train_feats_dir) if train else (args.valid_dir, args.valid_feats_dir)
        rank, world = 0, 1
        if iter_options.distributed:
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        contract = FeatureContract.from_dict(args.feats_contract)
        gain: Sequence[float] | None = args.gain if train else None
        crops = WavCrops(DataDir(folder), contract, args.crop_frames, generated, gain and tuple(gain))
        utts = crops.utts()
        if not utts:
            raise UserError(
                f"{folder}: no utterance to train on{f' with features in {generated}' if generated else ''}"
            )
        plan = drawn_plan(
            utts, iter_options.num_iters_per_epoch, iter_options.batch_size, args.seed, train, rank, world
        )
        return EVCIterFactory(
            crops,
            plan,
            iter_options.collate_fn,
            num_workers=args.num_workers,
            pin_memory=args.ngpu > 0,
            trials=None if train else Copies(crops, utts),
        )
