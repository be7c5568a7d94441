"""Networks of the cross-speaker emotion-transfer TTS: phones, an emotion and a voice become a mel spectrogram.

Source: Wu et al., "Cross-speaker emotion transfer based on speaker condition layer normalization and semi-supervised
training in text-to-speech" (arXiv 2110.04153), sec. 2; the duration predictor and the iterative outputs after Elias et
al., "Parallel Tacotron" (arXiv 2010.11439). Every network takes masks (True: the position exists) and returns zeros
where there is padding, and no result depends on how much padding there is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.dropout import Dropout
from evc2.nets.layers.lightconv import LightConv
from evc2.nets.layers.masks import length_mask
from evc2.nets.layers.scln import SCLN, affines
from evc2.nets.layers.transformer import FFTBlock, SinusoidPositions


def regulate(x: torch.Tensor, durations: torch.Tensor, frames: int) -> torch.Tensor:
    """Repeat phones for as many frames as they last.

    Args:
        x: encodings of phones [B, L, C].
        durations: [B, L], frames of every phone, 0 for padding.
        frames: T, of the longest utterance (given, so that the device need not be asked).

    Returns:
        [B, T, C], zeros after the end of an utterance.
    """
    ends = durations.cumsum(1)
    times = torch.arange(frames, device=x.device).expand(len(x), -1).contiguous()
    phones = torch.searchsorted(ends, times, right=True).clamp_(max=x.shape[1] - 1)
    long = x.gather(1, phones[..., None].expand(-1, -1, x.shape[2]))
    return long * (times < ends[:, -1:])[..., None].to(x.dtype)


class TextEncoder(nn.Module):
    """Phones to encodings: embedding, sinusoid positions, FFT blocks (self-attention and convolution).

    Args:
        n_symbols: size of the table of phones; number 0 is padding.
        hidden: size of encodings.
        layers: number of blocks.
        positions: stored rows of the table of positions; longer texts are served by computing further ones.
        block: further arguments of :class:`FFTBlock`.
    """

    def __init__(self, n_symbols: int, hidden: int, layers: int, positions: int, block: dict):
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, hidden, padding_idx=0)
        self.positions = SinusoidPositions(positions, hidden)
        self.blocks = nn.ModuleList(FFTBlock(hidden, **block) for _ in range(layers))

    def forward(self, text: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Numbers [B, L] to encodings [B, L, hidden]."""
        x = self.positions(self.embedding(text))
        for block in self.blocks:
            x = block(x, mask)
        return x


