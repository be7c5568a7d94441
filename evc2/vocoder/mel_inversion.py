"""From mel values back to the spectrogram that they are filtered sums of; batched, in torch."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import filterbank

if TYPE_CHECKING:
    import torch

INVERSIONS = ("nnls", "pinv")

#: Steps of the two methods that :func:`nnls` runs one after the other.
MULTIPLICATIVE, ACCELERATED = 16, 48
TINY = 1e-20


def magnitude(mel: torch.Tensor, contract: FeatureContract, inversion: str = "nnls") -> torch.Tensor:
    """Magnitude spectrogram of mel values.

    Args:
        mel: [T, n_mels] float32 mel values (no logarithm), 0 or more, on any device.
        contract: theirs; with ``power: 2`` they are sums of the power spectrum, whose root is returned.
        inversion: "nnls": non-negative least squares; "pinv": pseudo-inverse, negative values set to 0 (faster, and
            2 % off for magnitudes, 7 % for powers, where nnls reproduces the mels).

    Returns:
        [T, n_fft // 2 + 1] float32; 0 where no filter looks.

    Raises:
        UserError: unknown inversion.
    """
    if inversion not in INVERSIONS:
        near = nearest(inversion, INVERSIONS)
        raise UserError(f"inversion: expected one of {', '.join(INVERSIONS)}, found '{inversion}'{near}")
    filters, inverse = (mel.new_tensor(matrix) for matrix in _matrices(contract))
    found = (mel @ inverse.T).clamp_min_(0.0)
    if inversion == "nnls":
        found = nnls(mel, filters, found)
    return found if contract.power == 1.0 else found.sqrt_()


def nnls(mel: torch.Tensor, filters: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """The spectrum s >= 0 that makes ||filters s - mel||^2 least, for all frames at once.

    There are more bins than filters, so many spectra fit; an active-set solver (scipy's) ends at one that is zero in
    all but n_mels bins, which no voice has. Multiplicative steps from a smooth start keep it smooth and care for quiet
    bands as much as for loud ones, but approach the least squares slowly, or another optimum where no spectrum fits
    exactly. Accelerated projected gradient steps then go the rest of the way.

    Args:
        mel: [T, n_mels] mel values.
        filters: [n_mels, bins], 0 or more.
        start: [T, bins], 0 or more.

    Returns:
        [T, bins].

    Source: Lee and Seung, Algorithms for non-negative matrix factorization, NIPS 2000 (the update for the divergence);
    Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sciences 2009, with a step a
    bin: the matrix A = filters' filters has no negative entry, so diag(A 1) - A is positive semidefinite and 1 / (A 1)
    is a safe step.
    """
    reached = filters.sum(dim=0)
    # A bin that is exactly 0 would stay so under multiplication.
    s = start.maximum(1e-8 * mel.amax(dim=1, keepdim=True)).where(reached > 0, 0.0)
    weights = filters / reached.clamp_min(TINY)
    for _ in range(MULTIPLICATIVE):
        s = s * ((mel / (s @ filters.T).clamp_min_(TINY)) @ weights)
    step = 1.0 / (filters.T @ filters.sum(dim=1)).clamp_min(TINY)
    step = step.where(reached > 0, 0.0)
    z, theta = s, 1.0
    for _ in range(ACCELERATED):
        new = z.addcmul((z @ filters.T).sub_(mel) @ filters, step, value=-1.0).clamp_min_(0.0)
        theta_new = (1.0 + (1.0 + 4.0 * theta * theta) ** 0.5) / 2.0
        z = new + (new - s).mul_((theta - 1.0) / theta_new)
        s, theta = new, theta_new
    return s


@lru_cache(maxsize=4)
def _matrices(contract: FeatureContract) -> tuple[np.ndarray, np.ndarray]:
    filters = filterbank(contract)
    return filters.astype(np.float32), np.linalg.pinv(filters).astype(np.float32)
