"""Networks of the VQ-VAE: the published sizes, shapes, and what each part is told."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.nets.layers import conv1d
from evc2.nets.vqvae import CodeEncoder, MelDecoder, ResBlock, SpeakerClassifier

SMALL = {"n_mels": 10, "channels": 8, "embed_dim": 4, "n_embed": 6, "n_res": 1}


def count(*nets):
    return sum(p.numel() for net in nets for p in net.parameters())


def test_published_parameter_counts():
    encoder, decoder = CodeEncoder(), MelDecoder(128)
    assert count(encoder.enc_b) == 5_154_304 and count(encoder.enc_t) == 4_988_928
    assert count(encoder.quantize_conv_t) == 32_832 and count(encoder.dec_t) == 3_381_824
    assert count(encoder.quantize_conv_b) == 36_928 and count(encoder.upsample_t) == 16_448
    assert count(decoder) == 4_612_176
    assert count(encoder, decoder, nn.Embedding(102, 32)) == 18_226_704


@pytest.mark.parametrize("levels", ["both", "bottom"])
@pytest.mark.parametrize("frames", [8, 40])
def test_shapes_and_rates(levels, frames):
    net = CodeEncoder(**SMALL, levels=levels).eval()
    codes = net(torch.randn(2, 10, frames))
    dim = 8 if levels == "both" else 4
    assert codes.code.shape == (2, dim, frames // 4) and net.dim == dim
    assert codes.bottom.shape == (2, frames // 4) and codes.bottom.max() < 6
    assert (codes.top is None) if levels == "bottom" else (codes.top.shape == (2, frames // 8))
    mel = MelDecoder(dim, 10, 8, speaker_dim=3, n_res=1).eval()(codes.code, torch.randn(2, 3))
    assert mel.shape == (2, 10, frames)
    if frames >= 16:
        assert SpeakerClassifier(dim, 7, channels=8)(codes.code).shape == (2, 7)


def test_codes_by_level_may_differ_in_number():
    net = CodeEncoder(**{**SMALL, "n_embed": [3, 5]})
    assert {k: len(q.codes) for k, q in net.quantizers.items()} == {"top": 3, "bottom": 5}
    with pytest.raises(UserError, match="top, bottom"):
        CodeEncoder(**{**SMALL, "n_embed": [3]})
    with pytest.raises(UserError, match="both or bottom"):
        CodeEncoder(**SMALL, levels="top")


def test_the_skip_is_clean_unless_the_published_one_is_asked_for():
    x = torch.randn(2, 4, 6)
    for preact in (False, True):
        block = ResBlock(4, preact).eval()
        nn.init.zeros_(block.norm2.weight)
        nn.init.zeros_(block.norm2.bias)
        assert torch.allclose(block(x), F.leaky_relu(x, 0.01) if preact else x)


def test_results_do_not_depend_on_the_batch():
    net = CodeEncoder(**SMALL).train()
    net(torch.randn(8, 10, 32))  # draws codebooks
    net.eval()
    x = torch.randn(3, 10, 32)
    together, alone = net(x), net(x[1:2])
    assert torch.allclose(together.code[1:2], alone.code, atol=1e-5)
    assert torch.equal(together.bottom[1:2], alone.bottom)


def test_the_decoder_hears_its_speaker():
    net = MelDecoder(8, 10, 8, speaker_dim=3, n_res=1).eval()
    code = torch.randn(1, 8, 4)
    assert not torch.allclose(net(code, torch.ones(1, 3)), net(code, -torch.ones(1, 3)))


def test_outputs_gradients_and_statistics_equal_those_of_torchs_layers(monkeypatch):
    torch.manual_seed(0)
    calls = []
    fused = conv1d._ConvNorm.apply
    monkeypatch.setattr(conv1d._ConvNorm, "apply", lambda *a: calls.append(1) or fused(*a))
    ours, plain = (nn.ModuleList([CodeEncoder(**SMALL), MelDecoder(8, 10, 8, speaker_dim=3, n_res=1)]) for _ in "ab")
    ours[0](torch.randn(8, 10, 32))  # draws codebooks
    plain.load_state_dict(ours.state_dict())
    for module in plain.modules():
        if isinstance(module, conv1d.Conv1d | conv1d.ConvTranspose1d):
            module.__class__ = type(module).__bases__[0]
    mel, speaker, results = torch.randn(2, 10, 48), torch.randn(2, 3), []
    for net in (ours, plain):
        calls.clear()
        for quantizer in net[0].quantizers.values():
            quantizer.holds = True
        codes = net[0](mel)
        made = net[1](codes.code, speaker)
        ((made - mel).abs().mean() + codes.commitment).backward()
        gradients = {f"d {name}": value.grad for name, value in net.named_parameters()}
        results.append({"made": made, "code": codes.code, **gradients, **net.state_dict()})
        assert len(calls) == (11 if net is ours else 0)
    assert results[0].keys() == results[1].keys()
    for name, value in results[1].items():
        assert torch.allclose(results[0][name].float(), value.float(), rtol=1e-3, atol=1e-5), name
