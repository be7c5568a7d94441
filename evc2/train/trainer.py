"""Training with N turns a batch, that can be killed at any moment.

espnet2's Trainer is kept for its options, reporter and distributed launching; what runs here is run, resume,
train_one_epoch and validate_one_epoch, because espnet2's own knows one loss, saves once an epoch, and not atomically.
"""

import argparse
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler, AbsEpochStepScheduler, AbsValEpochStepScheduler
from espnet2.torch_utils.device_funcs import to_device
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.train.reporter import SubReporter
from espnet2.train.trainer import Trainer
from espnet2.utils.build_dataclass import build_dataclass

from evc2.train import checkpoint
from evc2.train.abs_model import AbsTurnModel
from evc2.train.iterators import EVCIterFactory
from evc2.train.monitor import StatsBuffer, restore_reporter
from evc2.train.options import EVCTrainerOptions, add_trainer_arguments
from evc2.train.processes import exchange_of_turn
from evc2.train.results import finish_epoch, write_averages, write_summary
from evc2.train.session import Session, Stopped
from evc2.train.turns import Owners


class EVCTrainer(Trainer):
    """espnet2's Trainer with turns, see the module."""

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_trainer_arguments(parser)

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> EVCTrainerOptions:
        return build_dataclass(EVCTrainerOptions, args)

    @classmethod
    def run(
        cls,
        model: AbsTurnModel,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[Any],
        train_iter_factory: EVCIterFactory,
        valid_iter_factory: EVCIterFactory,
        plot_attention_iter_factory: Any,
        trainer_options: EVCTrainerOptions,
        distributed_option: Any,
    ) -> None:
        """Train from the last checkpoint (with --resume) to max_epoch, max_steps or max_minutes."""
        options = trainer_options
        session = Session(model, optimizers, schedulers, options, distributed_option)
        session.begin()
        if options.compile:
            for network in model.networks().values():
                network.compile()
        wrapped = cls.distribute(model, options, distributed_option)
        writers = cls.writers(options) if session.main else None
        with session.signals():
            while session.epoch <= options.max_epoch and not (session.iteration == 0 and session.finished()):
                cls.run_epoch(session, wrapped, train_iter_factory, valid_iter_factory, writers)
                best = options.early_stopping_criterion
                if options.patience and session.reporter.has(*best[:2]):
                    if session.reporter.check_early_stopping(options.patience, *best):
                        break
        if session.main:
            write_averages(session)
            write_summary(session)
        for writer in writers or ():
            writer.close()

    @staticmethod
    def writers(options: EVCTrainerOptions) -> tuple[Any, ...] | None:
        """TensorBoard writers for training and validation."""
        if not options.use_tensorboard:
            return None
        from torch.utils.tensorboard import SummaryWriter

        return tuple(SummaryWriter(str(Path(options.output_dir) / "tensorboard" / name)) for name in ("train", "valid"))

    @staticmethod
    def distribute(model: AbsTurnModel, options: EVCTrainerOptions, dist: Any) -> torch.nn.Module:
        """Wrap the model for several processes. A turn leaves the others' parameters without gradient."""
        if not dist.distributed:
            return model
        device = [torch.cuda.current_device()] if options.ngpu > 0 else None
        wrapped = torch.nn.parallel.DistributedDataParallel(
            model,
            device_ids=device,
            find_unused_parameters=True,
            gradient_as_bucket_view=options.gradient_as_bucket_view,
        )
        wrapped.register_comm_hook(None, exchange_of_turn)
        return wrapped

    @classmethod
    def run_epoch(
        cls,
        session: Session,
        wrapped: torch.nn.Module,
        train: EVCIterFactory,
        valid: EVCIterFactory,
        writers: tuple[Any, ...] | None,
    ) -> None:
        """One epoch, or the rest of one: training, validation, schedules, files."""
        options, reporter, epoch = session.options, session.reporter, session.epoch
        if session.rng is None:
            # Each process draws numbers of its own (dropout, noise); networks and batches do not depend on them.
            set_all_random_seed(options.seed + epoch + 1_000_003 * session.rank)
        reporter.set_epoch(epoch)
        logging.info("epoch %d of %d, step %d", epoch, options.max_epoch, session.step)
        with reporter.observe("train") as sub:
            if session.partial:
                restore_reporter(sub, session.partial)
            iterator = train.build_iter(epoch, start=session.iteration)
            if session.rng is not None:  # after the iterator, which may have drawn from it
                checkpoint.set_rng_state(session.rng)
            session.partial = session.rng = None
            cls.train_one_epoch(wrapped, session, iterator, sub, writers and writers[0])
            mark = session.mark(sub)
        try:
            with session.averaged(), reporter.observe("valid") as sub:
                session.model.eval()
                session.make_alike()
                session.model.get_ready(train.dataset)
                cls.validate_one_epoch(wrapped, session, valid, sub)
        except Stopped as stopped:
            session.pause(stopped.args[0], mark)
        session.share(reporter.stats[epoch]["valid"])
        for scheduler in session.schedulers:
            if isinstance(scheduler, AbsValEpochStepScheduler):
                scheduler.step(reporter.get_value(*options.val_scheduler_criterion))
            elif isinstance(scheduler, AbsEpochStepScheduler):
                scheduler.step()
        if session.main:
            if note := session.model.remark(reporter.stats[epoch]["valid"], session.step):
                logging.warning(note)
            finish_epoch(session, valid.trials, writers)
        session.epoch, session.iteration = epoch + 1, 0
        session.save()

    @classmethod
    def train_one_epoch(
        cls, model: torch.nn.Module, session: Session, iterator: Iterator, reporter: SubReporter, writer: Any
    ) -> None:
        """Every turn on every batch. With accumulation, the optimizers step in turn order after the last of them."""
        options, core = session.options, session.model
        accumulate, buffer = options.accum_grad, StatsBuffer(reporter, session.dist.distributed)
        interval = options.log_interval or 50
        turns = list(zip(core.turns, session.optimizers, session.schedulers, strict=True))
        owners = Owners(core)
        model.train()
        clock = time.perf_counter()
        for _names, batch in iterator:
            loaded = time.perf_counter()
            batch = to_device(batch, session.device, non_blocking=True)  # the host goes on while it travels
            first, last = session.iteration % accumulate == 0, session.iteration % accumulate == accumulate - 1
            collected: dict[str, Any] = {}
            with session.autocast():
                cache = core.begin_batch(session.step, batch)
            for turn, optimizer, scheduler in turns:
                if session.step < options.turn_options.get(turn, {}).get("start_step", 0):
                    continue
                owners.only(turn)
                if first:
                    optimizer.zero_grad(set_to_none=True)
                with session.autocast():
                    loss, stats, weight = model(turn=turn, step=session.step, cache=cache, **batch)
                (session.scaler.scale(loss / accumulate) if session.scaler else loss / accumulate).backward()
                collected |= stats
                if accumulate == 1:
                    collected |= cls.update(session, turn, optimizer, scheduler, owners.of[turn])
            owners.everyone()
            if accumulate > 1 and last:
                for turn, optimizer, scheduler in turns:
                    if session.step >= options.turn_options.get(turn, {}).get("start_step", 0):
                        collected |= cls.update(session, turn, optimizer, scheduler, owners.of[turn])
            if last:
                if session.scaler:
                    session.scaler.update()
                if session.ema:
                    session.ema.update()
                session.step += 1
            now = time.perf_counter()
            buffer.add({**collected, "load_time": loaded - clock, "step_time": now - loaded}, weight)
            clock = now
            session.iteration += 1
            if session.iteration % interval == 0:
                buffer.flush()
                logging.info(reporter.log_message(-min(interval, reporter.count)))
                if writer is not None:
                    reporter.tensorboard_add_scalar(writer, -min(interval, reporter.count))
            if last and (why := session.due()):
                buffer.flush()
                session.pause(why, session.mark(reporter))
        buffer.flush()

    @staticmethod
    def update(
        session: Session,
        turn: str,
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        parameters: Sequence[torch.nn.Parameter],
    ) -> dict[str, Any]:
        """Clip and step what one turn owns; return its learning rate and gradient norm."""
        clip = session.options.turn_options.get(turn, {}).get("grad_clip", 0)
        stats: dict[str, Any] = {f"lr_{turn}": optimizer.param_groups[0]["lr"]}
        if session.scaler:
            session.scaler.unscale_(optimizer)
        if clip:
            owned = [p for p in parameters if p.grad is not None]
            stats[f"grad_norm_{turn}"] = torch.nn.utils.clip_grad_norm_(owned, clip)
        if session.scaler:
            session.scaler.step(optimizer)
        else:
            optimizer.step()
        if isinstance(scheduler, AbsBatchStepScheduler):
            scheduler.step()
        return stats

    @classmethod
    @torch.no_grad()
    def validate_one_epoch(
        cls, model: torch.nn.Module, session: Session, factory: EVCIterFactory, reporter: SubReporter
    ) -> None:
        """Losses of all turns on fixed crops, then the metrics of converted trials."""
        model.eval()
        buffer = StatsBuffer(reporter, session.dist.distributed)
        for _names, batch in factory.build_iter(session.epoch):
            batch = to_device(batch, session.device)
            with session.autocast():
                _, stats, weight = model(step=session.step, **batch)
            buffer.add(stats, weight)
            session.check()
        buffer.flush()
        if factory.trials is not None:  # every process: they must agree on what is best and when to stop
            factory.trials.score(session.model, reporter, session.check)
