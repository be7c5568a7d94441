"""Networks of the emotion-transfer TTS: sizes, padding, known answers."""

import pytest
import torch
from torch import nn

from evc2.nets.emotts import (
    Decoder,
    DurationPredictor,
    EmotionTokens,
    ReferenceEncoder,
    TextEncoder,
    length_mask,
    regulate,
)
from evc2.nets.layers.transformer import FFTBlock, SinusoidPositions, sinusoids

BLOCK = {"heads": 2, "inner": 24, "kernel": 3, "dropout": 0.1}


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_published_sizes_network_by_network():
    block = {"heads": 2, "inner": 256, "kernel": 9, "dropout": 0.2}
    assert size(TextEncoder(361, 64, 1, 321, block)) == 224_448
    reference, tokens = ReferenceEncoder(80, (32, 32, 64, 64, 128, 128), 32, -11.5129), EmotionTokens(8, 32, 64)
    assert size(reference) + size(tokens) == 325_920
    assert size(DurationPredictor(64, 321, block, 1, 2, 3, 256, 0.2)) == 242_950
    assert size(Decoder(64, 80, 6, 8, 15, 256, 0.2, 0.0)) == 378_192


def test_regulate_repeats_and_ends_in_zeros():
    x = torch.arange(1.0, 7.0).view(2, 3, 1)
    out = regulate(x, torch.tensor([[2, 0, 1], [1, 3, 0]]), 5)
    assert out[..., 0].tolist() == [[1, 1, 3, 0, 0], [4, 5, 5, 5, 0]]


def test_regulate_hands_gradients_to_the_phones_in_proportion():
    x = torch.ones(1, 3, 1, requires_grad=True)
    regulate(x, torch.tensor([[4, 0, 2]]), 8).sum().backward()
    assert x.grad[0, :, 0].tolist() == [4, 0, 2]


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(5, 6)
    assert torch.allclose(table[0], torch.tensor([0.0, 1, 0, 1, 0, 1]))
    assert table[3, 0].item() == pytest.approx(torch.tensor(3.0).sin().item())
    assert table[3, 5].item() == pytest.approx(torch.tensor(3 / 10000 ** (4 / 6)).cos().item(), abs=1e-6)


def test_positions_beyond_the_table_go_on():
    short, long = SinusoidPositions(4, 6), SinusoidPositions(50, 6)
    x = torch.zeros(1, 20, 6)
    assert torch.allclose(short(x), long(x), atol=1e-6)
    assert not short.table.requires_grad


def test_fft_block_equals_plain_attention():
    torch.manual_seed(0)
    block = FFTBlock(8, heads=2, inner=12, kernel=3, dropout=0.0).eval()
    x, mask = torch.randn(1, 5, 8), torch.tensor([[True, True, True, False, False]])
    q, k, v = block.qkv(x[0]).view(5, 3, 2, 4).unbind(1)
    heard = []
    for h in range(2):
        weights = (q[:, h] @ k[:3, h].T / 2.0).softmax(-1)
        heard.append(weights @ v[:3, h])
    y = block.norm1(x[0] + block.out(torch.cat(heard, 1)))
    y[3:] = 0
    z = block.narrow(block.wide(y.T[None]).relu())[0].T
    expected = block.norm2(y + z)
    expected[3:] = 0
    assert torch.allclose(block(x, mask)[0], expected, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 63, 64, 130])
def test_reference_encoder_does_not_hear_padding(frames):
    torch.manual_seed(0)
    net = ReferenceEncoder(16, (4, 4, 8), 5, -11.5).eval()
    x = torch.randn(2, 140, 16) - 5
    alone = net(x[:1, :frames], torch.tensor([frames]))
    padded = x.clone()
    padded[0, frames:] = 777.0  # whatever stands there
    together = net(padded, torch.tensor([frames, 140]))[:1]
    assert torch.allclose(alone, together, atol=1e-5)


def test_emotion_tokens_hard_is_one_row_soft_a_mixture():
    torch.manual_seed(0)
    tokens = EmotionTokens(3, 4, 6)
    rows = tokens.value(torch.tanh(tokens.tokens))
    assert torch.allclose(tokens.embed(torch.eye(3)), rows)
    scores = tokens.logits(torch.randn(5, 4)).softmax(-1)
    assert torch.allclose(scores.sum(1), torch.ones(5), atol=1e-6)
    assert torch.allclose(tokens.embed(scores), scores @ rows, atol=1e-6)


def test_predictor_and_decoder_give_zeros_for_padding():
    torch.manual_seed(0)
    predictor, decoder = DurationPredictor(8, 32, BLOCK, 1, 2, 3, 16, 0.1), Decoder(8, 10, 2, 2, 5, 16, 0.1, 1.0)
    voice, mask = torch.randn(2, 8), length_mask(torch.tensor([3, 6]), 6)
    x = torch.randn(2, 6, 8) * mask[..., None]
    fused, durations = predictor(x, mask, voice)
    assert (fused[0, 3:] == 0).all() and (durations[0, 3:] == 0).all() and (durations[1] != 0).all()
    made = decoder(fused, mask, voice)
    assert len(made) == 2 and all((mel[0, 3:] == 0).all() and (mel[0, :3] != 0).all() for mel in made)
    assert len(decoder.eval()(fused, mask, voice)) == 1


def test_voice_reaches_the_decoder_by_normalisation_alone():
    decoder = Decoder(8, 10, 2, 2, 5, 16, 0.0, 1.0).eval()
    x, mask = torch.randn(1, 6, 8), torch.ones(1, 6, dtype=torch.bool)
    other = decoder(x, mask, torch.ones(1, 8))[0]
    assert not torch.allclose(decoder(x, mask, torch.zeros(1, 8))[0], other)
    for norm in (*decoder.conv_norms, *decoder.ff_norms):
        norm.affine.weight.data.zero_()
    assert torch.allclose(decoder(x, mask, torch.zeros(1, 8))[0], decoder(x, mask, torch.ones(1, 8))[0])
