"""The task of all conversion systems: espnet2's AbsTask with evc2's systems, features and trainer."""

import argparse
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.tasks.abs_task import AbsTask, optim_classes, scheduler_classes
from espnet2.train.class_choices import ClassChoices
from espnet2.utils import config_argparse
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.fileio.atomic import atomic_path
from evc2.systems import SYSTEMS, build, check_keys, get_class
from evc2.tasks.data import build_factory, conf_value
from evc2.train.abs_model import AbsEVCModel
from evc2.train.collate_fn import build_collate
from evc2.train.options import resolve_amp
from evc2.train.schedulers import ConstantThenLinear
from evc2.train.trainer import EVCTrainer

scheduler_classes["constantthenlinear"] = ConstantThenLinear
TURN_KEYS = ("optim", "grad_clip", "start_step")  # of a turn's entry in optims; the rest goes to the optimizer


def as_number(value: Any) -> Any:
    """Read 1e-4 as the number that its writer meant (YAML takes it for text, because it has no point)."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def choose_domains(domains: Sequence[str], directions: str) -> list[str]:
    """The configured domains, or the two emotions of ``source:target,...`` where these are others."""
    named = list(dict.fromkeys(e.strip() for pair in directions.split(",") for e in pair.split(":") if e.strip()))
    return named if len(named) == 2 and set(named) != set(domains) else list(domains)


class SystemChoices(ClassChoices):
    """The systems, imported one by one when asked for."""

    def __init__(self) -> None:
        super().__init__("system", dict.fromkeys(SYSTEMS, AbsEVCModel), default="cyclegan")

    def get_class(self, name: str | None) -> type:
        return get_class(name or "")


class ConfigParser(config_argparse.ArgumentParser):
    """espnet2's parser, with the nearest valid name for an option or config key that does not exist."""

    def error(self, message: str) -> None:
        if "unrecognized arguments:" in message:
            word = message.split("unrecognized arguments:")[1].split()[0]
            known = [a.dest for a in self._actions]
            message += nearest(word.lstrip("-").split("=")[0], known)
        super().error(message)


