"""The task of the neural emotion judge: a classifier of log-mel spectrograms."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from espnet2.utils.nested_dict_action import NestedDictAction

from evc2.errors import UserError, check_keys
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import EMOTIONS, DataDir
from evc2.systems.ser import SERModel
from evc2.tasks.abs_task import TurnTask
from evc2.train.collate_fn import CropDataset, Cropper
from evc2.train.iterators import EVCIterFactory, drawn_plan


class LabelledCrops(torch.utils.data.Dataset):
    """Crops with the number of their emotion: ``(utt, key)`` gives ``(utt, {"feats": [T, D], "emotion": i})``."""

    def __init__(self, crops: CropDataset, utt2emo: Mapping[str, str], labels: Sequence[str]):
        self.crops, self.utt2emo = crops, utt2emo
        self.number = {label: i for i, label in enumerate(labels)}

    def __getitem__(self, request: tuple[str, str]) -> tuple[str, dict[str, np.ndarray]]:
        utt, item = self.crops[request]
        return utt, {**item, "emotion": np.int64(self.number[self.utt2emo[utt]])}


def unchanged(feats: np.ndarray, speaker: str, emotion: str) -> np.ndarray:
    """The network normalises by itself: it must work where neither speaker nor emotion is known."""
    return feats


def frame_moments(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [D] of all frames of a feature dir."""
    total, count = 0.0, 0
    reader = ScpReader(f"{folder}/feats.scp")
    for utt in sorted(reader):
        feats = reader[utt].astype(np.float64)
        total = total + np.stack((feats.sum(0), (feats**2).sum(0)))
        count += len(feats)
    mean, square = total / count
    return mean, np.sqrt(np.maximum(square - mean**2, 1e-6))


class SERTask(TurnTask):
    """Emotion classifiers (``model_conf`` holds the keys of :class:`~evc2.systems.ser.SERModel`)."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = cls.add_turn_arguments(parser)
        group.add_argument("--model_conf", action=NestedDictAction, default={}, help="Keys of SERModel")
        group.add_argument(
            "--labels", default=None, nargs="*", help="Emotions; those of the training data if not given"
        )
        parser.set_defaults(best_model_criterion=[("valid", "acc", "max")], keep_nbest_models=[1], media_interval=0)

    @classmethod
    def model_class(cls, args: argparse.Namespace) -> type[SERModel]:
        return SERModel

    @classmethod
    def name_of(cls, args: argparse.Namespace) -> str:
        return "the classifier"

    @classmethod
    def check(cls, args: argparse.Namespace) -> None:
        check_keys(SERModel, args.model_conf, "model_conf")
        contract = FeatureContract.from_dict(args.feats_contract)
        if contract.kind != "mel":
            raise UserError(f"the emotion judge works on log-mel features, found kind '{contract.kind}'")
        there = {folder: set(DataDir(folder).table("utt2emo").values()) for folder in (args.train_dir, args.valid_dir)}
        args.labels = args.labels or [emotion for emotion in EMOTIONS if emotion in there[args.train_dir]]
        for folder, emotions in there.items():
            unknown = sorted(emotions - set(args.labels))
            if unknown:
                raise UserError(f"{folder}: emotion '{unknown[0]}' is not among the labels: {' '.join(args.labels)}")

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> SERModel:
        contract = FeatureContract.from_dict(args.feats_contract)
        model = SERModel(n_mels=contract.n_mels, labels=args.labels, **args.model_conf)
        model.contract = contract
        mean, std = frame_moments(args.train_dir)
        model.net.mean.copy_(torch.from_numpy(mean))
        model.net.std.copy_(torch.from_numpy(std))
        return model

    @classmethod
    def build_task_iter_factory(cls, args: argparse.Namespace, iter_options: Any, mode: str) -> EVCIterFactory:
        train = mode == "train"
        data = DataDir(args.train_dir if train else args.valid_dir)
        rank, world = 0, 1
        if iter_options.distributed:
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        reader = ScpReader(iter_options.data_path_and_name_and_type[0][0])
        iters, size = iter_options.num_iters_per_epoch, iter_options.batch_size
        plan = drawn_plan(sorted(reader), iters, size, args.seed, train, rank, world)
        spk, emo = data.table("utt2spk"), data.table("utt2emo")
        crops = CropDataset(Cropper(reader, spk, emo, unchanged, args.crop_frames))
        return EVCIterFactory(
            LabelledCrops(crops, emo, args.labels),
            plan,
            iter_options.collate_fn,
            num_workers=args.num_workers,
            pin_memory=args.ngpu > 0,
        )
