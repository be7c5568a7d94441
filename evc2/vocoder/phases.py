"""The phases of magnitude spectrograms by fast Griffin-Lim, for several signals of different lengths at once.

All signals lie one behind the other on one strip of samples, with silent frames between them, so that a batch wastes
nothing on padding and no signal hears its neighbour. The strip is a table of blocks of `hop` samples; as each frame
begins with a block, overlap-add is a sum of a few shifted tables, and cutting into frames is a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from evc2.feats.contract import FeatureContract
from evc2.feats.mel import window

if TYPE_CHECKING:
    import torch

#: Where windows hardly cover the signal (its very ends, without padding), dividing by their sum would amplify errors.
#: Below this part of the full sum the signal fades instead.
LEAST_COVER = 0.1
TINY = 1e-30


def griffin_lim(
    magnitudes: Sequence[torch.Tensor],
    contract: FeatureContract,
    n_iter: int = 64,
    momentum: float = 0.99,
    seed: int = 0,
) -> list[torch.Tensor]:
    """Waveforms whose spectrograms come near the given ones.

    Args:
        magnitudes: one or more [T, n_fft // 2 + 1] float32, on one device; T may differ.
        contract: of kind "mel"; says window, hop and padding.
        n_iter: iterations.
        momentum: 0 is the original algorithm (Griffin and Lim 1984), the usual fast one has 0.99.
        seed: of the random first phases, anew for each signal, drawn on the CPU: the same on every device.

    Returns:
        For each a wav in time with the one that was analysed: [T * hop]; with ``pad: none`` all samples that frames
        cover, [(T - 1) * hop + n_fft].

    Source: Perraudin, Balazs and Sondergaard, A fast Griffin-Lim algorithm, WASPAA 2013: c_n = t_n + a (t_n - t_n-1),
    t_n = P1(P2(c_n-1)), where P2 sets the wanted magnitudes and P1 is the STFT of the inverse STFT. Only the phase of
    c_n matters, and t_n - a / (1 + a) t_n-1 has the same.
    """
    import torch

    strip = Strip([len(magnitude) for magnitude in magnitudes], contract, magnitudes[0])
    wanted = magnitudes[0].new_zeros(strip.rows, contract.n_fft // 2 + 1)
    spectra = torch.zeros_like(wanted, dtype=torch.complex64)
    for first, magnitude in zip(strip.first, magnitudes, strict=True):
        rows = slice(first, first + len(magnitude))
        wanted[rows] = magnitude
        spectra[rows] = _random_phases(magnitude.shape, seed).to(magnitude.device)
    spectra *= wanted
    alpha = momentum / (1.0 + momentum)
    before, scale = torch.zeros_like(spectra), torch.empty_like(wanted)
    for _ in range(n_iter):
        strip.inverse(spectra)
        now = strip.forward()
        torch.sub(now, before, alpha=alpha, out=spectra)
        # wanted / |spectra| from the squares: torch's complex abs and angle take several times as long (measured).
        real, imag = spectra.real, spectra.imag
        torch.mul(real, real, out=scale).addcmul_(imag, imag).clamp_min_(TINY).rsqrt_().mul_(wanted)
        real.mul_(scale)
        imag.mul_(scale)
        before = now
    strip.inverse(spectra)
    return [strip.cut(i) for i in range(len(magnitudes))]


class Strip:
    """STFT and inverse STFT of signals on one strip.

    Of a frame only the `win` samples below the window are looked at. Where they lie within `n_fft` turns the phases by
    what is the same in all frames, so here they are at its start.

    Args:
        frames: number of frames of each signal, 1 or more.
        contract: of kind "mel".
        like: a tensor of the wanted type and device.
    """

    def __init__(self, frames: Sequence[int], contract: FeatureContract, like: torch.Tensor) -> None:
        self.hop, self.win, self.n_fft, self.pad = contract.hop, contract.win, contract.n_fft, contract.pad
        self.skipped = (self.n_fft - self.win) // 2  # zeros before the window in the analysis of the features
        side = 0 if self.pad == "none" else self.n_fft // 2 if contract.center else (self.n_fft - self.hop) // 2
        #: Samples of padding that the first frame's window sees before the signal (below 0: it begins later).
        self.before = side - self.skipped
        gap = -(-self.win // self.hop) - 1  # frames that a frame overlaps
        self.frames = list(frames)
        self.first = [0, *accumulate(n + gap for n in self.frames)][:-1]
        self.rows = self.first[-1] + self.frames[-1]
        self.window = like.new_tensor(window(contract)[self.skipped : self.skipped + self.win])
        self.blocks = like.new_zeros(self.rows + gap, self.hop)
        self.padded = like.new_zeros(self.rows, self.n_fft)
        there = like.new_zeros(self.rows, 1)
        for first, n in zip(self.first, self.frames, strict=True):
            there[first : first + n] = 1.0
        self._overlap_add(self.window * there)
        full = like.new_zeros((gap + 1) * self.hop)
        full[: self.win] = self.window.square()
        full = full.view(gap + 1, self.hop).sum(dim=0).max()
        self.gain = self.blocks.clamp_min(LEAST_COVER * full).reciprocal_()

    def _overlap_add(self, frames: torch.Tensor) -> None:
        """Sum of the windowed frames [rows, n_fft or win] into the strip."""
        self.blocks.zero_()
        for k, start in enumerate(range(0, self.win, self.hop)):
            part = slice(start, min(start + self.hop, self.win))
            into = self.blocks[k : k + self.rows, : part.stop - start]
            into.addcmul_(frames[:, part], self.window[part])

    def inverse(self, spectra: torch.Tensor) -> None:
        """Spectra [rows, bins] to the strip, by least squares (Griffin and Lim 1984, eq. 6)."""
        import torch

        self._overlap_add(torch.fft.irfft(spectra, n=self.n_fft))
        self.blocks.mul_(self.gain)

    def forward(self) -> torch.Tensor:
        """The STFT of the strip, complex [rows, bins]; rows between signals hold what they see of both."""
        import torch

        view = self.blocks.view(-1).as_strided((self.rows, self.win), (self.hop, 1))
        torch.mul(view, self.window, out=self.padded[:, : self.win])
        return torch.fft.rfft(self.padded)

    def cut(self, i: int) -> torch.Tensor:
        """The i-th signal, without its padding."""
        frames = self.frames[i]
        start = self.first[i] * self.hop
        seen = self.blocks.view(-1)[start : start + (frames - 1) * self.hop + self.win]
        length = (frames - 1) * self.hop + self.n_fft if self.pad == "none" else frames * self.hop
        wav = seen.new_zeros(length)
        seen = seen[max(0, self.before) :][: length + min(0, self.before)]
        wav[max(0, -self.before) :][: len(seen)] = seen
        return wav


def _random_phases(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Complex numbers of size 1, [T, bins]; real in the first and last bin, as in the spectrum of a real signal."""
    import torch

    angle = 2.0 * torch.pi * torch.rand(tuple(shape), generator=torch.Generator().manual_seed(seed))
    angle[:, [0, -1]] = torch.pi * (angle[:, [0, -1]] > torch.pi)
    return torch.polar(torch.ones_like(angle), angle)
