"""Turns of the GAN vocoders: against the usual scheme, which forwards everything anew, with espnet2's losses."""

import numpy as np
import pytest
import torch
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.nets.vocoders import copy_weights
from evc2.systems.gan_vocoder import GANVocoder
from evc2.train.turns import Owners

CONTRACT = FeatureContract.from_dict(
    {
        "kind": "mel", "rate": 16000, "n_fft": 128, "hop": 32, "win": 128, "window": "hann", "center": False,
        "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 6000, "mel_scale": "slaney",
        "mel_norm": "slaney", "log_base": "e", "floor": 1e-5, "floor_place": "clip", "scale": "none",
    }
)  # fmt: skip
GENERATORS = {
    "hifigan": {
        "channels": 8, "upsample_scales": [8, 4], "upsample_kernel_sizes": [16, 8], "resblock_kernel_sizes": [3],
        "resblock_dilations": [[1, 3]],
    },
    "melgan": {"channels": 32, "upsample_scales": [8, 4], "stacks": 1},
}  # fmt: skip
DISCRIMINATOR = {"net": "melgan", "scales": 2, "channels": 4, "max_downsample_channels": 8, "downsample_scales": [2, 2]}


def model(net="hifigan", **conf):
    torch.manual_seed(0)
    return GANVocoder(CONTRACT, net, GENERATORS[net], DISCRIMINATOR, **conf)


def batch(n=3, frames=20):
    g = torch.Generator().manual_seed(1)
    return {"wav": 0.1 * torch.randn(n, (frames - 1) * 32 + 128, generator=g)}


@pytest.mark.parametrize("net", ["hifigan", "melgan"])
@pytest.mark.parametrize("kind", ["mse", "hinge"])
def test_losses_and_gradients_equal_the_usual_scheme(net, kind):
    ours = model(net, adversarial=kind)
    plain, wav = model(net, adversarial=kind), batch()["wav"]  # the same seed
    mel, real = plain.inputs(wav)
    real = real[:, None]
    d_loss = sum(
        DiscriminatorAdversarialLoss(average_by_discriminators=False, loss_type=kind)(
            plain.discriminator(plain.generator(mel).detach()), plain.discriminator(real)
        )
    )
    d_loss.backward()
    d_grads = [p.grad.clone() for p in plain.discriminator.parameters()]
    fake = plain.generator(mel)
    maps, target = plain.discriminator(fake), plain.discriminator(real)
    fm = FeatureMatchLoss(average_by_layers=False, average_by_discriminators=False)(maps, target)
    mel_loss = F.l1_loss(plain.loss_mel.whole(fake[:, 0]), plain.loss_mel.whole(real[:, 0]))
    adversarial = GeneratorAdversarialLoss(average_by_discriminators=False, loss_type=kind)(maps)
    g_loss = adversarial + 2 * fm + 45 * mel_loss
    g_grads = torch.autograd.grad(g_loss, list(plain.generator.parameters()))

    cache = ours.begin_batch(0, {"wav": wav})
    for turn, loss, grads in (("discriminator", d_loss, d_grads), ("generator", g_loss, g_grads)):
        Owners(ours).only(turn)
        ours.zero_grad(set_to_none=True)
        got, stats, weight = ours(turn=turn, cache=cache, wav=wav)
        got.backward()
        assert got.item() == pytest.approx(loss.item(), rel=1e-5) and weight == 3
        for p, q in zip(ours.turn_parameters(turn), grads, strict=True):
            assert (p.grad - q).abs().max() <= 1e-4 * q.abs().max() + 1e-7
        owned = {id(p) for p in ours.turn_parameters(turn)}
        assert all(p.grad is None for p in ours.parameters() if id(p) not in owned)
        assert not any(value.requires_grad for value in stats.values())


def test_the_generator_learns_alone_before_the_discriminator_starts():
    vocoder = model()
    vocoder.start_steps = {"discriminator": 5}
    _, early, _ = vocoder(turn="generator", step=4, **batch())
    _, late, _ = vocoder(turn="generator", step=5, **batch())
    assert "loss_g_adv" not in early and "loss_g_adv" in late
    assert early["loss_g"] == pytest.approx(45 * early["mel_l1"].item())


def test_it_learns():
    vocoder, data = model(lambda_adv=1.0), batch(2, 16)
    optimizers = [torch.optim.Adam(vocoder.turn_parameters(turn), 3e-3) for turn in vocoder.turns]
    first = vocoder(**data)[1]["mel_l1"]
    for step in range(25):
        cache = vocoder.begin_batch(step, data)
        for turn, optimizer in zip(vocoder.turns, optimizers, strict=True):
            Owners(vocoder).only(turn)
            optimizer.zero_grad()
            vocoder(turn=turn, step=step, cache=cache, **data)[0].backward()
            optimizer.step()
        for p in vocoder.parameters():
            p.requires_grad_(True)
    assert vocoder(**data)[1]["mel_l1"] < 0.8 * first


def test_generated_mels_are_the_input_when_they_are_given():
    vocoder, data = model(), batch()
    mel, real = vocoder.inputs(**data)
    given, same = vocoder.inputs(**data, feats=torch.zeros(3, 20, 10))
    assert mel.shape == given.shape == (3, 10, 20) and not given.any()
    assert torch.equal(real, same) and real.shape == (3, 640)


def test_weights_are_handed_on_with_weight_norm_folded_or_not():
    source, target = model(), model()
    for p in target.generator.parameters():
        torch.nn.init.normal_(p)
    mel = torch.randn(1, 10, 12)
    expected = source.generator(mel)
    source.generator.remove_weight_norm()
    copy_weights(source.generator, target.generator)
    assert torch.allclose(target.generator(mel), expected, atol=1e-5)
    other = GANVocoder(CONTRACT, "hifigan", {**GENERATORS["hifigan"], "channels": 16}, DISCRIMINATOR)
    with pytest.raises(UserError, match="another network"):
        copy_weights(source.generator, other.generator)


def test_generate_gives_hop_samples_a_frame():
    assert model().generate(np.zeros((7, 10), np.float32)).shape == (7 * 32,)


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match=r"hop 32; choose upsample_scales"):
        GANVocoder(CONTRACT, "melgan", {"channels": 32, "upsample_scales": [4, 4], "stacks": 1}, DISCRIMINATOR)
    with pytest.raises(UserError, match="did you mean hifigan"):
        GANVocoder(CONTRACT, "higan", {}, DISCRIMINATOR)
    with pytest.raises(UserError, match="did you mean scales"):
        GANVocoder(CONTRACT, "hifigan", GENERATORS["hifigan"], {"net": "melgan", "scale": 2})
    with pytest.raises(UserError, match="no discriminator 'wave'"):
        GANVocoder(CONTRACT, "hifigan", GENERATORS["hifigan"], {"net": "wave"})