class ReferenceEncoder(nn.Module):
    """A mel spectrogram to one vector: convolutions over time and bands, then a GRU whose last state counts.

    Source: Skerry-Ryan et al. (arXiv 1803.09047), sec. 3.1.

    Args:
        n_mels: bands.
        channels: of the convolutions, each of which halves time and bands.
        size: of the vector.
        silence: feature value of silence, which the edges are padded with (0 is loud in ln amplitude).
        dropout: of the vector.
    """

    def __init__(self, n_mels: int, channels: Sequence[int], size: int, silence: float, dropout: float = 0.0):
        super().__init__()
        self.silence = silence
        pairs = zip([1, *channels], channels, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1) for i, o in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in channels)
        bands = n_mels
        for _ in channels:
            bands = (bands + 1) // 2
        self.gru, self.dropout = nn.GRU(channels[-1] * bands, size, batch_first=True), Dropout(dropout)

    def forward(self, feats: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Features [B, T, n_mels] of ``lengths`` [B] frames to [B, size]; any number of frames from 1 on."""
        x = (feats - self.silence) * length_mask(lengths, feats.shape[1])[..., None].to(feats.dtype)
        # Channels last in memory, and one pass after each norm in its place: 0.7 of the time on a CPU.
        x = x[:, None].contiguous(memory_format=torch.channels_last)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            lengths = (lengths + 1) // 2
            x = norm(conv(x))
            # What lies behind the end of an utterance is as the edge of one that is alone: zeros.
            x = x.mul_(length_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)).relu_()
        states, _ = self.gru(x.transpose(1, 2).flatten(2))
        return self.dropout(states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2]))[:, 0])


class EmotionTokens(nn.Module):
    """A table of one token an emotion, attended to by a reference (soft) or chosen by number (hard).

    Args:
        n_emotions: number of emotions E.
        query: size of the reference vector.
        hidden: size of tokens and of the result.
    """

    def __init__(self, n_emotions: int, query: int, hidden: int):
        super().__init__()
        self.tokens = nn.Parameter(0.5 * torch.randn(n_emotions, hidden))
        self.query = nn.Linear(query, hidden, bias=False)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden, bias=False)

    def logits(self, reference: torch.Tensor) -> torch.Tensor:
        """Scores [B, E] before the softmax, of reference vectors [B, query]."""
        keys = self.key(torch.tanh(self.tokens))
        return self.query(reference) @ keys.T * keys.shape[1] ** -0.5

    def embed(self, scores: torch.Tensor) -> torch.Tensor:
        """Embeddings [B, hidden] of weights [B, E] (one-hot for a hard token)."""
        return scores @ self.value(torch.tanh(self.tokens)).to(scores.dtype)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU, and the way around them."""

    def __init__(self, hidden: int, inner: int, dropout: float):
        super().__init__()
        self.wide, self.narrow, self.dropout = nn.Linear(hidden, inner), nn.Linear(inner, hidden), Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.wide(x)
        # The same numbers: the compiler would keep a bit for each value, which takes it longer than the products.
        y = 0.5 * (y + y.abs()) if torch.compiler.is_compiling() and y.device.type == "cpu" else F.relu(y)
        return self.dropout.add(x, self.narrow(y))


class GatedLightConv(nn.Module):
    """Linear layer, gate (GLU), lightweight convolution, and the way around them; padding stays zero."""

    def __init__(self, hidden: int, heads: int, kernel: int, dropout: float):
        super().__init__()
        self.gate, self.conv = nn.Linear(hidden, 2 * hidden), LightConv(hidden, heads, kernel, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dropout.add(x, self.conv(F.glu(self.gate(x), dim=-1), mask))


class DurationPredictor(nn.Module):
    """Encodings with their emotion to what is spoken, and ln(frames + 1) of every phone.

    Args:
        hidden, positions, block: as for :class:`TextEncoder`.
        layers, heads, kernel, inner, dropout: of its lightweight-convolution blocks.
    """

    def __init__(
        self, hidden: int, positions: int, block: dict, layers: int, heads: int, kernel: int, inner: int, dropout: float
    ):
        super().__init__()
        self.positions, self.fuse = SinusoidPositions(positions, hidden), FFTBlock(hidden, **block)
        self.convs = nn.ModuleList(GatedLightConv(hidden, heads, kernel, dropout) for _ in range(layers))
        self.ffs = nn.ModuleList(FeedForward(hidden, inner, dropout) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.out = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, voice: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encodings [B, L, hidden] and voices [B, hidden] to fused encodings [B, L, hidden] and [B, L]."""
        x = self.positions(x)
        fused = self.fuse(x, mask)
        keep = mask[..., None].to(x.dtype)
        x = (fused + x + voice[:, None]) * keep
        for conv, ff, norm in zip(self.convs, self.ffs, self.norms, strict=True):
            x = norm(ff(conv(x, mask))) * keep
        return fused, self.out(x)[..., 0]


class Decoder(nn.Module):
    """Encodings of frames to mel spectrograms: blocks of gated lightweight convolution and feed-forward layers, whose
    normalisation is led by the voice (SCLN), each with a prediction of its own.

    Args:
        hidden: size of encodings and voices.
        n_mels: bands.
        layers, heads, kernel, inner, dropout: of the blocks.
        gain_offset: added to the gains of SCLN, see there.
    """

    def __init__(
        self,
        hidden: int,
        n_mels: int,
        layers: int,
        heads: int,
        kernel: int,
        inner: int,
        dropout: float,
        gain_offset: float,
    ):
        super().__init__()
        self.convs = nn.ModuleList(GatedLightConv(hidden, heads, kernel, dropout) for _ in range(layers))
        self.ffs = nn.ModuleList(FeedForward(hidden, inner, dropout) for _ in range(layers))
        self.conv_norms = nn.ModuleList(SCLN(hidden, hidden, gain_offset=gain_offset) for _ in range(layers))
        self.ff_norms = nn.ModuleList(SCLN(hidden, hidden, gain_offset=gain_offset) for _ in range(layers))
        self.heads = nn.ModuleList(nn.Linear(hidden, n_mels, bias=False) for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor, voice: torch.Tensor) -> list[torch.Tensor]:
        """[B, T, hidden] and voices [B, hidden] to mel spectrograms [B, T, n_mels]: of every block in training, of the
        last one otherwise.
        """
        keep, made = mask[..., None].to(x.dtype), []
        last, voices = len(self.heads) - 1, affines([*self.conv_norms, *self.ff_norms], voice)
        blocks = zip(self.convs, self.conv_norms, self.ffs, self.ff_norms, self.heads, strict=True)
        for i, (conv, norm, ff, norm2, head) in enumerate(blocks):
            x = norm2.norm(ff(norm.norm(conv(x, mask), voices[i])), voices[i + len(self.heads)]) * keep
            if self.training or i == last:
                made.append(head(x))  # without bias: padding stays zero
        return made
