"""GAN losses against espnet2's classes, and known answers."""

import pytest
import torch
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)

from evc2.errors import UserError
from evc2.losses.vocoder import (
    MultiResolutionSTFT,
    adversarial_discriminator,
    adversarial_generator,
    feature_matching,
)


def maps(seed):
    g = torch.Generator().manual_seed(seed)
    return [[torch.randn(2, c, 7, generator=g) for c in (3, 5, 1)] for _ in range(2)]


@pytest.mark.parametrize("kind", ["mse", "hinge"])
def test_equal_espnet2(kind):
    real, fake = maps(0), maps(1)
    assert adversarial_generator(fake, kind) == pytest.approx(
        GeneratorAdversarialLoss(average_by_discriminators=False, loss_type=kind)(fake).item(), abs=1e-5
    )
    expected = DiscriminatorAdversarialLoss(average_by_discriminators=False, loss_type=kind)(fake, real)
    got = adversarial_discriminator(real, fake, kind)
    assert [x.item() for x in got] == pytest.approx([x.item() for x in expected], abs=1e-5)
    matching = FeatureMatchLoss(average_by_layers=False, average_by_discriminators=False)(fake, real)
    assert feature_matching(real, fake) == pytest.approx(matching.item(), abs=1e-5)


def test_a_perfect_generator_has_no_loss():
    ones = [[torch.zeros(1, 2, 3), torch.ones(1, 1, 3)]]
    assert adversarial_generator(ones) == 0
    assert feature_matching(ones, ones) == 0
    assert adversarial_discriminator(ones, [[m[0] * 0 for m in ones[0]]]) == (0, 0)
    with pytest.raises(UserError, match="expected mse or hinge"):
        adversarial_generator(ones, "wasserstein")


def test_feature_matching_does_not_move_the_real_side():
    real, fake = maps(0), maps(1)
    real[0][0].requires_grad_(True)
    fake[0][0].requires_grad_(True)
    feature_matching(real, fake).backward()
    assert real[0][0].grad is None and fake[0][0].grad is not None


def test_stft_loss():
    loss = MultiResolutionSTFT()
    wav = torch.randn(2, 6000) * 0.1
    assert loss(wav, wav) == 0
    # Halving a signal: convergence |y - y/2| / |y| = 0.5, log magnitude off by ln 2, at every resolution.
    assert loss(wav / 2, wav).item() == pytest.approx(0.5 + 0.6931, abs=1e-3)
