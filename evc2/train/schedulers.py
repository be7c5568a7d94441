"""Learning-rate schedules beyond espnet2's."""

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
