"""Overlapping windows: known means, one batch equal to a loop, any length."""

import pytest
import torch

from evc2.systems.windows import over_windows


def loop(image, network, window, hop):
    """The same one window at a time, written out."""
    frames = image.shape[-1]
    starts = [0]
    while starts[-1] + window < frames:
        starts.append(starts[-1] + hop)
    total = torch.zeros(*image.shape[:-1], starts[-1] + window)
    count = torch.zeros(starts[-1] + window)
    padded = torch.nn.functional.pad(image, (0, starts[-1] + window - frames))
    for start in starts:
        total[..., start : start + window] += network(padded[None, ..., start : start + window])[0][0]
        count[start : start + window] += 1
    return (total / count)[..., :frames]


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 40, 95, 96, 97, 250])
@pytest.mark.parametrize("most", [1, 3, 64])
def test_the_identity_comes_back(frames, most):
    image = torch.randn(1, 6, frames)
    same, double = over_windows(image, lambda x: [x, 2 * x], 32, 8, most)
    assert same.shape == image.shape and torch.allclose(same, image, atol=1e-6)
    assert torch.allclose(double, 2 * image, atol=1e-6)


@pytest.mark.parametrize("frames", [20, 64, 133])
def test_one_batch_is_the_loop(frames):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.InstanceNorm2d(4), torch.nn.Conv2d(4, 1, 1))
    image = torch.randn(1, 6, frames)
    with torch.no_grad():
        (made,) = over_windows(image, lambda x: [net(x)], 32, 8)
        assert torch.allclose(made, loop(image, lambda x: [net(x)], 32, 8), atol=1e-5)


def test_means_are_over_as_many_windows_as_there_are():
    # every window gives its own number: 0, 1, 2 (window 4, hop 2, 8 frames)
    numbers = lambda x: [torch.arange(len(x), dtype=torch.float32)[:, None, None, None].expand_as(x)]  # noqa: E731
    (made,) = over_windows(torch.zeros(1, 1, 8), numbers, 4, 2)
    assert made[0, 0].tolist() == [0, 0, 0.5, 0.5, 1.5, 1.5, 2, 2]


def test_what_is_beyond_the_end_is_silence_on_the_right():
    seen = []
    over_windows(torch.ones(1, 1, 5), lambda x: [seen.append(x) or x], 4, 4)
    assert seen[0][:, 0, 0].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]


def test_impossible_windows():
    for image, hop in ((torch.zeros(1, 1, 0), 1), (torch.zeros(1, 1, 9), 5), (torch.zeros(1, 1, 9), 0)):
        with pytest.raises(ValueError, match="frames and a hop"):
            over_windows(image, lambda x: [x], 4, hop)
