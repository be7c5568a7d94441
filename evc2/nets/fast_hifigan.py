"""HiFi-GAN for inference on CPU: the same function as espnet2's generator in less time (half of it when compiled).

Where the time goes, and what is done about it: nine tenths are the convolutions of the residual blocks, see
:mod:`evc2.nets.fast_conv`; chunks that stay in the cache, with exactly the overlap that the blocks look beyond them; a
transposed convolution is an ordinary one of two taps whose output channels are the phases; the division by the number
of blocks goes into the weights that follow it.
"""

from __future__ import annotations

import torch
from torch import nn

from evc2.nets.fast_conv import Scratch, fast_conv
from evc2.nets.fast_kernels import Kernels

#: Values of a signal in a chunk. Compiled transforms cut their work into blocks themselves; otherwise what is between
#: the transforms of a chunk has to stay in a cache. Smaller chunks would repeat more of what overlaps.
CHUNK, CHUNK_COMPILED = 2**19, 2**21


class FastHiFiGAN:
    """Mel [B, n_mels, T] to waveform [B, 1, T * hop], without gradients; the weights are copied.

    Args:
        net: espnet2's HiFiGANGenerator on CPU in float32, its weight norm folded.
        compile: compile the transforms (seconds, once a machine), see :mod:`evc2.nets.fast_kernels`.

    Raises:
        ValueError: a generator that this form does not cover (:func:`supported` tells).
        OSError: no working C compiler.
    """

    def __init__(self, net: nn.Module, compile: bool = False):
        if not supported(net):
            raise ValueError("not a plain HiFi-GAN generator in float32 on CPU")
        self.slope = net.upsamples[0][0].negative_slope
        self.input = net.input_conv
        self.last_slope, self.output = net.output_conv[0].negative_slope, net.output_conv[1]
        count = net.num_blocks
        self.kernels = Kernels.load() if compile else None
        self.stages = []
        for i, (_, up) in enumerate(net.upsamples):
            blocks = [_Block(block, self.slope, self.kernels) for block in net.blocks[i * count : (i + 1) * count]]
            # The largest first: what it needs beyond a chunk covers what the others need.
            blocks.sort(key=lambda block: block.reach, reverse=True)
            self.stages.append((_Upsampling(up, 1.0 if i == 0 else 1.0 / count), blocks))
        self.last_weight = (self.output.weight.detach() / count)[0].contiguous()

    @torch.inference_mode()
    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        scratch = Scratch()
        return torch.stack([self._one(one, scratch) for one in mel])

    def _one(self, mel: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        x = self.input(mel[None])[0].t().contiguous()
        for up, blocks in self.stages:
            x = self._blocks(up(torch.nn.functional.leaky_relu_(x, self.slope)), blocks, scratch)
        return torch.tanh(self._last(torch.nn.functional.leaky_relu_(x, self.last_slope)))[None]

    def _blocks(self, x: torch.Tensor, blocks: list[_Block], scratch: Scratch) -> torch.Tensor:
        """Sum of the residual blocks over x [T, C], chunk by chunk."""
        total, channels = x.shape
        size = max(256, (CHUNK if self.kernels is None else CHUNK_COMPILED) // channels)
        size = -(-total // max(1, round(total / size)))  # chunks of equal length
        size = -(-size // 8) * 8
        out = torch.empty_like(x)
        for start in range(0, total, size):
            end = min(total, start + size)
            reach = blocks[0].reach
            first, last = max(0, start - reach), min(total, end + reach)
            sums = torch.zeros(0)
            for block in blocks:
                sums = block(x[first:last], sums, scratch)
            out[start:end] = sums[start - first : end - first]
        return out

    def _last(self, x: torch.Tensor) -> torch.Tensor:
        """The last convolution [T, C] -> [T]: all taps in one product, then the sum along their diagonals."""
        channels, taps = self.last_weight.shape
        side, n = (taps - 1) // 2, len(x)
        each = x.new_zeros(n + 2 * side, taps)
        torch.mm(x, self.last_weight, out=each[side : side + n])
        return each.as_strided((n, taps), (taps, taps + 1)).sum(dim=1) + self.output.bias


class _Upsampling:
    """Transposed convolution of kernel 2 u and stride u: x [T, C] -> [T * u, C']."""

    def __init__(self, conv: nn.ConvTranspose1d, factor: float):
        self.u, self.pad = conv.stride[0], conv.padding[0]
        weight = conv.weight.detach() * factor  # [C, C', 2 u]; output sample u m + r - pad gets taps r and r + u
        _, out, _ = weight.shape
        now, before = weight[:, :, : self.u], weight[:, :, self.u :]
        self.weight = torch.stack((before, now)).permute(0, 1, 3, 2).reshape(2, -1, self.u * out).contiguous()
        self.bias = conv.bias.detach().repeat(self.u)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        n = len(x)
        y = x.new_empty(n + 1, self.weight.shape[2])
        y[n] = self.bias
        torch.addmm(self.bias, x, self.weight[1], out=y[:n])
        y[1:].addmm_(x, self.weight[0])
        return y.view((n + 1) * self.u, -1)[self.pad : self.pad + n * self.u]


class _Block:
    """A residual block (with or without the additional convolutions)."""

    def __init__(self, block: nn.Module, slope: float, kernels: Kernels | None):
        self.slope = slope
        convs1 = [fast_conv(layer[1], kernels) for layer in block.convs1]
        convs2 = (
            [fast_conv(layer[1], kernels) for layer in block.convs2]
            if block.use_additional_convs
            else [None] * len(convs1)
        )
        self.pairs = list(zip(convs1, convs2, strict=True))
        self.reach = sum(conv.reach for pair in self.pairs for conv in pair if conv is not None)

    def __call__(self, x: torch.Tensor, sums: torch.Tensor, scratch: Scratch) -> torch.Tensor:
        """Output for x [T, C], added to ``sums`` [T, C] in place; an empty ``sums`` starts a new one."""
        frames, y = len(x), scratch("residual", *x.shape).copy_(x)
        for i, (one, two) in enumerate(self.pairs):
            if i + 1 == len(self.pairs):
                given, y = y, (scratch("sums", *x.shape).copy_(y) if not len(sums) else sums.add_(y))
            else:
                given = y
            if two is None:
                one.after_relu(given[:, None], frames, self.slope, scratch, add_to=y)
            else:
                inner = one.after_relu(given[:, None], frames, self.slope, scratch)
                two.after_relu(inner, frames, self.slope, scratch, add_to=y)
        return y


def supported(net: nn.Module) -> bool:
    """Whether :class:`FastHiFiGAN` can take the place of a module on this machine."""
    from espnet2.gan_tts.hifigan.hifigan import HiFiGANGenerator

    if not isinstance(net, HiFiGANGenerator) or hasattr(net, "global_conv") or not torch.backends.mkldnn.is_available():
        return False
    weight = next(net.parameters())
    activations = [up[0] for up in net.upsamples] + [c[0] for b in net.blocks for c in b.convs1]
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and net.output_conv[1].out_channels == 1
        and all(isinstance(a, nn.LeakyReLU) for a in activations)
        and all(up[1].output_padding[0] == 0 for up in net.upsamples)
    )