class EVCTask(AbsTask):
    """Conversion systems. Optimizers and schedulers go by turn: ``optims: {generator: {optim: adam, lr: ...}}``."""

    num_optimizers = 4  # the most turns that a system has; fewer are returned by build_optimizers
    trainer = EVCTrainer
    class_choices_list = [SystemChoices()]

    @classmethod
    def get_parser(cls) -> config_argparse.ArgumentParser:
        parser = super().get_parser()
        parser.__class__ = ConfigParser  # the class that espnet2 builds is fixed; ours adds one method
        return parser

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("Task related (evc2)")
        group.add_argument("--optims", action=NestedDictAction, default={}, help="Optimizer by turn")
        group.add_argument("--schedulers", action=NestedDictAction, default={}, help="Scheduler by turn")
        group.add_argument("--feats_contract", default=None, help="Feature contract (feats.yaml) of the data")
        group.add_argument("--stats", type=str_or_none, default=None, help="Statistics of the training data (npz)")
        group.add_argument("--labels", default=None, help="Label maps (made from the statistics)")
        group.add_argument("--train_dir", type=str_or_none, default=None, help="Feature dir for training")
        group.add_argument("--valid_dir", type=str_or_none, default=None, help="Feature dir for validation")
        group.add_argument("--valid_trials", type=str_or_none, default=None, help="Trials to convert in validation")
        group.add_argument("--num_valid_trials", type=int, default=20, help="How many of them")
        group.add_argument("--crop_frames", type=int, default=128, help="Frames of a training crop")
        group.add_argument(
            "--directions",
            type=str_or_none,
            default=None,
            help="Conversions of the trials; two emotions become the domains",
        )
        group.add_argument("--domain_by", default="emotion", choices=["emotion", "speaker", "speaker_emotion"])
        for choices in cls.class_choices_list:
            choices.add_arguments(group)
        parser.set_defaults(
            unused_parameters=True,
            iterator_type="task",
            num_workers=0,
            batch_type="unsorted",
            best_model_criterion=[("valid", "mcd_gv", "min"), ("valid", "mcd", "min")],
            keep_nbest_models=[5],
            num_att_plot=0,
        )

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: Sequence[str] | None = None) -> None:
        if args is None:
            args = cls.get_parser().parse_args(cmd)
        if not args.print_config:
            cls.prepare(args)
        super().main(args)

    @classmethod
    def prepare(cls, args: argparse.Namespace) -> None:
        """Check the configuration before anything is built, and resolve what the other options follow from."""
        cls.check_required_command_args(args)
        system = get_class(args.system)
        check_keys(system, args.system_conf, f"system_conf of {args.system}")
        if args.optim_conf or args.scheduler or args.scheduler_conf:
            raise UserError("optimizers and schedulers go by turn here: use optims: and schedulers:, not optim_conf:")
        for name, given in (("optims", args.optims), ("schedulers", args.schedulers)):
            for turn in given:
                if turn not in system.turns:
                    known = ", ".join(system.turns) + nearest(turn, list(system.turns))
                    raise UserError(f"{name}: {args.system} has no turn {turn!r}; turns: {known}")
        if args.ngpu > 1:
            args.multiprocessing_distributed = True  # one process a GPU; DataParallel is not supported
        if args.directions and args.domain_by == "emotion" and "domains" in inspect.signature(system).parameters:
            args.system_conf["domains"] = choose_domains(conf_value(args, "domains"), args.directions)
        args.turn_options = {t: {k: c[k] for k in TURN_KEYS[1:] if k in c} for t, c in args.optims.items()}
        for option in ("feats_contract", "stats", "train_dir", "valid_dir"):
            if not getattr(args, option):
                raise UserError(f"--{option} is missing; the recipes give it in stage 5")
        if not isinstance(args.feats_contract, dict):
            args.feats_contract = FeatureContract.load(args.feats_contract).to_dict()
        contract = FeatureContract.from_dict(args.feats_contract)
        for folder in (args.train_dir, args.valid_dir):
            FeatureContract.load(f"{folder}/feats.yaml").require_same(contract, folder, "--feats_contract")
        for part, folder in (("train", args.train_dir), ("valid", args.valid_dir)):
            option = f"{part}_data_path_and_name_and_type"
            if not getattr(args, option):
                setattr(args, option, [(f"{folder}/{n}.scp", n, "kaldi_ark") for n in system.required])
        if args.use_amp and args.amp_dtype == "none":
            args.amp_dtype = "bfloat16"
        args.amp_dtype = resolve_amp(args.amp_dtype, args.ngpu)
        args.use_amp = False  # espnet2's own flag would scale losses on the CPU

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> AbsEVCModel:
        """Build the system, give it contract and statistics, and put the statistics beside the model."""
        contract = FeatureContract.from_dict(args.feats_contract)
        if "order" in inspect.signature(get_class(args.system)).parameters and "order" not in args.system_conf:
            args.system_conf["order"] = contract.order
        model = build(args.system, args.system_conf)
        model.contract, model.stats = contract, Stats.load(args.stats)
        args.labels = {"speakers": list(model.stats.speakers), "emotions": list(model.stats.emotions)}
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            with atomic_path(Path(args.output_dir) / "stats.npz") as temporary:
                temporary.write_bytes(Path(args.stats).read_bytes())
        return model

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: AbsEVCModel) -> list[torch.optim.Optimizer]:
        """One optimizer a turn, over what the turn owns; schedulers go to espnet2's numbered slots."""
        optimizers = []
        for number, turn in enumerate(model.turns, 1):
            conf = dict(args.optims.get(turn, {}))
            name = str(conf.pop("optim", "adam")).lower()
            if name not in optim_classes:
                raise UserError(f"optims.{turn}: there is no optimizer {name!r}{nearest(name, list(optim_classes))}")
            conf = {k: as_number(v) for k, v in conf.items() if k not in TURN_KEYS}
            check_keys(optim_classes[name], conf, f"optims.{turn}")
            if "betas" in conf:
                conf["betas"] = tuple(conf["betas"])
            optimizers.append(optim_classes[name](list(model.turn_parameters(turn)), **conf))
            suffix = "" if number == 1 else str(number)
            conf = dict(args.schedulers.get(turn, {}))
            name = conf.pop("scheduler", None)
            if name is not None and str(name).lower() not in scheduler_classes:
                known = list(scheduler_classes)
                raise UserError(f"schedulers.{turn}: there is no scheduler {name!r}{nearest(str(name), known)}")
            if name is not None:
                check_keys(scheduler_classes[str(name).lower()], conf, f"schedulers.{turn}")
            setattr(args, f"scheduler{suffix}", name and str(name).lower())
            setattr(args, f"scheduler{suffix}_conf", conf)
        return optimizers

    @classmethod
    def build_task_iter_factory(cls, args: argparse.Namespace, iter_options: Any, mode: str) -> Any:
        return build_factory(args, iter_options, mode)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return ("feats",)

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return ("f0", "power", "text", "durations", "spembs")

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Callable | None:
        return None

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        return build_collate(get_class(args.system).collation)
