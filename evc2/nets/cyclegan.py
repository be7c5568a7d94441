"""Generator and discriminator of CycleGAN voice conversion on mel-cepstra.

Sources: Kaneko and Kameoka, "Parallel-data-free voice conversion using cycle-consistent adversarial networks"
(arXiv 1711.11293), and its emotional form, Gao et al., "Nonparallel emotional speech conversion" (arXiv 1811.01174).
With the default widths the parameter counts are those of the published code: 38,055,704 and 21,837,825.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from evc2.nets.layers.conv import GatedConv1d, GatedConv2d, ResidualGLU, pad_same


class Generator(nn.Module):
    """One-dimensional gated CNN that maps normalised features of one domain to the other: [B, dim, T] -> [B, dim, T].

    Args:
        dim: features a frame (24 in the published code).
        channels: width of the first layer; every other width is a multiple of it.
        num_res: residual blocks at a quarter of the frame rate.

    T must be a multiple of 4 (two down-samplings by 2).
    """

    multiple = 4

    def __init__(self, dim: int = 24, channels: int = 128, num_res: int = 6):
        super().__init__()
        c = channels
        self.head = GatedConv1d(dim, c, 15, norm="none")
        self.down = nn.Sequential(GatedConv1d(c, 2 * c, 5, stride=2), GatedConv1d(2 * c, 4 * c, 5, stride=2))
        self.res = nn.Sequential(*(ResidualGLU(4 * c, 8 * c) for _ in range(num_res)))
        self.up = nn.Sequential(GatedConv1d(4 * c, 4 * c, 5, shuffle=2), GatedConv1d(4 * c, 2 * c, 5, shuffle=2))
        self.out = nn.Conv1d(2 * c, dim, 15)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Raises ValueError when the number of frames is not a multiple of 4."""
        if x.shape[-1] % self.multiple:
            raise ValueError(f"the generator takes a multiple of {self.multiple} frames, got {x.shape[-1]}")
        x = self.up(self.res(self.down(self.head(x))))
        return self.out(pad_same(x, (15,), (1,)))


class Discriminator(nn.Module):
    """Two-dimensional gated CNN over (feature, time) with one decision a patch: [B, dim, T] -> [B, dim / 4, T / 16].

    Args:
        channels: width of the first layer.
        sigmoid: squash the decisions to (0, 1) as the published code does. Together with the least-squares loss this
            saturates: the published curves end with a discriminator loss of 1e-11.
        num_classes: adds an emotion classifier on the pooled trunk (0: none).
        spectral: spectral normalisation of every convolution.
    """

    def __init__(self, channels: int = 128, sigmoid: bool = False, num_classes: int = 0, spectral: bool = False):
        super().__init__()
        c = channels
        self.trunk = nn.Sequential(
            GatedConv2d(1, c, (3, 3), (1, 2), norm=False),
            GatedConv2d(c, 2 * c, (3, 3), (2, 2)),
            GatedConv2d(2 * c, 4 * c, (3, 3), (2, 2)),
            GatedConv2d(4 * c, 8 * c, (6, 3), (1, 2)),
        )
        self.patch = nn.Conv2d(8 * c, 1, 1)
        self.classes = nn.Linear(8 * c, num_classes) if num_classes else None
        self.sigmoid = sigmoid
        nn.init.xavier_uniform_(self.patch.weight)
        nn.init.zeros_(self.patch.bias)
        if spectral:
            for block in self.trunk:
                spectral_norm(block.conv)
            spectral_norm(self.patch)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the patch decisions [B, F', T'] and the class logits [B, num_classes] (None without classifier)."""
        h = self.trunk(x.unsqueeze(1))
        patch = self.patch(h).squeeze(1)
        logits = None if self.classes is None else self.classes(h.mean((2, 3)))
        return (patch.sigmoid() if self.sigmoid else patch), logits
