"""Mel-cepstra on one defined scale, dynamic time warping, and mel-cepstral distortion: the MCD of this project.

**Scale.** A mel-cepstrum c in the sense of SPTK describes an amplitude envelope by

    ln |H(w)| = c_0 + sum_{m=1}^{24} c_m cos(m v(w)),    v(w) = w + 2 atan(alpha sin w / (1 - alpha cos w)),

with v the frequency axis warped by an all-pass filter (alpha 0.42 at 16 kHz). The common formula (Kubichek 1993)

    MCD = 10 sqrt(2) / ln 10 * sqrt(sum_{m=1}^{24} (c_m - c'_m)^2)

is then exactly the RMS difference in dB of the two envelopes over the warped axis, their mean level set aside: the
mean of cos^2 is 1/2 and a level is 20 / ln 10 * ln |H|.

WORLD's coded envelope is on another scale. Measured: ln sp = b_0 + sqrt(2) sum b_m cos(pi m x) for a power envelope
sp = |H|^2, so b_0 = 2 c_0 and b_m = sqrt(2) c_m up to the difference of the warps. The formula on coded envelopes
comes out 1.41 times too large. Both codings are linear in ln sp, so :func:`to_mel_cepstrum` is one matrix.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evc2.feats.contract import FeatureContract

ORDER = 24
DB = 10.0 * np.sqrt(2.0) / np.log(10.0)

# All-pass constants whose warp is closest to the mel scale, by sample rate.
_RATES = (8000, 10000, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_ALPHAS = (0.31, 0.35, 0.37, 0.42, 0.455, 0.466, 0.504, 0.544, 0.554)


def mel_alpha(rate: int) -> float:
    """All-pass constant for a sample rate in Hz: 0.42 at 16 kHz; linear between the usual rates."""
    return float(np.interp(rate, _RATES, _ALPHAS))


def warp(omega: np.ndarray, alpha: float) -> np.ndarray:
    """The warped frequency in radians of `omega` in radians (0..pi)."""
    return omega + 2.0 * np.arctan2(alpha * np.sin(omega), 1.0 - alpha * np.cos(omega))


@lru_cache(maxsize=8)
def _projection(bins: int, order: int, alpha: float) -> np.ndarray:
    """Matrix [bins, order + 1] from ln sp to the mel-cepstrum.

    c_m = 2/pi * integral of ln|H| cos(m v) dv (half of it for m = 0), by the trapezoidal rule over the bins with
    dv/dw in closed form; the integrand is periodic and smooth, for which that rule is accurate to rounding.
    """
    omega = np.linspace(0.0, np.pi, bins)
    step = (1 - alpha**2) / (1 - 2 * alpha * np.cos(omega) + alpha**2)
    step[[0, -1]] /= 2
    cosines = np.cos(np.outer(warp(omega, alpha), np.arange(order + 1)))
    cosines[:, 0] /= 2
    return 0.5 * cosines * (2.0 / (bins - 1) * step)[:, None]  # 0.5: ln|H| = ln(sp) / 2


@lru_cache(maxsize=8)
def _from_coded(coded_order: int, rate: int, fft_size: int, order: int) -> np.ndarray:
    from evc2.feats import world

    values = {"kind": "world", "rate": rate, "f0_method": "dio", "f0_floor": rate / 100, "f0_ceil": rate / 4}
    contract = FeatureContract.from_dict({**values, "frame_period": 5, "fft_size": fft_size, "order": coded_order})
    log_envelopes = np.log(world.decode(np.eye(coded_order), contract))  # decoding is linear in ln sp
    return log_envelopes @ _projection(fft_size // 2 + 1, order, mel_alpha(rate))


def mel_cepstrum(sp: np.ndarray, rate: int = 16000, order: int = ORDER) -> np.ndarray:
    """Mel-cepstrum [T, order + 1] (c0 first) of a power envelope [T, bins] from 0 to rate / 2, float64."""
    sp = np.asarray(sp, dtype=np.float64)
    return np.log(sp) @ _projection(sp.shape[1], order, mel_alpha(rate))


def to_mel_cepstrum(coded: np.ndarray, rate: int = 16000, fft_size: int = 1024, order: int = ORDER) -> np.ndarray:
    """Mel-cepstrum [T, order + 1] (c0 first) of WORLD's coded envelope [T, any], float64.

    Args:
        coded: "feats" of a world contract, c0 first.
        rate: that contract's rate in Hz.
        fft_size: that contract's fft_size.
        order: highest coefficient wanted; may be above what was coded.
    """
    coded = np.asarray(coded, dtype=np.float64)
    return coded @ _from_coded(coded.shape[1], int(rate), int(fft_size), order)


def from_log_mel(feats: np.ndarray, contract: FeatureContract, order: int = ORDER) -> np.ndarray:
    """Mel-cepstrum [T, order + 1] (c0 first) of log-mels [T, n_mels], float64, on the scale of this module.

    The mel bands stand for the warped axis, so the figures are near those of an envelope's mel-cepstrum without being
    the same: to choose models by, not for tables.
    """
    from evc2.feats.mel_conversion import expand

    mel = np.maximum(expand(feats, contract), 1e-10)
    bands = mel.shape[1]
    cosines = np.cos(np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(order + 1)))
    cosines[:, 0] /= 2
    return np.log(mel) / contract.power @ (2.0 / bands * cosines)


def dtw_path_of_cost(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest monotonic path through a cost matrix [N, M] from corner to corner.

    Steps (1, 0), (0, 1) and (1, 1), each at the cost of the cell it enters; of equal ways the diagonal one is taken.

    Returns:
        Row and column of each step, two arrays [K] with max(N, M) <= K < N + M.
        Source: Sakoe and Chiba 1978, without slope weights or a band: the exact optimum.
    """
    cost = np.ascontiguousarray(cost, dtype=np.float64)
    n, m = cost.shape
    if n == 0 or m == 0:
        raise ValueError(f"expected at least one frame on each side, got {n} and {m}")
    flat = cost.ravel()
    # A diagonal i + j = d depends on the two before it only, so its cells are computed at once. Cell i of a diagonal
    # lies at i + 1, behind an infinite cell for i = -1.
    before, last = np.full(n + 1, np.inf), np.full(n + 1, np.inf)
    steps = np.zeros((n + m - 1, n), dtype=np.uint8)  # 0: (1, 1), 1: (1, 0), 2: (0, 1)
    last[1] = flat[0]
    for d in range(1, n + m - 1):
        low, high = max(0, d - m + 1), min(n - 1, d)
        diagonal, down, right = before[low : high + 1], last[low : high + 1], last[low + 1 : high + 2]
        straight = np.minimum(down, right)
        steps[d, low : high + 1] = np.where(diagonal <= straight, 0, 1 + (right < down))
        new = np.full(n + 1, np.inf)
        start = low * (m - 1) + d  # flat index of (low, d - low); the next cell of the diagonal is m - 1 further
        cells = flat[start : start + (high - low) * (m - 1) + 1 : max(m - 1, 1)]
        np.minimum(diagonal, straight, out=straight)
        np.add(straight, cells, out=new[low + 1 : high + 2])
        before, last = last, new
    i, j = n - 1, m - 1
    rows, columns = [i], [j]
    while i or j:
        step = steps[i + j, i]
        i, j = i - (step != 2), j - (step != 1)
        rows.append(i)
        columns.append(j)
    return np.array(rows[::-1]), np.array(columns[::-1])


