"""From feature dirs to iterators, by the collation that a system declares."""

import argparse
import inspect
import logging
from typing import Any

import torch
from espnet2.samplers.build_batch_sampler import build_batch_sampler
from espnet2.train.dataset import ESPnetDataset

from evc2.errors import UserError
from evc2.feats import extract
from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.fileio.datadir import DataDir
from evc2.systems import READS_TEXT, get_class
from evc2.train.abs_model import emotions_of, speakers_of
from evc2.train.collate_fn import CropDataset, CropPairDataset, Cropper, CropSetDataset
from evc2.train.iterators import EVCIterFactory, drawn_plan, length_plan, pair_plan, set_plan, single_plan
from evc2.train.monitor import TrialSet
from evc2.train.utterances import UtteranceDataset
from evc2.train.wav_crops import WavCrops


def conf_value(args: argparse.Namespace, name: str, default: Any = None) -> Any:
    """A key of system_conf, or the default in the system's signature."""
    parameter = inspect.signature(get_class(args.system)).parameters.get(name)
    return args.system_conf.get(name, parameter.default if parameter else default)


def domain_of(speaker: str, emotion: str, by: str) -> str:
    """The domain that an utterance belongs to: its emotion, its speaker, or ``speaker:emotion``."""
    return {"emotion": emotion, "speaker": speaker, "speaker_emotion": f"{speaker}:{emotion}"}[by]


def build_factory(args: argparse.Namespace, options: Any, mode: str) -> EVCIterFactory:
    """The iterator factory of training or validation.

    Raises:
        UserError: a domain without utterances, or batches smaller than the number of processes.
    """
    train = mode == "train"
    folder = args.train_dir if train else args.valid_dir
    rank, world = 0, 1
    if options.distributed:
        rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    common = {
        "collate_fn": options.collate_fn,
        "num_workers": args.num_workers,
        "pin_memory": args.ngpu > 0,
    }
    system = get_class(args.system)
    if not train and args.valid_trials:
        common["trials"] = build_trials(args, folder)
    if system.collation == "utterance":
        kept = {name: conf_value(args, name) for name in ("tokens", "speakers", "emotions")}
        kept |= {"unlabelled": conf_value(args, "unlabelled", ()), "strength": conf_value(args, "strength", False)}
        timed = READS_TEXT[args.system] == "learned"
        whole = UtteranceDataset(DataDir(folder), **kept, durations=timed, strangers=system.keeps_voice)
        logging.info("[%s] %d utterances, %d with a known emotion", mode, len(whole), whole.labelled)
        plan = length_plan(
            whole.lengths, options.num_iters_per_epoch, options.batch_size, args.seed, train, rank, world
        )
        return EVCIterFactory(whole, plan, **common)
    if system.collation == "crop_wav":
        contract = FeatureContract.from_dict(args.feats_contract)
        gain = tuple(args.gain) if train and args.gain else None
        wavs = WavCrops(
            DataDir(folder), contract, args.crop_frames, gain=gain, speakers=system.numbers(args.system_conf)
        )
        utts = wavs.utts()
        if not utts:
            raise UserError(
                f"{folder}: no utterance is of a speaker that is trained on; found {found_speakers(folder)}"
            )
        logging.info("[%s] %d utterances", mode, len(utts))
        plan = drawn_plan(utts, options.num_iters_per_epoch, options.batch_size, args.seed, train, rank, world)
        return EVCIterFactory(wavs, plan, **common)
    if system.collation not in ("crop_pair", "crop_set"):
        crops = system.collation == "crop"
        iters = options.num_iters_per_epoch
        plan = single_plan(batches(args, options), iters, args.seed, train, rank, world, crops=crops)
        if not crops:
            dataset = ESPnetDataset(options.data_path_and_name_and_type, float_dtype=args.train_dtype)
            return EVCIterFactory(dataset, plan, **common)
    data = DataDir(folder)
    spk, emo = data.table("utt2spk"), data.table("utt2emo")
    reader, normalize = system.crops(folder, Stats.load(args.stats), lambda name: conf_value(args, name))
    crop = Cropper(reader, spk, emo, normalize, args.crop_frames)
    if system.collation == "crop":
        return EVCIterFactory(CropDataset(crop), plan, **common)
    domains: dict[str, list[str]] = {name: [] for name in conf_value(args, "domains")}
    for utt in sorted(reader):
        domain = domain_of(spk[utt], emo[utt], args.domain_by)
        if domain in domains:
            domains[domain].append(utt)
    found = sorted({domain_of(spk[u], emo[u], args.domain_by) for u in reader})
    for name, utts in domains.items():
        if not utts:
            raise UserError(f"{folder}: no utterance of the domain {name!r}; domains found: {', '.join(found)}")
    logging.info("[%s] %s", mode, ", ".join(f"{name}: {len(utts)} utterances" for name, utts in domains.items()))
    if system.collation == "crop_set":
        frames = {name: {utt: reader.shape(utt)[0] for utt in utts} for name, utts in domains.items()}
        crops = max(sum(utts.values()) for utts in frames.values()) // args.crop_frames
        iters = options.num_iters_per_epoch or max(1, crops // options.batch_size)
        plan = set_plan(frames, iters, options.batch_size, args.seed, train, rank, world)
        return EVCIterFactory(CropSetDataset(crop), plan, **common)
    iters = options.num_iters_per_epoch or max(1, max(map(len, domains.values())) // options.batch_size)
    plan = pair_plan(domains, iters, options.batch_size, args.seed, train, rank, world)
    return EVCIterFactory(CropPairDataset(crop), plan, **common)


def found_speakers(folder: str, most: int = 20) -> str:
    """Speakers of a data directory, for messages."""
    speakers = sorted(set(DataDir(folder).table("utt2spk").values()))
    return ", ".join(speakers[:most]) + f" ... ({len(speakers)})" * (len(speakers) > most)


def batches(args: argparse.Namespace, options: Any) -> list[list[str]]:
    """Batches of utterances as one of espnet2's samplers makes them."""
    shapes = options.shape_files or [options.data_path_and_name_and_type[0][0]]
    sampler = build_batch_sampler(
        type=options.batch_type,
        shape_files=shapes,
        fold_lengths=args.fold_length,
        batch_size=options.batch_size,
        batch_bins=options.batch_bins,
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=torch.distributed.get_world_size() if options.distributed else args.min_batch_size,
    )
    return [list(batch) for batch in sampler]


def build_trials(args: argparse.Namespace, folder: str) -> TrialSet:
    """The trials that validation converts: those between the model's domains."""
    stats, domains = Stats.load(args.stats), conf_value(args, "domains", [])
    emotions, speakers = emotions_of(domains) or stats.emotions, None
    if args.domain_by != "emotion":
        speakers = speakers_of(domains or conf_value(args, "speakers", []))
        emotions = stats.emotions if args.domain_by == "speaker" else emotions
    names = extract.names(FeatureContract.from_dict(args.feats_contract))
    return TrialSet(folder, args.valid_trials, names, emotions, args.num_valid_trials, speakers)
