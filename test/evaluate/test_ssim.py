"""Structural similarity, against values worked out by hand and against scikit-image."""

import numpy as np
import pytest

from evc2.evaluate.ssim import ssim

C1, C2 = 1e-4, 9e-4


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 0.5, 40), np.linspace(0, 0.5, 33))
    return smooth, np.clip(smooth + 0.1 * rng.standard_normal(smooth.shape), 0, 1)


def test_identity(images):
    for image in (*images, np.zeros((7, 9)), np.ones((8, 7))):
        assert ssim(image, image.copy()) == pytest.approx(1, abs=1e-12)


def test_symmetric_and_below_one(images):
    a, b = images
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-12)
    assert 0 < ssim(a, b) < 0.9
    assert ssim(a, 0.5 * (a + b)) > ssim(a, b)


def test_black_and_white():
    """Constant images: no variance, so only the means count."""
    assert ssim(np.zeros((7, 7)), np.ones((7, 7))) == pytest.approx(C1 / (1 + C1))
    assert ssim(np.full((9, 8), 0.2), np.full((9, 8), 0.6)) == pytest.approx((0.24 + C1) / (0.4 + C1))


def test_one_white_pixel_by_hand():
    """One window: mean 1 / 49, sample variance (1 - 1 / 49) / 48 = 1 / 49, covariance with black 0."""
    a = np.zeros((7, 7))
    a[3, 3] = 1
    assert ssim(a, np.zeros((7, 7))) == pytest.approx(C1 * C2 / ((1 / 49**2 + C1) * (1 / 49 + C2)), rel=1e-9)
    b = np.zeros((7, 7))
    b[0, 0] = 1  # sample covariance of two white pixels at different places: -49 / 49^2 / 48
    expected = (2 / 49**2 + C1) * (-2 / 49 / 48 + C2) / ((2 / 49**2 + C1) * (2 / 49 + C2))
    assert ssim(a, b) == pytest.approx(expected, rel=1e-9)


def test_mean_over_the_windows_within_the_image():
    """8 x 7 pixels hold two windows; the white pixel lies in the first only."""
    a = np.zeros((8, 7))
    a[0, 0] = 1
    first = C1 * C2 / ((1 / 49**2 + C1) * (1 / 49 + C2))
    assert ssim(a, np.zeros((8, 7))) == pytest.approx((first + 1) / 2, rel=1e-9)


def test_opposite_structure_is_negative():
    a = np.indices((14, 14)).sum(axis=0) % 2.0
    assert ssim(a, 1 - a) < -0.9


def test_the_data_range_scales(images):
    a, b = images
    assert ssim(100 * a, 100 * b, data_range=100) == pytest.approx(ssim(a, b))
    assert ssim(a, b, data_range=2) > ssim(a, b)


@pytest.mark.parametrize(
    ("a", "b", "data_range", "message"),
    [
        (np.zeros((7, 7)), np.zeros((7, 8)), 1, r"\(7, 7\) and \(7, 8\)"),
        (np.zeros(49), np.zeros(49), 1, "images"),
        (np.zeros((6, 99)), np.zeros((6, 99)), 1, "at least 7 x 7 pixels, got 6 x 99"),
        (np.zeros((7, 7)), np.zeros((7, 7)), 0, "data range above 0"),
    ],
)
def test_what_cannot_be_compared(a, b, data_range, message):
    with pytest.raises(ValueError, match=message):
        ssim(a, b, data_range)


@pytest.mark.parametrize("shape", [(7, 7), (40, 33), (128, 128)])
def test_as_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(1)
    a = rng.random(shape)
    b = np.clip(a + 0.2 * rng.standard_normal(shape), 0, 1)
    assert ssim(a, b) == pytest.approx(metrics.structural_similarity(a, b, data_range=1.0), abs=1e-10)
