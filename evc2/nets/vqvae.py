"""One-dimensional VQ-VAE-2 on mel spectrograms: units of speech without a speaker, and a decoder that is told one.

Sources: Razavi, van den Oord and Vinyals, "Generating diverse high-fidelity images with VQ-VAE-2" (arXiv 1906.00446);
the one-dimensional form with a speaker embedding is a published entry to the ZeroSpeech Challenge 2020. With the
default sizes and 102 speakers it has that code's 18,226,704 parameters.

Spectrograms are [B, n_mels, T]; T must be a multiple of 8. A bottom code stands for 4 frames, a top code for 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.nets.layers.conv1d import Conv1d, ConvTranspose1d, Layers, conv_norm
from evc2.nets.layers.quantizer import Quantizer

SLOPE = 0.01
LEVELS = ("both", "bottom")


class ResBlock(nn.Module):
    """[B, C, T] -> the same: LReLU, convolution, batch norm, LReLU, convolution, batch norm, plus input.

    Args:
        preact_skip: the skip carries the activated input, as in the published code (its first activation is in place).
    """

    def __init__(self, channels: int, preact_skip: bool = False):
        super().__init__()
        self.conv1, self.conv2 = Conv1d(channels, channels, 3, padding=1), Conv1d(channels, channels, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        self.preact_skip = preact_skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.leaky_relu(x, SLOPE)
        h = conv_norm(self.conv1, self.norm1, active, SLOPE)
        return conv_norm(self.conv2, self.norm2, h) + (active if self.preact_skip else x)


def res_stack(channels: int, n_res: int, preact_skip: bool) -> nn.Sequential:
    """Residual blocks and a last activation."""
    return nn.Sequential(*(ResBlock(channels, preact_skip) for _ in range(n_res)), nn.LeakyReLU(SLOPE))


def halving(inside: int, outside: int) -> list[nn.Module]:
    """Layers that halve the frame rate."""
    return [Conv1d(inside, outside, 4, stride=2, padding=1), nn.BatchNorm1d(outside), nn.LeakyReLU(SLOPE)]


@dataclass
class Codes:
    """What the encoder gives: ``code`` [B, dim, T / 4] (upsampled top, then bottom), commitment loss [], and numbers
    ``bottom`` [B, T / 4] and ``top`` [B, T / 8] (None with one level).
    """

    code: torch.Tensor
    commitment: torch.Tensor
    bottom: torch.Tensor
    top: torch.Tensor | None


class CodeEncoder(nn.Module):
    """All that lies between spectrogram and code, the quantisers included: [B, n_mels, T] -> :class:`Codes`.

    Args:
        n_mels: mel bands.
        channels: width.
        embed_dim: of a code vector.
        n_embed: codes of a level, or [top, bottom].
        n_res: residual blocks of a stack.
        levels: ``both``, or ``bottom`` for one level of codes.
        preact_skip: see :class:`ResBlock`.
        quantizer: further arguments of :class:`~evc2.nets.layers.quantizer.Quantizer`.
    """

    def __init__(
        self,
        n_mels: int = 80,
        channels: int = 512,
        embed_dim: int = 64,
        n_embed: int | Sequence[int] = 128,
        n_res: int = 2,
        levels: str = "both",
        preact_skip: bool = False,
        quantizer: dict | None = None,
    ):
        super().__init__()
        if levels not in LEVELS:
            raise UserError(f"vqvae: levels is {levels!r}, expected {' or '.join(LEVELS)}")
        sizes = [n_embed] * 2 if isinstance(n_embed, int) else list(n_embed)
        if len(sizes) != 2 or not all(isinstance(n, int) and n > 1 for n in sizes):
            raise UserError(f"vqvae: n_embed is {n_embed!r}, expected a number of codes, or two: [top, bottom]")
        self.levels, self.sizes, self.dim = levels, sizes, embed_dim * (2 if levels == "both" else 1)
        stack = (channels, n_res, preact_skip)
        self.enc_b = Layers(
            *halving(n_mels, channels), *halving(channels, channels), Conv1d(channels, channels, 3, padding=1),
            *res_stack(*stack),
        )  # fmt: skip
        inside = channels
        if levels == "both":
            self.enc_t = Layers(
                *halving(channels, channels), Conv1d(channels, channels, 3, padding=1), *res_stack(*stack)
            )
            self.quantize_conv_t = Conv1d(channels, embed_dim, 1)
            self.quantize_t = Quantizer(sizes[0], embed_dim, **(quantizer or {}))
            self.dec_t = nn.Sequential(
                Conv1d(embed_dim, channels, 3, padding=1), *res_stack(*stack),
                ConvTranspose1d(channels, embed_dim, 4, stride=2, padding=1),
            )  # fmt: skip
            self.upsample_t = ConvTranspose1d(embed_dim, embed_dim, 4, stride=2, padding=1)
            inside += embed_dim
        self.quantize_conv_b = Conv1d(inside, embed_dim, 1)
        self.quantize_b = Quantizer(sizes[1], embed_dim, **(quantizer or {}))

    @property
    def quantizers(self) -> dict[str, Quantizer]:
        """By level."""
        top = {"top": self.quantize_t} if self.levels == "both" else {}
        return {**top, "bottom": self.quantize_b}

    def forward(self, mel: torch.Tensor) -> Codes:
        bottom = self.enc_b(mel)
        if self.levels == "bottom":
            code, loss, index = self.quantize_b(self.quantize_conv_b(bottom))
            return Codes(code, loss, index, None)
        top, loss_t, index_t = self.quantize_t(self.quantize_conv_t(self.enc_t(bottom)))
        both = torch.cat((self.dec_t(top).to(bottom.dtype), bottom), 1)
        quantised, loss_b, index_b = self.quantize_b(self.quantize_conv_b(both))
        code = torch.cat((self.upsample_t(top).to(quantised.dtype), quantised), 1)
        return Codes(code, loss_t + loss_b, index_b, index_t)


class MelDecoder(nn.Module):
    """Codes [B, dim, N] and speaker vectors [B, speaker_dim] to spectrograms [B, n_mels, 4 N]."""

    def __init__(
        self, dim: int, n_mels: int = 80, channels: int = 512, speaker_dim: int = 32, n_res: int = 2,
        preact_skip: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.layers = nn.Sequential(
            Conv1d(dim + speaker_dim, channels, 3, padding=1), *res_stack(channels, n_res, preact_skip),
            ConvTranspose1d(channels, channels, 4, stride=2, padding=1), nn.BatchNorm1d(channels),
            nn.LeakyReLU(SLOPE), ConvTranspose1d(channels, n_mels, 4, stride=2, padding=1),
        )  # fmt: skip

    def forward(self, code: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        return self.layers(with_speaker(code, speaker))


def with_speaker(code: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
    """Code [B, dim, N] and a vector [B, S] at each of its places: [B, dim + S, N]."""
    return torch.cat((code, speaker.to(code.dtype)[:, :, None].expand(-1, -1, code.shape[2])), 1)


class SpeakerClassifier(nn.Module):
    """Codes [B, dim, N], N at least 4, to logits [B, n_speakers]: whom the codes are to leave clueless."""

    def __init__(self, dim: int, n_speakers: int, channels: int = 256):
        super().__init__()
        self.layers = Layers(
            Conv1d(dim, channels, 4, stride=2, padding=1), nn.BatchNorm1d(channels), nn.LeakyReLU(SLOPE),
            Conv1d(channels, channels, 4, stride=2, padding=1), nn.BatchNorm1d(channels), nn.ReLU(),
            Conv1d(channels, channels, 3, padding=1), nn.BatchNorm1d(channels), ResBlock(channels), nn.ReLU(),
        )  # fmt: skip
        self.score = nn.Linear(channels, n_speakers)
        draw_weights(self)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        return self.score(self.layers(code).mean(2))


def draw_weights(net: nn.Module) -> None:
    """Kaiming normal weights of convolutions (published); biases stay."""
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.kaiming_normal_(module.weight)
