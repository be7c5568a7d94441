"""Vector quantisation with a codebook that follows the data by moving averages."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError

ROUNDS = 10  # of k-means on the first batch
DEAD = 0.25  # of an equal share of the vectors; a code that gets less, and less than one a batch, is dead


class Quantizer(nn.Module):
    """Nearest code in squared Euclidean distance, with the straight-through gradient.

    Source: van den Oord, Vinyals and Kavukcuoglu (arXiv 1711.00937), eq. 2 and 3 (commitment alone) and appendix A.1
    (codebook by moving averages); Razavi, van den Oord and Vinyals (arXiv 1906.00446).

    In training, the first batch draws the codebook (k-means from data points; ``init`` ``normal`` keeps N(0, 1), as
    published), and codes that hardly any vector chooses start again at vectors of the batch. With several processes
    all see the vectors of all.

    Args:
        size: number of codes.
        dim: of a code.
        decay: of the averages a batch.
        eps: Laplace smoothing of the counts.
        init: ``data`` or ``normal``.
        restart: whether dead codes start again.
    """

    def __init__(
        self, size: int, dim: int, decay: float = 0.99, eps: float = 1e-5, init: str = "data", restart: bool = True
    ):
        super().__init__()
        if init not in ("data", "normal"):
            raise UserError(f"quantizer: init is {init!r}, expected data or normal")
        self.decay, self.eps, self.restart = decay, eps, restart
        codes = torch.randn(size, dim)
        self.register_buffer("codes", codes)
        self.register_buffer("counts", torch.ones(size))  # moving average of how many vectors chose a code
        self.register_buffer("sums", codes.clone())  # and of their sum
        self.register_buffer("ready", torch.tensor(init == "normal"))  # whether the codebook was drawn
        self.holds = False  # while true, training mode does not move the codebook

    def nearest(self, z: torch.Tensor) -> torch.Tensor:
        """Numbers [N] of the nearest codes to vectors [N, dim]."""
        return torch.addmm(self.codes.square().sum(1), z, self.codes.T, alpha=-2).argmin(1)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Quantise channel-first vectors.

        Args:
            z: [B, dim, T].

        Returns:
            quantised [B, dim, T] with z's gradient, commitment loss [] mean((sg(q) - z)^2), numbers [B, T].
        """
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            flat = z.detach().transpose(1, 2).reshape(-1, z.shape[1])
            learning = self.training and not self.holds
            if learning and not self.ready:
                self.draw(flat)
            index = self.nearest(flat)
            q = F.embedding(index, self.codes).view(z.shape[0], -1, z.shape[1]).transpose(1, 2)
            if learning:
                self.follow(flat, index)
            return z + (q - z).detach(), F.mse_loss(z, q), index.view(z.shape[0], -1)

    @torch.no_grad()
    def draw(self, flat: torch.Tensor) -> None:
        """Codebook by k-means of the first vectors [N, dim], started from a random choice of them."""
        flat = everywhere(flat)
        chosen = torch.randperm(len(flat), device=flat.device)
        codes = flat[chosen[torch.arange(len(self.codes), device=flat.device) % len(flat)]].clone()
        if len(flat) < len(codes):  # equal codes would never part
            codes += 1e-3 * flat.std() * torch.randn_like(codes)
        for _ in range(ROUNDS):
            self.codes.copy_(shared(codes))
            counts, sums = self.gather(flat, self.nearest(flat))
            codes = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], self.codes)
        self.codes.copy_(shared(codes))
        counts, sums = self.gather(flat, self.nearest(flat))
        self.counts.copy_(counts.clamp(min=1))
        self.sums.copy_(self.codes * self.counts[:, None])
        self.ready.fill_(True)

    def gather(self, flat: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How many vectors [N, dim] chose each code, and their sums."""
        counts = torch.bincount(index, minlength=len(self.codes)).to(flat.dtype)
        return counts, torch.zeros_like(self.codes).index_add_(0, index, flat)

    @torch.no_grad()
    def follow(self, flat: torch.Tensor, index: torch.Tensor) -> None:
        """Move the codebook towards the vectors of this batch."""
        counts, sums = self.gather(flat, index)
        if dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        total = self.counts.sum()
        smooth = (self.counts + self.eps) / (total + len(self.counts) * self.eps) * total
        self.codes.copy_(self.sums / smooth[:, None])
        if self.restart:
            # Without branches on the counts, so that a GPU need not wait for them.
            flat = everywhere(flat)
            limit = (DEAD * total / len(self.counts)).clamp(max=1.0)
            dead = self.counts < limit
            fresh = shared(flat[torch.randint(len(flat), (len(dead),), device=flat.device)])
            share = torch.where(dead, 2 * limit, self.counts)  # time to be chosen, before it is dead again
            self.codes.copy_(torch.where(dead[:, None], fresh, self.codes))
            self.sums.copy_(torch.where(dead[:, None], fresh * share[:, None], self.sums))
            self.counts.copy_(share)

    def perplexity(self, index: torch.Tensor | None = None) -> torch.Tensor:
        """exp of the entropy of the use of codes, 1 to ``size``: of these numbers, or of the moving average."""
        counts = self.counts if index is None else torch.bincount(index.flatten(), minlength=len(self.codes)).float()
        share = counts / counts.sum()
        return torch.special.entr(share).sum().exp()


def everywhere(flat: torch.Tensor) -> torch.Tensor:
    """Vectors [N, dim] of all processes, one after the other (the same N in all)."""
    if not dist.is_initialized():
        return flat
    parts = [torch.empty_like(flat) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, flat.contiguous())
    return torch.cat(parts)


def shared(x: torch.Tensor) -> torch.Tensor:
    """The first process's values in all."""
    if dist.is_initialized():
        x = x.contiguous()
        dist.broadcast(x, 0)
    return x
