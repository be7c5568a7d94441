"""Structural similarity of two images, such as a spectrogram and its reconstruction by a network."""

from __future__ import annotations

import numpy as np

WINDOW = 7
"""Width and height of the windows in pixels."""

K1, K2 = 0.01, 0.03
"""The constants C1 and C2 are the squares of these shares of the data range (the paper's values)."""


def ssim(a: np.ndarray, b: np.ndarray, data_range: float = 1.0) -> float:
    """Mean structural similarity of two images.

    Per window: (2 m_a m_b + C1) (2 c_ab + C2) / ((m_a^2 + m_b^2 + C1) (v_a + v_b + C2)) with means m, variances v and
    covariance c; then the mean over all windows that lie wholly within the image.

    Args:
        a, b: [H, W], equal shapes, at least ``WINDOW`` in both directions.
        data_range: what lies between the least and the greatest value that a pixel can have.

    Returns:
        -1 .. 1; 1 for equal images. NaN where a pixel is NaN.

    Raises:
        ValueError: shapes that differ or are not those of images, images smaller than a window, or a data range that
            is not above 0.

    Source: Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural similarity,
    IEEE Trans. Image Processing 13(4), 2004, eq. 13. Unlike the paper's Gaussian weights of 11 x 11 pixels, windows are
    uniform, 7 x 7, and (co)variances those of a sample (divided by 48): what scikit-image does unless told otherwise,
    so that figures compare with published ones.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"expected two images [H, W] of one shape, got {a.shape} and {b.shape}")
    if min(a.shape) < WINDOW:
        raise ValueError(f"expected images of at least {WINDOW} x {WINDOW} pixels, got {a.shape[0]} x {a.shape[1]}")
    if not data_range > 0:
        raise ValueError(f"expected a data range above 0, got {data_range}")
    mean_a, mean_b = _windows(a), _windows(b)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    var_a, var_b = sample * (_windows(a * a) - mean_a**2), sample * (_windows(b * b) - mean_b**2)
    cov = sample * (_windows(a * b) - mean_a * mean_b)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    alike = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return float(np.mean(alike / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))


def _windows(x: np.ndarray) -> np.ndarray:
    """Mean of each window of x [H, W]: [H - WINDOW + 1, W - WINDOW + 1]."""
    rows = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=0).mean(axis=-1)
    return np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=1).mean(axis=-1)
