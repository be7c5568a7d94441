"""The networks of the published VAE-GAN, layer by layer as specified, by modules of torch: to compare with."""

from torch import nn


class PlainBlock(nn.Module):
    """The residual block of the specification, by modules of torch."""

    def __init__(self, c):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c)]
        self.body = nn.Sequential(*half, nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c))

    def forward(self, x):
        return x + self.body(x)


def plain(kind, dim=32):
    """Encoder, generator or discriminator of the specification as one nn.Sequential."""
    if kind == "encoder":
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(1, dim, 7), nn.InstanceNorm2d(dim), nn.LeakyReLU(0.2)]
        for a in (dim, 2 * dim):
            layers += [nn.Conv2d(a, 2 * a, 4, 2, 1), nn.InstanceNorm2d(2 * a), nn.ReLU()]
        return nn.Sequential(*layers, *(PlainBlock(4 * dim) for _ in range(4)))
    if kind == "generator":  # with the shared block
        layers = [PlainBlock(4 * dim) for _ in range(4)]
        for a in (4 * dim, 2 * dim):
            layers += [nn.ConvTranspose2d(a, a // 2, 4, 2, 1), nn.InstanceNorm2d(a // 2), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(dim, 1, 7), nn.Tanh())
    widths, layers = (1, dim, 2 * dim, 4 * dim, 8 * dim), []
    for i in range(4):
        layers += [nn.Conv2d(widths[i], widths[i + 1], 4, 2, 1)] + [nn.InstanceNorm2d(widths[i + 1])] * (i > 0)
        layers += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * dim, 1, 3, 1, 1))
