"""Networks of the VAE-GAN on mel spectrograms taken as images: universal encoder, generators, patch discriminators.

Sources: AlBadawy and Lyu, "Voice conversion using speech-to-speech neuro-style transfer", Interspeech 2020; the blocks
are those of Liu, Breuel and Kautz, "Unsupervised image-to-image translation networks" (arXiv 1703.00848), sec. 3. With
the default widths the parameter counts are those of the published PyTorch code: encoder 1,346,304; generator 1,346,177,
of which its first residual block, 295,168, is shared by all; discriminator 2,759,105.

Images are [B, 1, n_mels, T]; both sizes must be multiples of ``2 ** n_downsample`` (discriminator: of 16).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError

NORM_EPS = 1e-5
OUTPUTS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}


def reflect(x: torch.Tensor, pad: int) -> torch.Tensor:
    """Mirror the last two dimensions at their edges, ``pad`` values on each side."""
    return F.pad(x, (pad, pad, pad, pad), mode="reflect")


class _Norm(torch.autograd.Function):
    """Instance normalisation by a few passes over the memory, in whatever order that is.

    On a CPU torch's own is several times slower on channels-last memory, in which convolutions are fastest; the same
    written with autograd's operations keeps twice as much for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = x.float()
        y = y - y.mean((2, 3), keepdim=True)
        scale = (y * y).mean((2, 3), keepdim=True).add_(NORM_EPS).rsqrt_()
        y = y.mul_(scale).to(x.dtype)
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        y, scale = ctx.saved_tensors
        g, y = gradient.float(), y.float()
        # dx = scale (g - mean(g) - y mean(g y)), for y = scale (x - mean(x))
        out = (g - g.mean((2, 3), keepdim=True)).addcmul_(y, (g * y).mean((2, 3), keepdim=True), value=-1)
        return out.mul_(scale).to(gradient.dtype)


def norm(x: torch.Tensor) -> torch.Tensor:
    """Instance normalisation of [B, C, H, W] without gain and bias, computed in full precision."""
    return _Norm.apply(x)


def draw_weights(net: nn.Module) -> None:
    """Convolution weights from N(0, 0.02), in the memory order in which convolutions are fastest; biases stay."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
    net.to(memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """[B, C, H, W] -> the same: reflected 3x3 convolution, norm, ReLU, reflected 3x3 convolution, norm, plus input."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3), nn.Conv2d(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = norm(self.conv1(reflect(x, 1))).relu()
        return x + norm(self.conv2(reflect(h, 1)))


class Encoder(nn.Module):
    """Images [B, 1, n_mels, T] -> latent maps: mu [B, dim * 2^n, n_mels / 2^n, T / 2^n] and its log variance or None.

    Args:
        dim: channels of the first layer.
        n_downsample: how often the image is halved and the channels doubled (n).
        n_res: residual blocks.
        learned_variance: whether a second output gives the log variance; published: no, the variance is one.
    """

    def __init__(self, dim: int = 32, n_downsample: int = 2, n_res: int = 4, learned_variance: bool = False):
        super().__init__()
        self.first = nn.Conv2d(1, dim, 7)
        self.down = nn.ModuleList(nn.Conv2d(dim << i, dim << i + 1, 4, 2, 1) for i in range(n_downsample))
        self.res = nn.Sequential(*(ResidualBlock(dim << n_downsample) for _ in range(n_res)))
        draw_weights(self)
        self.logvar = None
        if learned_variance:  # starts at a variance of one hundredth: N(0, 0.02) weights add little to that
            self.logvar = nn.Conv2d(dim << n_downsample, dim << n_downsample, 1)
            nn.init.normal_(self.logvar.weight, 0.0, 0.02)
            nn.init.constant_(self.logvar.bias, -4.6)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = F.leaky_relu(norm(self.first(reflect(x, 3))), 0.2)
        for conv in self.down:
            x = norm(conv(x)).relu()
        mu = self.res(x)
        return mu, None if self.logvar is None else self.logvar(mu)


class Generator(nn.Module):
    """Latent maps, after the shared residual block, to images [B, 1, n_mels, T] of one speaker.

    Args:
        dim, n_downsample: as for the encoder.
        n_res: own residual blocks.
        out: ``sigmoid``, for images from 0 to 1, or ``tanh`` (published, on the same images).
    """

    def __init__(self, dim: int = 32, n_downsample: int = 2, n_res: int = 3, out: str = "sigmoid"):
        super().__init__()
        if out not in OUTPUTS:
            raise UserError(f"vaegan: out is {out!r}, expected {' or '.join(OUTPUTS)}")
        self.res = nn.Sequential(*(ResidualBlock(dim << n_downsample) for _ in range(n_res)))
        sizes = range(n_downsample, 0, -1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(dim << i, dim << i - 1, 4, 2, 1) for i in sizes)
        self.last = nn.Conv2d(dim, 1, 7)
        self.out = OUTPUTS[out]
        draw_weights(self)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        h = self.res(h)
        for conv in self.up:
            h = F.leaky_relu(norm(conv(h)), 0.2)
        return self.out(self.last(reflect(h, 3)))


class Discriminator(nn.Module):
    """Images [B, 1, n_mels, T] -> scores of patches [B, 1, n_mels / 16, T / 16], without activation."""

    multiple = 16

    def __init__(self, dim: int = 64):
        super().__init__()
        widths = (1, dim, 2 * dim, 4 * dim, 8 * dim)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.score = nn.Conv2d(8 * dim, 1, 3, 1, 1)
        draw_weights(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = F.leaky_relu(norm(x) if i else x, 0.2)
        return self.score(x)
