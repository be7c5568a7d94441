"""DeepSpeaker's ResCNN: a wav becomes one vector that tells its speaker from others.

Source: Li et al., "Deep Speaker: an end-to-end neural speaker embedding system", arXiv 1705.02304, table 1, in the form
of the published Keras weights (philipperemy/deep-speaker, ResCNN_triplet_training_checkpoint_265.h5). That form
differs from the paper in one place: the second convolution of a residual block is clipped before the sum and not only
after it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from evc2.feats.fbank import N_BANDS, deepspeaker_input
from evc2.fileio.keras_h5 import read_weights

FILTERS = (64, 128, 256, 512)
SIZE = 512
"""Values of an embedding."""

WINDOW = 160
"""Frames (1.6 s) that the network sees at once; it was trained on pieces of this length."""

STEP = 80
"""Frames between the starts of two windows of a longer recording."""

BLOCKS = 3
CEILING = 20.0
_CHUNK = 16  # windows computed together; more cost memory and save no time on a CPU


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis for Keras's "same": the output has ceil(size / stride), the odd zero is behind."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


class ConvUnit(nn.Module):
    """Convolution with "same" padding, batch normalisation (epsilon 1e-3, Keras's) and ReLU clipped at 20."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, F] -> [B, C', ceil(T / stride), ceil(F / stride)]."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        pads = (*same_padding(x.shape[3], kernel, stride), *same_padding(x.shape[2], kernel, stride))
        return self.norm(self.conv(F.pad(x, pads))).clamp(0.0, CEILING)


class ResidualBlock(nn.Module):
    """Two units of 3 x 3 beside the identity; the sum is clipped again. [B, C, T, F], unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = ConvUnit(channels, channels, 3), ConvUnit(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return (x + self.second(self.first(x))).clamp(0.0, CEILING)


class Stage(nn.Module):
    """A 5 x 5 unit of stride 2, then three residual blocks: [B, C, T, F] -> [B, C', ceil(T / 2), ceil(F / 2)]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.entry = ConvUnit(inputs, outputs, 5, 2)
        self.blocks = nn.Sequential(*(ResidualBlock(outputs) for _ in range(BLOCKS)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.blocks(self.entry(x))


class DeepSpeaker(nn.Module):
    """Frames [B, T, 64] of :func:`evc2.feats.fbank.deepspeaker_input` -> embeddings [B, 512] of unit length.

    Args:
        filters: channels of the stages; each halves time and bands (64 bands allow up to 6 stages).
        size: values of an embedding.
    """

    def __init__(self, filters: Sequence[int] = FILTERS, size: int = SIZE) -> None:
        super().__init__()
        self.filters = tuple(filters)
        self.stages = nn.Sequential(*(Stage(*pair) for pair in zip((1, *filters), filters, strict=False)))
        self.affine = nn.Linear(filters[-1] * (N_BANDS >> len(self.filters)), size)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """See the class; the mean over time is taken before the affine layer."""
        x = self.stages(frames.unsqueeze(1))
        x = x.permute(0, 2, 3, 1).flatten(2).mean(dim=1)  # Keras's order: the channels of a band lie together
        return F.normalize(self.affine(x), dim=1)

    @torch.inference_mode()
    def embed(self, wav: np.ndarray) -> np.ndarray:
        """One embedding of a recording: the mean over windows of 1.6 s, scaled to unit length. Nothing is random.

        The published code takes one window at a random place and fills a short one up with zeros; here windows overlap
        by half and cover everything, and a short recording is repeated.

        Args:
            wav: [n] at 16 kHz.

        Returns:
            [512] float32 of length 1.

        Raises:
            ValueError: an empty or silent signal.
        """
        frames = torch.from_numpy(windows(deepspeaker_input(wav))).to(self.affine.weight.device)
        mean = torch.cat([self(chunk) for chunk in frames.split(_CHUNK)]).mean(dim=0)
        return F.normalize(mean, dim=0).cpu().numpy()

    def keras_layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Names of the published layers with weights, and our modules for them."""
        for number, (channels, stage) in enumerate(zip(self.filters, self.stages, strict=True), 1):
            units = [(f"conv{channels}-s", stage.entry)]
            for index, block in enumerate(stage.blocks):
                units.append((f"res{number}_{index}_branch_2a", block.first))
                units.append((f"res{number}_{index}_branch_2b", block.second))
            for name, unit in units:
                yield name, unit.conv
                yield f"{name}_bn", unit.norm
        yield "affine", self.affine


def windows(frames: np.ndarray) -> np.ndarray:
    """Overlapping windows that cover all frames: [T, D] -> [N, 160, D]. Fewer than 160 frames are repeated."""
    if len(frames) < WINDOW:
        frames = np.concatenate([frames] * -(-WINDOW // len(frames)))[:WINDOW]
    last = len(frames) - WINDOW
    starts = [*range(0, last, STEP), last]
    return np.stack([frames[start : start + WINDOW] for start in starts])


def _weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Keras's names of a module's weights -> our tensors in Keras's order of axes, as views that can be written to."""
    if isinstance(module, nn.BatchNorm2d):
        return {
            "gamma": module.weight.data,
            "beta": module.bias.data,
            "moving_mean": module.running_mean,
            "moving_variance": module.running_var,
        }
    kernel = module.weight.data
    return {"kernel": kernel.permute(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T, "bias": module.bias.data}


def load_keras(path: str | os.PathLike[str], filters: Sequence[int] = FILTERS, size: int = SIZE) -> DeepSpeaker:
    """The network with the weights of a Keras .h5 file, on the CPU, for inference. Needs h5py only.

    Args:
        path: ResCNN_triplet_training_checkpoint_265.h5, or a file of the same layers.
        filters, size: as for :class:`DeepSpeaker`; the published ones unless given.

    Raises:
        UserError: h5py or the file is missing, or layers, shapes or values are not those of this network.
    """
    net = DeepSpeaker(filters, size)
    places = {
        f"{layer}/{name}": tensor
        for layer, module in net.keras_layers()
        for name, tensor in _weights_of(module).items()
    }
    found = read_weights(path, {name: tuple(tensor.shape) for name, tensor in places.items()})
    for name, tensor in places.items():
        tensor.copy_(torch.from_numpy(found[name]))
    return net.eval().requires_grad_(False)
