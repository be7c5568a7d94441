"""Learning-rate schedules beyond espnet2's."""

from collections.abc import Sequence

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler, AbsEpochStepScheduler


class _ConstantThenLinear(torch.optim.lr_scheduler.LRScheduler):
    """Constant ``constant`` times, then linearly to zero over ``decay`` times, and zero after that."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, constant: int = 200000, decay: int = 200000, last_epoch: int = -1
    ):
        if constant < 0 or decay < 1:
            raise ValueError(f"constant must be 0 or more and decay 1 or more, got {constant} and {decay}")
        self.constant, self.decay = constant, decay
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = 1.0 - max(0, self.last_epoch - self.constant) / self.decay
        return [base * min(1.0, max(0.0, factor)) for base in self.base_lrs]


class ConstantThenLinear(_ConstantThenLinear, AbsBatchStepScheduler):
    """Counts steps. Source: the published CycleGAN voice converters (200,000 + 200,000 iterations)."""


class ConstantThenLinearEpoch(_ConstantThenLinear, AbsEpochStepScheduler):
    """Counts epochs. Source: the published VAE-GAN voice converter (50 + 50 epochs)."""


class NoamAnneal(torch.optim.lr_scheduler.LRScheduler, AbsBatchStepScheduler):
    """Linear warm-up to the optimizer's rate, then with the inverse root of the step; times ``anneal_rate`` after each
    of ``anneal_steps``.

    Source: Vaswani et al. (arXiv 1706.03762), eq. 3, where the highest rate is ``(size * warmup_steps) ** -0.5``; the
    annealing as in published FastSpeech-like recipes.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int = 4000,
        anneal_steps: Sequence[int] = (),
        anneal_rate: float = 0.3,
        last_epoch: int = -1,
    ):
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps must be 1 or more, got {warmup_steps}")
        self.warmup_steps, self.anneal_steps, self.anneal_rate = warmup_steps, tuple(anneal_steps), anneal_rate
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch + 1
        factor = min(step / self.warmup_steps, (self.warmup_steps / step) ** 0.5)
        factor *= self.anneal_rate ** sum(step > bound for bound in self.anneal_steps)
        return [base * factor for base in self.base_lrs]
