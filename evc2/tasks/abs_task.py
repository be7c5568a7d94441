"""What all tasks share: espnet2's AbsTask with turns, evc2's trainer and configuration checks."""

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import torch
from espnet2.tasks.abs_task import AbsTask, optim_classes, scheduler_classes
from espnet2.utils import config_argparse
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import str_or_none

from evc2.cli import run
from evc2.errors import UserError, check_keys, nearest
from evc2.feats.contract import FeatureContract
from evc2.train.abs_model import AbsTurnModel
from evc2.train.collate_fn import build_collate
from evc2.train.options import resolve_amp
from evc2.train.processes import meeting_point
from evc2.train.schedulers import ConstantThenLinear, ConstantThenLinearEpoch, NoamAnneal
from evc2.train.trainer import EVCTrainer

scheduler_classes["constantthenlinear"] = ConstantThenLinear
scheduler_classes["constantthenlinearepoch"] = ConstantThenLinearEpoch
scheduler_classes["noamanneal"] = NoamAnneal
TURN_KEYS = ("optim", "grad_clip", "start_step")  # of a turn's entry in optims; the rest goes to the optimizer


def as_number(value: Any) -> Any:
    """Read 1e-4 as the number that its writer meant (YAML takes it for text, because it has no point)."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class ConfigParser(config_argparse.ArgumentParser):
    """espnet2's parser, with the nearest valid name for an option or config key that does not exist."""

    def error(self, message: str) -> None:
        if "unrecognized arguments:" in message:
            word = message.split("unrecognized arguments:")[1].split()[0]
            known = [a.dest for a in self._actions]
            message += nearest(word.lstrip("-").split("=")[0], known)
        super().error(message)


class TurnTask(AbsTask):
    """Models with turns. Optimizers and schedulers go by turn: ``optims: {generator: {optim: adam, lr: ...}}``.

    A task says which class ``model_class`` an argument set builds, ``check`` what is particular to it, and what
    options it adds; those that all tasks have are here.
    """

    num_optimizers = 4  # the most turns that a model has; fewer are returned by build_optimizers
    trainer = EVCTrainer
    needed: tuple[str, ...] = ("feats_contract", "train_dir", "valid_dir")

    @classmethod
    def model_class(cls, args: argparse.Namespace) -> type[AbsTurnModel]:
        """The class of the model that these arguments ask for."""
        raise NotImplementedError

    @classmethod
    def check(cls, args: argparse.Namespace) -> None:
        """Check and complete what only this task has, before anything is built."""

    @classmethod
    def get_parser(cls) -> config_argparse.ArgumentParser:
        parser = super().get_parser()
        parser.__class__ = ConfigParser  # the class that espnet2 builds is fixed; ours adds one method
        return parser

    @classmethod
    def add_turn_arguments(cls, parser: argparse.ArgumentParser) -> Any:
        """Add the options of all tasks; return the group for further ones."""
        group = parser.add_argument_group("Task related (evc2)")
        group.add_argument("--optims", action=NestedDictAction, default={}, help="Optimizer by turn")
        group.add_argument("--schedulers", action=NestedDictAction, default={}, help="Scheduler by turn")
        group.add_argument("--feats_contract", default=None, help="Feature contract (feats.yaml) of the data")
        group.add_argument("--train_dir", type=str_or_none, default=None, help="Feature dir for training")
        group.add_argument("--valid_dir", type=str_or_none, default=None, help="Feature dir for validation")
        group.add_argument("--crop_frames", type=int, default=128, help="Frames of a training crop")
        group.add_argument(
            "--gain",
            type=float,
            nargs="*",
            default=None,
            help="Range of random level factors of waveform crops: LOW HIGH",
        )
        parser.set_defaults(
            unused_parameters=True, iterator_type="task", num_workers=0, batch_type="unsorted", num_att_plot=0
        )
        return group

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: Sequence[str] | None = None) -> None:
        if args is None:
            args = cls.get_parser().parse_args(cmd)
        if not args.print_config:
            cls.prepare(args)
        super().main(args)

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """As espnet2's. A process of its own (one a GPU) ends on a user's mistake with a sentence, too."""
        if multiprocessing.parent_process() is None:
            super().main_worker(args)
        else:
            run(lambda: super(TurnTask, cls).main_worker(args), f"process {args.dist_rank}")

    @classmethod
    def prepare(cls, args: argparse.Namespace) -> None:
        """Check the configuration before anything is built, and resolve what the other options follow from."""
        cls.check_required_command_args(args)
        model = cls.model_class(args)
        if args.optim_conf or args.scheduler or args.scheduler_conf:
            raise UserError("optimizers and schedulers go by turn here: use optims: and schedulers:, not optim_conf:")
        for name, given in (("optims", args.optims), ("schedulers", args.schedulers)):
            for turn in given:
                if turn not in model.turns:
                    known = ", ".join(model.turns) + nearest(turn, list(model.turns))
                    raise UserError(f"{name}: {cls.name_of(args)} has no turn {turn!r}; turns: {known}")
        if args.dist_launcher == "slurm" and args.dist_master_addr is None:
            args.dist_master_addr = meeting_point()  # espnet2's own cuts names of nodes at the first dash
        if args.ngpu > 1:
            args.multiprocessing_distributed = True  # one process a GPU; DataParallel is not supported
        args.turn_options = {t: {k: c[k] for k in TURN_KEYS[1:] if k in c} for t, c in args.optims.items()}
        for option in cls.needed:
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
                setattr(args, option, [(f"{folder}/{n}.scp", n, "kaldi_ark") for n in model.required])
        if args.gain is not None and (len(args.gain) != 2 or not 0 < args.gain[0] <= args.gain[1]):
            raise UserError(f"--gain: expected two factors LOW HIGH with 0 < LOW <= HIGH, found {args.gain}")
        cls.check(args)
        if args.use_amp and args.amp_dtype == "none":
            args.amp_dtype = "bfloat16"
        args.amp_dtype = resolve_amp(args.amp_dtype, args.ngpu)
        args.use_amp = False  # espnet2's own flag would scale losses on the CPU

    @classmethod
    def name_of(cls, args: argparse.Namespace) -> str:
        """What to call the model in a message."""
        return cls.model_class(args).__name__

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: AbsTurnModel) -> list[torch.optim.Optimizer]:
        """One optimizer a turn, over what the turn owns; schedulers go to espnet2's numbered slots."""
        for turn in args.optims:
            if turn not in model.turns:
                known = ", ".join(model.turns)
                raise UserError(f"optims: {cls.name_of(args)} has no turn {turn!r} as it is configured; turns: {known}")
        model.start_steps = {turn: conf.get("start_step", 0) for turn, conf in args.turn_options.items()}
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
            groups = model.turn_groups(turn)
            for group in groups:
                scale = group.pop("lr_scale")
                if scale != 1.0:
                    group["lr"] = scale * float(conf.get("lr", optim_classes[name](group["params"]).defaults["lr"]))
            optimizers.append(optim_classes[name](groups, **conf))
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
        return build_collate(cls.model_class(args).collation)
