"""Frechet distance between the outputs and natural speech: whether a set of utterances looks natural as a set.

Both sets are described by a Gaussian, and the distance of two Gaussians has a closed form (Dowson and Landau 1982;
made known by Heusel et al. 2017, eq. 6):

    |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

No trial needs a partner in time, so smoothed, noisy or wrongly distributed spectra show, whatever their timing is.

A distance between estimates is above 0 even for two samples of one distribution, and falls as trials are added: values
are to be compared within a table (equal trials), not between tables of different size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from evc2.evaluate.analysis import BAND, Analysis
from evc2.evaluate.item import Item
from evc2.evaluate.registry import register_set
from evc2.evaluate.speaker import embedding, speaker_missing
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import log_mel

BANDS = 40
VALUES = 256
LEVEL = 0.05
"""RMS (1 is full scale) that the speech of every wav is brought to. Without that, the distance was one of loudness: for
neutral against strongly angry speech 1540, of which 1340 for the level (measured)."""

MIN_FRAMES = 20 * BANDS
"""Frames (4 s) without which a full covariance of 40 bands is mostly noise of estimation."""

MIN_UTTERANCES = 10
"""Utterances without which a variance says nothing."""

SOURCE = (
    "Dowson and Landau, The Frechet distance between multivariate normal distributions, 1982; "
    "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017, eq. 6"
)


@lru_cache(maxsize=1)
def mel_contract() -> FeatureContract:
    """The log-mel spectrogram of this metric: 16 kHz, 25 ms windows, 5 ms frames, 40 bands up to 7 kHz, ln of power.

    The frames are those of the evaluation's F0 and power. The floor is about what the rounding of 16-bit samples
    leaves in a band: without it, digital zeros would be far from any recording.
    """
    return FeatureContract.from_dict(
        {
            "name": "frechet",
            "kind": "mel",
            "rate": 16000,
            "n_fft": 512,
            "hop": 80,
            "win": 400,
            "window": "hann",
            "center": True,
            "pad": "constant",
            "power": 2,
            "n_mels": BANDS,
            "fmin": 0,
            "fmax": BAND,
            "mel_scale": "slaney",
            "mel_norm": "none",
            "log_base": "e",
            "floor": 1e-7,
            "floor_place": "clip",
            "scale": "none",
        }
    )


def moments(x: np.ndarray, diagonal: bool = False) -> np.ndarray:
    """Additive moments of the rows of x [N, D]: N, the sums [D], and the sums of products.

    Returns:
        [1 + D + D (D + 1) / 2], or [1 + 2 D] with ``diagonal`` (squares only); float64.
    """
    x = np.asarray(x, dtype=np.float64)
    second = (x**2).sum(axis=0) if diagonal else (x.T @ x)[np.triu_indices(x.shape[1])]
    return np.concatenate([[len(x)], x.sum(axis=0), second])


def gaussian(total: np.ndarray, dim: int) -> tuple[float, np.ndarray, np.ndarray]:
    """From summed :func:`moments`: the count, the mean [D], and the covariance [D, D] or the variances [D]."""
    n, mean, second = float(total[0]), total[1 : 1 + dim] / total[0], total[1 + dim :] / total[0]
    if len(second) == dim:
        return n, mean, np.maximum(second - mean**2, 0.0)
    matrix = np.empty((dim, dim))
    rows, columns = np.triu_indices(dim)
    matrix[rows, columns] = matrix[columns, rows] = second
    return n, mean, matrix - np.outer(mean, mean)


def frechet(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Frechet distance (squared) of two Gaussians.

    tr (C_1 C_2)^(1/2) is the sum of the roots of the eigenvalues of the symmetric C_1^(1/2) C_2 C_1^(1/2): two
    symmetric decompositions, so no complex root of a matrix that is not symmetric.

    Args:
        mean1, mean2: [D].
        cov1, cov2: [D, D], or [D] for variances without correlations.

    Returns:
        the square of the unit of the data; 0 for equal Gaussians, no upper bound. Source: see the module, eq. 6.
    """
    apart = float(np.sum((mean1 - mean2) ** 2))
    if cov1.ndim == 1:
        return apart + float(np.sum((np.sqrt(cov1) - np.sqrt(cov2)) ** 2))
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov2 @ root), 0.0)).sum()
    return max(0.0, apart + float(np.trace(cov1) + np.trace(cov2) - 2.0 * shared))


def frechet_of_totals(total: np.ndarray, dim: int, least: int) -> float | None:
    """The distance from the summed moments of both sets, one behind the other; None below ``least`` vectors in one."""
    (n1, *one), (n2, *two) = (gaussian(half, dim) for half in np.split(total, 2))
    return None if min(n1, n2) < least else frechet(*one, *two)


def _mel_moments(x: Analysis) -> np.ndarray:
    def make() -> np.ndarray:
        rms = float(np.sqrt(np.mean(np.square(x.speech_wav, dtype=np.float64))))
        return moments(log_mel(x.wav * (LEVEL / max(rms, 1e-6)), mel_contract())[x.speech])

    return x.memo("mel_moments", make)


def _both(item: Item, make: Callable[[Analysis], np.ndarray]) -> np.ndarray:
    return np.concatenate([make(item.converted), make(item.reference)])


@register_set(
    "fd_mel",
    unit="",
    better="lower",
    needs=("wav", "reference"),
    digits=2,
    doc="Frechet distance of Gaussians (full covariance) fitted to all log-mel frames of speech of the outputs and of "
    f"the references: {BANDS} bands to {BAND / 1000:.0f} kHz, ln of power, every wav at one level; of the whole "
    f"set, from {MIN_FRAMES} frames (4 s) on; a longer utterance counts more",
    source=SOURCE,
    range="0 ..",
    combine=lambda total: frechet_of_totals(total, BANDS, MIN_FRAMES),
)
def _fd_mel(item: Item) -> np.ndarray:
    return _both(item, _mel_moments)


@register_set(
    "fd_spk",
    unit="",
    better="lower",
    needs=("wav", "reference"),
    digits=3,
    doc="Frechet distance of Gaussians fitted to the voice embeddings (one of unit length an utterance) of the outputs "
    f"and of the references; without correlations, since a covariance of {VALUES} values would need thousands of "
    f"utterances; a value of the whole set, from {MIN_UTTERANCES} utterances on",
    source=SOURCE,
    range="0 .. 4",
    combine=lambda total: frechet_of_totals(total, VALUES, MIN_UTTERANCES),
    available=speaker_missing,
)
def _fd_spk(item: Item) -> np.ndarray:
    return _both(item, lambda x: moments(embedding(x)[None], diagonal=True))