def dtw_path(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Align x [N, D] and y [M, D] by their Euclidean distances; returns as :func:`dtw_path_of_cost`."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"expected two arrays [T, D] of equal D, got {x.shape} and {y.shape}")
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2.0 * (x @ y.T)
    return dtw_path_of_cost(np.sqrt(np.maximum(squares, 0.0)))


def mcd(x: np.ndarray, y: np.ndarray, dtw: bool = True, has_c0: bool | None = None) -> float:
    """Mel-cepstral distortion: mean over the path's steps of 10 sqrt(2) / ln 10 * |x_i - y_j|.

    Args:
        x, y: mel-cepstra on SPTK's scale (from :func:`mel_cepstrum` or :func:`to_mel_cepstrum`; never WORLD's coded
            envelope itself), [T, 25] with c0 or [T, 24] without it.
        dtw: align them first, by the same coefficients; False needs equally many frames.
        has_c0: whether the first column is c0, which does not count; None: it is when there are 25 columns or more.

    All frames count alike: silence is the caller's to trim, and inflates or deflates the mean if it is left in.

    Returns:
        dB; 0 for equal input. Source: Kubichek 1993, eq. 1, with 24 coefficients.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(f"expected two arrays [T, D] of equal D, not empty, got {x.shape} and {y.shape}")
    if has_c0 if has_c0 is not None else x.shape[1] > ORDER:
        x, y = x[:, 1:], y[:, 1:]
    if dtw:
        i, j = dtw_path(x, y)
        x, y = x[i], y[j]
    elif len(x) != len(y):
        raise ValueError(f"without DTW both need equally many frames, got {len(x)} and {len(y)}")
    return float(DB * np.sqrt(((x - y) ** 2).sum(axis=1)).mean())


def equal_variance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x [T, D] with the standard deviation of y [S, D] in every dimension, its own means kept.

    MCD rewards smoothing: an output near the mean spectrum scores better than one that moves as speech does. The
    distance of ``equal_variance(x, y)`` to y takes that reward away, because a smoothed output's noise grows with it.
    Source of the idea: the global variance of Toda, Black and Tokuda, IEEE TASLP 15(8), 2007, eq. 30 and 58.
    """
    mean = x.mean(0)
    return (x - mean) * (y.std(0) / np.maximum(x.std(0), 1e-6)) + mean


def variance_ratio(x: np.ndarray, y: np.ndarray) -> float:
    """Global variance of x [T, D] over that of y [S, D], mean over dimensions: 1 as natural, below 1 smoothed."""
    return float(np.mean(x.var(0) / np.maximum(y.var(0), 1e-12)))


def conversion_distances(new: np.ndarray, reference: np.ndarray, source: np.ndarray) -> dict[str, float]:
    """What validation says of a conversion, beside the unconverted source.

    Args:
        new, reference, source: mel-cepstra [T, D] without c0; the source of any length.

    Returns:
        ``mcd``, ``mcd_source`` and the distance moved ``mcd_moved`` in dB (frame by frame where the conversion
        keeps the time axis); ``gv``, the ratio of variances; and
        ``mcd_gv``, the MCD after the variances are made equal, by which the best model is chosen: plain MCD is lowest
        in the first epochs, when the networks still give something near the mean spectrum.
    """
    return {
        "mcd": mcd(new, reference),
        "mcd_gv": mcd(equal_variance(new, reference), reference),
        "mcd_source": mcd(source, reference),
        "mcd_moved": mcd(new, source, dtw=len(new) != len(source)),
        "gv": variance_ratio(new, reference),
    }
