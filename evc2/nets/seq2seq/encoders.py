"""What stands around recogniser and decoder: text encoder, style encoder, style classifier, merge net, postnet."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from evc2.nets.layers.bilstm import BiLSTM
from evc2.nets.layers.dropout import Dropout
from evc2.nets.layers.masked_norm import MaskedBatchNorm


def xavier(layer: nn.Module, follows: str = "linear") -> nn.Module:
    """Draw a layer's weights by Xavier's rule, with the gain of the activation that follows it."""
    nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain(follows))
    return layer


class TextEncoder(nn.Module):
    """Embedded phones to encodings: convolutions, a BiLSTM, a linear layer and tanh.

    Args:
        size: of embeddings and encodings.
        layers, kernel, dropout: of the convolutions.
    """

    def __init__(self, size: int, layers: int = 3, kernel: int = 5, dropout: float = 0.5):
        super().__init__()
        self.convs = nn.ModuleList(
            xavier(nn.Conv1d(size, size, kernel, padding=kernel // 2), "relu") for _ in range(layers)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(size) for _ in range(layers))
        self.lstm, self.out = BiLSTM(size, size // 2), xavier(nn.Linear(size, size), "tanh")
        self.dropout = Dropout(dropout)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, N, size] of ``lengths`` [B] with their mask [B, N] to the same shape."""
        x = (x * mask[..., None]).transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(F.relu(norm(conv(x), mask)))
        return torch.tanh(self.out(self.lstm(x.transpose(1, 2), lengths))) * mask[..., None]


class StyleEncoder(nn.Module):
    """A mel spectrogram to one vector of length 1, the style, and scores of what it is trained to tell.

    Args:
        n_mels: bands.
        classes: how many there are of each thing to be told (speakers, emotions).
        hidden, layers, dropout: of the BiLSTM.
        size: of the vector.
    """

    def __init__(
        self,
        n_mels: int,
        classes: Sequence[tuple[str, int]],
        hidden: int = 128,
        size: int = 128,
        layers: int = 2,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.lstm, self.out = BiLSTM(n_mels, hidden, layers, dropout), xavier(nn.Linear(2 * hidden, size), "tanh")
        self.heads = nn.ModuleDict({name: xavier(nn.Linear(size, count)) for name, count in classes})

    def forward(self, feats: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """[B, T, n_mels] of ``lengths`` [B] frames to styles [B, size] and scores [B, classes] by name."""
        mean = self.lstm(feats, lengths).sum(1) / lengths[:, None]
        x = torch.tanh(self.out(mean))
        return F.normalize(x, dim=1), {name: head(x) for name, head in self.heads.items()}


class StyleClassifier(nn.Module):
    """Linguistic vectors to scores of the styles, step by step: the adversary that they are to fool.

    Args:
        size: of the vectors.
        classes: as for :class:`StyleEncoder`.
        layers, kernel: of the convolutions.
    """

    def __init__(self, size: int, classes: Sequence[tuple[str, int]], layers: int = 3, kernel: int = 1):
        super().__init__()
        self.convs = nn.ModuleList(
            xavier(nn.Conv1d(size, size, kernel, padding=kernel // 2), "leaky_relu") for _ in range(layers)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(size) for _ in range(layers))
        self.heads = nn.ModuleDict({name: xavier(nn.Linear(size, count)) for name, count in classes})

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """[B, N, size] with mask [B, N] to scores [B, N, classes] by name."""
        x = (x * mask[..., None]).transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x), mask), 0.2)
        x = x.transpose(1, 2)
        return {name: head(x) for name, head in self.heads.items()}


class MergeNet(nn.Module):
    """A BiLSTM over linguistic vectors, of text or of audio, with the style beside each of them."""

    def __init__(self, size: int):
        super().__init__()
        self.lstm = BiLSTM(size, size // 2)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """[B, N, size] and styles [B, S] to [B, N, size + S]."""
        return torch.cat((self.lstm(x, lengths), style[:, None].expand(-1, x.shape[1], -1)), 2)


class Postnet(nn.Module):
    """What a spectrogram lacks, seen as a whole: convolutions over time.

    Args:
        n_mels: bands.
        channels, layers, kernel, dropout: of the convolutions.
    """

    def __init__(self, n_mels: int, channels: int = 512, layers: int = 5, kernel: int = 5, dropout: float = 0.5):
        super().__init__()
        sizes = [n_mels, *[channels] * (layers - 1), n_mels]
        self.convs = nn.ModuleList(
            xavier(nn.Conv1d(a, b, kernel, padding=kernel // 2), "tanh" if i < layers - 1 else "linear")
            for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False))
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(size) for size in sizes[1:])
        self.dropout = Dropout(dropout)

    def forward(self, mel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, T, n_mels] with mask [B, T] to the same, summed with what was found; padding as it came."""
        x = (mel * mask[..., None]).transpose(1, 2)
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), 1):
            x = norm(conv(x), mask)
            x = self.dropout(torch.tanh(x) if number < len(self.convs) else x)
        return mel + x.transpose(1, 2)
