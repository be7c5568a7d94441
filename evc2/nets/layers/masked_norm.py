"""Batch normalisation whose statistics are of what is there, not of padding."""

import torch
from torch import nn


class MaskedBatchNorm(nn.BatchNorm1d):
    """nn.BatchNorm1d over [B, C, T] with a mask [B, T]; padding comes out as zeros."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        keep = mask[:, None].to(x.dtype)
        if not self.training:
            return super().forward(x) * keep
        with torch.autocast(x.device.type, enabled=False):
            x, there = x.float(), mask[:, None].float()
            count = there.sum()
            mean = (x * there).sum((0, 2)) / count
            centred = (x - mean[:, None]) * there
            var = centred.square().sum((0, 2)) / count
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1).clamp(min=1), self.momentum)
            gain = self.weight * (var + self.eps).rsqrt()
            return torch.addcmul(self.bias[:, None] * there, centred, gain[:, None])
