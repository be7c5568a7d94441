"""A training step as evc2's trainer makes it, without the trainer."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from evc2.train.abs_model import AbsTurnModel


class Turns:
    """Every turn of a model on a batch: forward pass, backward pass, clipping, optimizer.

    Args:
        optimizers: one a turn, over what the turn owns.
        dtype: of autocast; ``none``: full precision.
        compiled: by torch.compile, as --compile does.
        clip: largest gradient norm, by turn (no entry: no clipping).
    """

    def __init__(
        self,
        model: AbsTurnModel,
        optimizers: Sequence[torch.optim.Optimizer],
        dtype: str = "none",
        compiled: bool = False,
        device: str = "cpu",
        clip: Mapping[str, float] | None = None,
    ):
        self.m, self.dtype, self.device, self.clip = model, dtype, device, clip or {}
        self.optimizers, self.steps = dict(zip(model.turns, optimizers, strict=True)), 0
        self.owned = {turn: list(model.turn_parameters(turn)) for turn in model.turns}
        self.parameters = list(model.parameters())
        if compiled:
            for network in model.networks().values():
                network.compile()

    def autocast(self) -> contextlib.AbstractContextManager:
        """The numeric context of forward passes."""
        if self.dtype == "none":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.dtype))

    def step(self, batch: Mapping[str, Any]) -> list[torch.Tensor]:
        """Losses of all turns, still on the device."""
        with self.autocast():
            cache, losses = self.m.begin_batch(self.steps, batch), []
        for turn, optimizer in self.optimizers.items():
            if len(self.optimizers) > 1:
                for parameter in self.parameters:
                    parameter.requires_grad_(False)
                for parameter in self.owned[turn]:
                    parameter.requires_grad_(True)
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss, _, _ = self.m(turn=turn, step=self.steps, cache=cache, **batch)
            loss.backward()
            if self.clip.get(turn):
                owned = [p for p in self.owned[turn] if p.grad is not None]
                torch.nn.utils.clip_grad_norm_(owned, self.clip[turn])
            optimizer.step()
            losses.append(loss.detach())
        for parameter in self.parameters if len(self.optimizers) > 1 else ():
            parameter.requires_grad_(True)
        self.steps += 1
        return losses

    def __call__(self, batch: Mapping[str, Any]) -> list[float]:
        return [loss.item() for loss in self.step(batch)]
