"""Exponential moving average of parameters, kept beside the model."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


class EMA:
    """Average of some parameters of a model, shadow = decay * shadow + (1 - decay) * parameter.

    The decay is ramped up at the start, min(decay, (1 + step) / (10 + step)), so that the first random weights fade.

    Args:
        model: the model whose names the state holds.
        parameters: those to average (usually what one turn owns).
        decay: 0.999 averages over about a thousand steps.
    """

    def __init__(self, model: nn.Module, parameters: Iterable[nn.Parameter], decay: float):
        chosen = {id(p) for p in parameters}
        self.live = {name: p for name, p in model.named_parameters() if id(p) in chosen}
        self.shadow = {name: p.detach().clone() for name, p in self.live.items()}
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the present parameters into the average."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        torch._foreach_lerp_(list(self.shadow.values()), [p.detach() for p in self.live.values()], 1 - decay)

    @contextmanager
    @torch.no_grad()
    def applied(self) -> Iterator[None]:
        """Within the block the model's parameters are the averages."""
        kept = {name: p.detach().clone() for name, p in self.live.items()}
        for name, p in self.live.items():
            p.copy_(self.shadow[name])
        try:
            yield
        finally:
            for name, p in self.live.items():
                p.copy_(kept[name])

    def state_dict(self) -> dict:
        return {"shadow": self.shadow, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        for name, value in self.shadow.items():
            value.copy_(state["shadow"][name])
        self.steps = state["steps"]
