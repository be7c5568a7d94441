"""WaveRNN: a recurrent network that writes a waveform sample by sample, conditioned on a mel spectrogram.

Source: Kalchbrenner et al., "Efficient neural audio synthesis" (arXiv 1802.08435), in the common form with one softmax
and with a residual network over the mel frames (the "alternative model" of fatchord/WaveRNN). With 80 mels, hop 200 and
512 classes it has 4.481 M parameters, as the published code has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError

#: Logistic distributions of the "mol" output; each has a weight, a mean and a log scale.
MIXTURES = 10


class ResBlock(nn.Module):
    """Two pointwise convolutions with a skip: [B, C, F] -> [B, C, F]."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, channels, 1, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 1, bias=False),
            nn.BatchNorm1d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class FrameNet(nn.Sequential):
    """Residual network over mel frames: [B, n_mels, F + 2 pad] -> [B, out, F]; only the first layer sees neighbours."""

    def __init__(self, n_mels: int, channels: int, out: int, blocks: int, pad: int):
        super().__init__(
            nn.Conv1d(n_mels, channels, 2 * pad + 1, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            *(ResBlock(channels) for _ in range(blocks)),
            nn.Conv1d(channels, out, 1),
        )


class Stretch(nn.Module):
    """Repeat every value ``factor`` times, then smooth over time with a learnable kernel of 2 factor + 1 taps.

    The kernel starts as a box of equal weights. It never reaches beyond the neighbouring frames, so phase p of an
    output frame is a weighted sum of three input frames, whose weights are sums of taps. That gives the same values as
    the convolution of the stretched signal (zeros beyond the edges) at a fraction of its cost.
    """

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor
        taps = 2 * factor + 1
        self.kernel = nn.Parameter(torch.full((taps,), 1 / taps))
        # Tap j of phase p reads the stretched sample p + j - factor, which lies in frame floor(that / factor).
        position = torch.arange(factor)[:, None] + torch.arange(taps)[None] - factor
        frame = torch.div(position, factor, rounding_mode="floor")
        members = torch.stack([frame == offset for offset in (-1, 0, 1)], dim=1).float()
        self.register_buffer("members", members, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, F] -> [B, C, F * factor]."""
        batch, channels, frames = x.shape
        weights = (self.members @ self.kernel).unsqueeze(1)  # [factor, 1, 3]
        phases = F.conv1d(x.reshape(batch * channels, 1, frames), weights.to(x.dtype), padding=1)
        return phases.transpose(1, 2).reshape(batch, channels, frames * self.factor)


def _rises(pair: Sequence[float]) -> bool:
    # Settings come from YAML: anything may stand there.
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return False
    return all(isinstance(value, (int, float)) for value in pair) and pair[0] < pair[1]


class WaveRNN(nn.Module):
    """Distribution of the next sample, given the former one and the mel spectrogram.

    Args:
        n_mels: mel bands.
        hop: samples a frame.
        upsample_scales: factors by which the mel is stretched in turn; their product is ``hop``.
        mode: "raw" (2 ** bits mu-law classes) or "mol" (mixture of logistics over 16-bit levels).
        bits: of the mu-law classes.
        rnn_dims: width of the recurrent layers.
        fc_dims: width of the two hidden output layers.
        compute_dims: width of the residual network over frames.
        res_out_dims: its outputs, shared out equally among four layers; a multiple of 4.
        res_blocks: its depth.
        pad: frames of context on either side of the conditioning.
        mel_range: two mel values that the layers shall see as 0 and 1, other values in proportion (not clipped); None
            leaves mels as they are. Kept with the weights, which mean nothing with another range.

    Raises:
        UserError: sizes that do not fit together, or a range that is none.
    """

    mel_range: torch.Tensor | None

    def __init__(
        self,
        n_mels: int = 80,
        hop: int = 256,
        upsample_scales: Sequence[int] = (4, 8, 8),
        mode: str = "raw",
        bits: int = 9,
        rnn_dims: int = 512,
        fc_dims: int = 512,
        compute_dims: int = 128,
        res_out_dims: int = 128,
        res_blocks: int = 10,
        pad: int = 2,
        mel_range: Sequence[float] | None = None,
    ):
        super().__init__()
        if math.prod(upsample_scales) != hop:
            raise UserError(
                f"upsample_scales: the product of {list(upsample_scales)} is {math.prod(upsample_scales)}, but the "
                f"features have hop {hop}; give factors whose product is {hop}"
            )
        if mode not in ("raw", "mol"):
            raise UserError(f"WaveRNN mode: expected raw or mol, found '{mode}'")
        if res_out_dims % 4:
            raise UserError(f"res_out_dims: expected a multiple of 4, found {res_out_dims}")
        if mel_range is not None and not _rises(mel_range):
            raise UserError(f"mel_range: expected contract, or [low, high] with low below high, found {mel_range}")
        self.n_mels, self.hop, self.pad, self.mode, self.bits = n_mels, hop, pad, mode, bits
        self.classes = 2**bits if mode == "raw" else 3 * MIXTURES
        self.rnn_dims, self.aux_dims = rnn_dims, res_out_dims // 4
        self.register_buffer("mel_range", None if mel_range is None else torch.tensor(mel_range, dtype=torch.float32))
        self.frame_net = FrameNet(n_mels, compute_dims, res_out_dims, res_blocks, pad)
        self.stretch = nn.Sequential(*(Stretch(scale) for scale in upsample_scales))
        self.input = nn.Linear(1 + n_mels + self.aux_dims, rnn_dims)
        self.rnn1 = nn.GRU(rnn_dims, rnn_dims, batch_first=True)
        self.rnn2 = nn.GRU(rnn_dims + self.aux_dims, rnn_dims, batch_first=True)
        self.hidden1 = nn.Linear(rnn_dims + self.aux_dims, fc_dims)
        self.hidden2 = nn.Linear(fc_dims + self.aux_dims, fc_dims)
        self.output = nn.Linear(fc_dims, self.classes)

    def conditioning(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the samples are conditioned on.

        Args:
            mel: [B, n_mels, F + 2 pad].

        Returns:
            Stretched mels [B, F * hop, n_mels] and frame features [B, F * hop, res_out_dims]; sample i belongs to frame
            i // hop, which is mel frame i // hop + pad.
        """
        if self.mel_range is not None:
            mel = (mel - self.mel_range[0]) / (self.mel_range[1] - self.mel_range[0])
        aux = self.frame_net(mel).repeat_interleave(self.hop, dim=2)
        start = self.pad * self.hop
        stretched = self.stretch(mel)[:, :, start : start + aux.shape[2]]
        return stretched.transpose(1, 2), aux.transpose(1, 2)

    def forward(self, wav_in: torch.Tensor, mel: torch.Tensor) -> torch.Tensor:
        """Teacher forcing.

        Args:
            wav_in: the signal one sample earlier, [B, F * hop] in [-1, 1] (raw: mu-law labels as floats).
            mel: [B, n_mels, F + 2 pad]; its frame ``pad`` belongs to the first ``hop`` samples.

        Returns:
            Logits of the classes, or parameters of the mixture: [B, F * hop, classes].
        """
        mels, aux = self.conditioning(mel)
        aux1, aux2, aux3, aux4 = aux.split(self.aux_dims, dim=2)
        x = self.input(torch.cat([wav_in.unsqueeze(2), mels, aux1], dim=2))
        x = x + self.rnn1(x)[0]
        x = x + self.rnn2(torch.cat([x, aux2], dim=2))[0]
        x = F.relu(self.hidden1(torch.cat([x, aux3], dim=2)))
        x = F.relu(self.hidden2(torch.cat([x, aux4], dim=2)))
        return self.output(x)
