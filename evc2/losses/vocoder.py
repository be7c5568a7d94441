"""Losses of GAN vocoders. Discriminators give a list of outputs, each the list of its layers' maps, the score last."""

from collections.abc import Sequence

import torch
from torch import nn

from evc2.errors import UserError

Maps = Sequence[Sequence[torch.Tensor]]


def adversarial_generator(fake: Maps, kind: str = "mse") -> torch.Tensor:
    """Generator loss summed over discriminators: mean((D(G(s)) - 1)^2), or -mean(D(G(s))) for ``hinge``.

    Source: HiFi-GAN (Kong, Kim and Bae 2020), eq. 2; MelGAN (Kumar et al. 2019), eq. 2.
    """
    if kind == "mse":
        return torch.stack([(maps[-1].float() - 1).square().mean() for maps in fake]).sum()
    if kind == "hinge":
        return torch.stack([-maps[-1].float().mean() for maps in fake]).sum()
    raise UserError(f"adversarial loss is '{kind}', expected mse or hinge")


def adversarial_discriminator(real: Maps, fake: Maps, kind: str = "mse") -> tuple[torch.Tensor, torch.Tensor]:
    """Discriminator losses (real, fake), each summed over discriminators.

    ``mse``: mean((D(x) - 1)^2) and mean(D(G(s))^2); ``hinge``: mean(max(0, 1 - D(x))) and mean(max(0, 1 + D(G(s)))).
    Source: HiFi-GAN, eq. 1; MelGAN, eq. 1.
    """
    x = [maps[-1].float() for maps in real]
    y = [maps[-1].float() for maps in fake]
    if kind == "mse":
        return torch.stack([(r - 1).square().mean() for r in x]).sum(), torch.stack(
            [f.square().mean() for f in y]
        ).sum()
    if kind == "hinge":
        return torch.stack([(1 - r).relu().mean() for r in x]).sum(), torch.stack(
            [(1 + f).relu().mean() for f in y]
        ).sum()
    raise UserError(f"adversarial loss is '{kind}', expected mse or hinge")


def discriminate(
    net: nn.Module, real: torch.Tensor, fake: torch.Tensor, kind: str = "mse"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Discriminator losses (real, fake) of speech [B, 1, n] and [N, 1, n], as :func:`adversarial_discriminator`.

    Both go through in one pass: nothing in the discriminators mixes the items of a batch.
    """
    maps = net(torch.cat((real, fake.to(real.dtype))))
    parts = ([[m[part] for m in one] for one in maps] for part in (slice(len(real)), slice(len(real), None)))
    return adversarial_discriminator(*parts, kind=kind)


def feature_matching(real: Maps, fake: Maps) -> torch.Tensor:
    """Mean absolute difference of the layers' maps, the scores left out, summed over layers and discriminators.

    Source: HiFi-GAN, eq. 4 (each layer's sum is divided by its number of values); MelGAN, eq. 3.
    """
    terms = [
        nn.functional.l1_loss(f.float(), r.detach().float())
        for real_maps, fake_maps in zip(real, fake, strict=True)
        for r, f in zip(real_maps[:-1], fake_maps[:-1], strict=True)
    ]
    return torch.stack(terms).sum()


class MultiResolutionSTFT(nn.Module):
    """Spectral convergence and log-magnitude distance over several resolutions (Yamamoto, Song and Kim 2020, eq. 3-6).

    Args:
        sizes: (n_fft, hop, win) of each resolution.
    """

    def __init__(self, sizes: Sequence[tuple[int, int, int]] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))):
        super().__init__()
        self.sizes = [tuple(size) for size in sizes]
        for i, (_, _, win) in enumerate(self.sizes):
            self.register_buffer(f"window{i}", torch.hann_window(win), persistent=False)

    def magnitude(self, wav: torch.Tensor, i: int) -> torch.Tensor:
        n_fft, hop, win = self.sizes[i]
        window = getattr(self, f"window{i}")
        spec = torch.stft(wav.float(), n_fft, hop, win, window, return_complex=True)
        return spec.abs().clamp(min=1e-7)

    def forward(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Loss of signals [B, n] against recordings [B, n], averaged over resolutions."""
        total = fake.new_zeros(())
        with torch.autocast(fake.device.type, enabled=False):
            for i in range(len(self.sizes)):
                x, y = self.magnitude(fake, i), self.magnitude(real, i)
                convergence = torch.linalg.norm(y - x) / torch.linalg.norm(y)
                total = total + convergence + nn.functional.l1_loss(x.log(), y.log())
        return total / len(self.sizes)
