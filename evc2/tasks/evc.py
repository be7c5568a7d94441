"""The task of all conversion systems."""

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.train.class_choices import ClassChoices
from espnet2.utils.types import str_or_none

from evc2.errors import UserError, check_keys
from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.fileio.atomic import atomic_path
from evc2.systems import SYSTEMS, build, get_class, voices_like
from evc2.tasks.abs_task import TurnTask
from evc2.tasks.adopt import adopt, check_resumable, system_conf_beside
from evc2.tasks.data import build_factory, conf_value
from evc2.train.abs_model import AbsEVCModel


def choose_domains(domains: Sequence[str], directions: str, most: int) -> list[str]:
    """The configured domains, or those of ``source:target,...`` where these are others and at most ``most``."""
    named = list(dict.fromkeys(e.strip() for pair in directions.split(",") for e in pair.split(":") if e.strip()))
    return named if 2 <= len(named) <= most and set(named) != set(domains) else list(domains)


def name_voices(args: argparse.Namespace) -> None:
    """Fill ``speakers`` of the system from the training data, and ``voices`` with those that its patterns match."""
    speakers = conf_value(args, "speakers") or list(Stats.load(args.stats).speakers)
    patterns = conf_value(args, "voices")
    voices = voices_like(speakers, patterns)
    if not voices:
        raise UserError(f"voices: no speaker is like {', '.join(patterns)}; the data have {', '.join(speakers[:20])}")
    args.system_conf |= {"speakers": list(speakers), "voices": voices}


class SystemChoices(ClassChoices):
    """The systems, imported one by one when asked for."""

    def __init__(self) -> None:
        super().__init__("system", dict.fromkeys(SYSTEMS, AbsEVCModel), default="cyclegan")

    def get_class(self, name: str | None) -> type:
        return get_class(name or "")


class EVCTask(TurnTask):
    """Conversion systems, chosen by ``system:``."""

    class_choices_list = [SystemChoices()]
    needed = ("feats_contract", "stats", "train_dir", "valid_dir")

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = cls.add_turn_arguments(parser)
        group.add_argument("--stats", type=str_or_none, default=None, help="Statistics of the training data (npz)")
        group.add_argument("--labels", default=None, help="Label maps (made from the statistics)")
        group.add_argument("--valid_trials", type=str_or_none, default=None, help="Trials to convert in validation")
        group.add_argument("--num_valid_trials", type=int, default=20, help="How many of them")
        group.add_argument(
            "--directions",
            type=str_or_none,
            default=None,
            help="Conversions of the trials; their emotions (with --domain_by speaker: their speakers) become the "
            "domains, where the system can have so many; speakers without --directions: all",
        )
        group.add_argument("--domain_by", default="emotion", choices=["emotion", "speaker", "speaker_emotion"])
        for choices in cls.class_choices_list:
            choices.add_arguments(group)
        parser.set_defaults(
            best_model_criterion=[("valid", "mcd_gv", "min"), ("valid", "mcd", "min")], keep_nbest_models=[5]
        )

    @classmethod
    def model_class(cls, args: argparse.Namespace) -> type[AbsEVCModel]:
        return get_class(args.system)

    @classmethod
    def name_of(cls, args: argparse.Namespace) -> str:
        return args.system

    @classmethod
    def check(cls, args: argparse.Namespace) -> None:
        system = get_class(args.system)
        check_keys(system, args.system_conf, f"system_conf of {args.system}")
        known = inspect.signature(system).parameters
        if "domain_by" in known:
            args.system_conf["domain_by"] = args.domain_by
        elif "voices" in known:
            if args.domain_by != "speaker":
                raise UserError(f"the system {args.system} converts the speaker: give --domain_by speaker")
            name_voices(args)
        elif args.domain_by == "speaker":
            raise UserError(f"domain_by speaker: the system {args.system} converts emotions and keeps the speaker")
        if system.reads_text:
            start = (
                system_conf_beside(args.init_param[0]) if args.init_param and ":" not in args.init_param[0] else None
            )
            args.system_conf |= system.labels_of(args.system_conf, Stats.load(args.stats), args.train_dir, start)
            if args.resume:
                check_resumable(args.output_dir, args.system_conf)
        if "domains" not in known:
            return
        domains = conf_value(args, "domains")
        if args.directions and args.domain_by != "speaker_emotion":
            args.system_conf["domains"] = choose_domains(domains, args.directions, system.max_domains)
        elif not domains and args.domain_by == "speaker":
            args.system_conf["domains"] = list(Stats.load(args.stats).speakers)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> AbsEVCModel:
        """Build the system, give it contract and statistics, and put the statistics beside the model."""
        contract = FeatureContract.from_dict(args.feats_contract)
        for size in ("order", "n_mels"):
            if size in inspect.signature(get_class(args.system)).parameters and size not in args.system_conf:
                args.system_conf[size] = contract.dim
        model = build(args.system, args.system_conf)
        model.contract, model.stats = contract, Stats.load(args.stats)
        model.check_contract()
        model.take_vectors(args.train_dir)
        args.init_param = [adopt(model, path) for path in args.init_param]
        args.labels = {"speakers": list(model.stats.speakers), "emotions": list(model.stats.emotions)}
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            with atomic_path(Path(args.output_dir) / "stats.npz") as temporary:
                temporary.write_bytes(Path(args.stats).read_bytes())
        return model

    @classmethod
    def build_task_iter_factory(cls, args: argparse.Namespace, iter_options: Any, mode: str) -> Any:
        return build_factory(args, iter_options, mode)
