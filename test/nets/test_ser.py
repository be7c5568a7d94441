import pytest
import torch

from evc2.nets.layers.augment import Augment
from evc2.nets.ser import EmotionClassifier, joint, long_enough, statistics


def test_answers_are_posteriors_for_any_length():
    net = EmotionClassifier(64, 8, channels=4, hidden=16).eval()
    for frames in (3, 47, 48, 130, 333):
        log, embedding = net(torch.randn(2, frames, 64))
        assert log.shape == (2, 8) and embedding.shape == (2, 64)
        assert torch.allclose(log.exp().sum(1), torch.ones(2), atol=1e-5)


def test_an_utterance_does_not_depend_on_its_batch():
    net = EmotionClassifier(32, 3, channels=4, hidden=16).eval()
    x = torch.randn(4, 60, 32)
    assert torch.allclose(net(x)[0][:1], net(x[:1])[0], atol=1e-5)


def test_short_input_is_reflected():
    x = torch.arange(4.0)[None, :, None]
    assert long_enough(x, 8)[0, :, 0].tolist() == [0, 1, 2, 3, 2, 1, 0, 1]
    assert long_enough(x, 3) is x


def test_statistics_of_known_signals():
    x = torch.zeros(1, 64, 16)
    x[0, :, 0] = 2.0
    x[0, :, 1] = torch.arange(64.0) % 2  # 0 1 0 1 ...
    found = statistics(x)[0]
    assert found.shape == (7 * 16 + 3 + 19 * 16,)
    assert found[0] == 2.0 and found[1] == 0.5  # means
    assert found[16] == 0 and found[17] == pytest.approx(0.504, abs=1e-3)  # deviations
    changes = found[5 * 16 : 7 * 16]
    assert changes[1] == 1.0 and changes[16 + 1] == 0.0  # over one frame, over four


def test_joint_is_the_geometric_mean():
    a, b = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert torch.allclose(joint((a, b)).exp(), torch.tensor([[2 / 3, 1 / 3]]), atol=1e-5)


def test_learns_two_patterns_and_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    net = EmotionClassifier(32, 2, channels=4, hidden=16, dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    target = torch.arange(16) % 2
    x = torch.randn(16, 64, 32) + target[:, None, None] * torch.linspace(-1, 1, 32)
    for step in range(30):
        logits = net.logits(net.branches(x))
        loss = sum(torch.nn.functional.cross_entropy(one, target) for one in logits)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
        optimizer.step()
    assert (net.eval()(x)[0].argmax(1) == target).all()


def test_augmentation_keeps_shape_and_can_be_turned_off():
    torch.manual_seed(0)
    x, fill = torch.randn(3, 100, 64), torch.full((64,), 9.0)
    off = Augment(stretch=0, shift=0, scale=0, gain=0, tilt=0, masks=0)
    assert torch.allclose(off.warp(x), x, atol=1e-4) and off.mask(x, fill) is x
    on = Augment()
    assert on.warp(x).shape == x.shape and not torch.allclose(on.warp(x), x, atol=0.1)
    masked = on.mask(x, fill)
    gone = masked == 9.0
    assert gone.any() and torch.equal(masked[~gone], x[~gone])
    assert gone[0].all(0).sum() <= 20 and gone[0].all(1).sum() <= 34  # two masks of at most 10 bands, 17 frames


def test_augmentation_moves_the_spectrum_by_the_stated_bands():
    torch.manual_seed(1)
    x = torch.zeros(200, 8, 64)
    x[:, :, 32] = 1.0
    moved = Augment(stretch=0, shift=4.0, scale=0, gain=0, tilt=0).warp(x)
    places = (moved[:, 4] * torch.arange(64)).sum(1) / moved[:, 4].sum(1)
    assert 27.9 < places.min() < 29 and 35 < places.max() < 36.1
