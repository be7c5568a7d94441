"""Encoders and decoder of the style-transfer autoencoder on mel-cepstra (one-dimensional MUNIT).

Sources: Gao, Chakraborty, Tembine and Olaleye, "Nonparallel emotional speech conversion" (arXiv 1811.01174), after
Huang, Liu, Belongie and Kautz, "Multimodal unsupervised image-to-image translation" (arXiv 1804.04732). With the
default widths and ``adain="shared"`` the parameter counts are those of the published code: style encoder
4,888,336, content encoder 11,191,552, style MLP 1,321,984, decoder 10,408,472.
"""

import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.nets.layers.conv import GatedConv1d, ResidualGLU, pad_same

ADAIN_EPS = 1e-5


def he_init(net: nn.Module) -> None:
    """Draw all convolutions and linear layers with He's variance scaling, as the published code does."""
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)


class StyleEncoder(nn.Module):
    """What is constant in an utterance: [B, dim, T] -> style code [B, style_dim]. Not normalised, which would erase it.

    Args:
        dim: features a frame.
        channels: width of the first layer; the others are two and four times as wide.
        style_dim: size of the code.
    """

    def __init__(self, dim: int = 24, channels: int = 128, style_dim: int = 16):
        super().__init__()
        c = channels
        self.layers = nn.Sequential(
            GatedConv1d(dim, c, 15, norm="none"),
            GatedConv1d(c, 2 * c, 5, stride=2, norm="none"),
            GatedConv1d(2 * c, 4 * c, 5, stride=2, norm="none"),
            GatedConv1d(4 * c, 4 * c, 3, stride=2, norm="none"),
            GatedConv1d(4 * c, 4 * c, 3, stride=2, norm="none"),
        )
        self.out = nn.Conv1d(4 * c, style_dim, 1)
        he_init(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layers(x).mean(2, keepdim=True)).squeeze(2)


class ContentEncoder(nn.Module):
    """What changes over time: [B, dim, T] -> content code [B, 4 * channels, T / 4], T a multiple of 4."""

    multiple = 4

    def __init__(self, dim: int = 24, channels: int = 128, num_res: int = 4):
        super().__init__()
        c = channels
        self.layers = nn.Sequential(
            GatedConv1d(dim, c, 15),
            GatedConv1d(c, 2 * c, 5, stride=2),
            GatedConv1d(2 * c, 4 * c, 5, stride=2),
            *(ResidualGLU(4 * c, 4 * c) for _ in range(num_res)),
        )
        he_init(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Raises ValueError when the number of frames is not a multiple of 4."""
        if x.shape[-1] % self.multiple:
            raise ValueError(f"the content encoder takes a multiple of {self.multiple} frames, got {x.shape[-1]}")
        return self.layers(x)


class StyleMLP(nn.Module):
    """Gains and biases of the decoder's adaptive normalisations from a style code.

    Args:
        style_dim: size of the code.
        width: channels of the content code, which is also the width of the hidden layers.
        layers: adaptive normalisations of the decoder (value and gate of a pair count apart).
        adain: ``layer`` gives each its own gain (as 1 + a linear function) and bias; ``shared`` gives all the same
            gain and bias (published code).

    The result is [B, layers, 2, width, 1]: gain, bias.
    """

    def __init__(self, style_dim: int, width: int, layers: int, adain: str = "layer"):
        super().__init__()
        if adain not in ("layer", "shared"):
            raise UserError(f"adain is {adain!r}, expected layer or shared")
        self.count, self.shared = layers, adain == "shared"
        self.value1, self.gate1 = nn.Linear(style_dim, width), nn.Linear(width, width)
        self.value2, self.gate2 = nn.Linear(width, width), nn.Linear(width, width)
        sets = 1 if self.shared else layers
        self.gain, self.bias = nn.Linear(width, sets * width), nn.Linear(width, sets * width)
        he_init(self)
        if not self.shared:  # start near plain instance normalisation
            for out in (self.gain, self.bias):
                out.weight.data.mul_(0.1)

    def forward(self, style: torch.Tensor) -> torch.Tensor:
        h = self.value1(style)
        h = self.value2(h * self.gate1(h).sigmoid())
        h = h * self.gate2(h).sigmoid()
        gain, bias = (out(h).unflatten(1, (1 if self.shared else self.count, -1)) for out in (self.gain, self.bias))
        gain = gain if self.shared else 1.0 + gain
        return torch.stack((gain, bias), 2).unsqueeze(4).expand(-1, self.count, -1, -1, -1)


def adaptive_norm(x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """AdaIN of [B, C, T] over time, gain and bias [B, C, 1]. Source: Huang and Belongie, arXiv 1703.06868, eq. 8."""
    return torch.addcmul(bias, F.instance_norm(x, eps=ADAIN_EPS), gain)


class AdaptiveResidual(nn.Module):
    """Gated convolution and convolution, each under adaptive normalisation, plus input: [B, width, T]."""

    norms = 3  # value, gate, output

    def __init__(self, width: int, kernel: int = 3):
        super().__init__()
        self.pair = nn.Conv1d(width, 2 * width, kernel)
        self.conv = nn.Conv1d(width, width, kernel)
        self.kernel = (kernel,)

    def forward(self, x: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        """params [B, 3, 2, width, 1]: gain and bias of value, gate and output."""
        both = params[:, :2].transpose(1, 2).flatten(2, 3)  # [B, 2 (gain, bias), 2 * width, 1]
        h = F.glu(adaptive_norm(self.pair(pad_same(x, self.kernel, (1,))), both[:, 0], both[:, 1]), dim=1)
        return x + adaptive_norm(self.conv(pad_same(h, self.kernel, (1,))), params[:, 2, 0], params[:, 2, 1])


class Decoder(nn.Module):
    """Content [B, 4 * channels, T] and what :class:`StyleMLP` makes of a style, to features [B, dim, 4 * T].

    The style acts in the residual blocks only. Layer normalisation follows, because instance normalisation would take
    away again the means that the style has set.
    """

    def __init__(self, dim: int = 24, channels: int = 128, num_res: int = 3):
        super().__init__()
        c = channels
        self.res = nn.ModuleList(AdaptiveResidual(4 * c) for _ in range(num_res))
        self.up = nn.Sequential(
            GatedConv1d(4 * c, 2 * c, 5, shuffle=2, norm="layer"), GatedConv1d(2 * c, c, 5, shuffle=2, norm="layer")
        )
        self.out = nn.Conv1d(c, dim, 15)
        he_init(self)

    @property
    def norms(self) -> int:
        """How many adaptive normalisations there are."""
        return AdaptiveResidual.norms * len(self.res)

    def forward(self, content: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        """params [B, norms, 2, 4 * channels, 1]."""
        n = AdaptiveResidual.norms
        for i, block in enumerate(self.res):
            content = block(content, params[:, i * n : (i + 1) * n])
        return self.out(pad_same(self.up(content), (15,), (1,)))
