"""Networks of the two-stage conversion: sizes, padding and mates, search, generation."""

from itertools import product
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from evc2.nets.layers.masks import length_mask
from evc2.nets.seq2seq.decoder import Decoder, Limits, Prenet
from evc2.nets.seq2seq.encoders import MergeNet, Postnet, StyleClassifier, StyleEncoder, TextEncoder
from evc2.nets.seq2seq.recognizer import EDGE, Recognizer
from evc2.systems import build

CONF = Path(__file__).parents[2] / "egs" / "TEMPLATE" / "evc1" / "conf"
CLASSES = [("speaker", 3), ("emotion", 4)]
LENGTHS = torch.tensor([7, 12, 3])
MASK = length_mask(LENGTHS, 12)


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def recognizer(symbols: int = 6, **more) -> Recognizer:
    torch.manual_seed(0)
    return Recognizer(5, symbols, 8, **{"attention": 4, "filters": 2, "kernel": 5, **more}).eval()


def decoder(**more) -> Decoder:
    torch.manual_seed(0)
    sizes = {"hidden": 8, "reduction": 2, "prenet": 6, "attention": 4, "filters": 2, "kernel": 5, "always": False}
    return Decoder(5, 7, **{**sizes, **more}).eval()


def randomized(net: nn.Module) -> nn.Module:
    """Running statistics that are none of a fresh network, for evaluation."""
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return net.eval()


def test_published_sizes_network_by_network():
    conf = yaml.safe_load((CONF / "tuning" / "train_seq2seq_pretrain_repo.yaml").read_text())["system_conf"]
    labels = {"speakers": [f"p{k}" for k in range(99)], "emotions": ["other"], "tokens": ["<pad>", "<unk>", "a"]}
    model = build("seq2seq", {**conf, **labels})
    assert {name: size(net) for name, net in model.networks().items()} == {
        "embedding": 21_504, "text": 5_776_384, "recognizer": 7_152_490, "style": 655_971, "classifier": 841_827,
        "merge": 1_576_960, "decoder": 6_724_065, "postnet": 4_348_144,
    }  # fmt: skip
    assert size(model) == 27_097_345


def check_alone(net, x: torch.Tensor, garbage: float = 30.0) -> None:
    """``net(x, lengths, mask)`` of an item alone is that of a batch with garbage in its padding."""
    torch.manual_seed(2)
    padded = torch.where(MASK[..., None], x, garbage * torch.randn(x.shape))
    together = net(padded, LENGTHS, MASK)
    for i, n in enumerate(LENGTHS.tolist()):
        alone = net(x[i : i + 1, :n], LENGTHS[i : i + 1], MASK[i : i + 1, :n])
        made = together[i, :n] if together.dim() == 3 else together[i]
        torch.testing.assert_close(made, alone[0], rtol=1e-4, atol=1e-5)


def test_text_encoder_of_an_item_alone():
    torch.manual_seed(0)
    net = randomized(TextEncoder(8))
    x = torch.randn(3, 12, 8)
    check_alone(net, x)
    assert not net(x, LENGTHS, MASK)[~MASK].any()


def test_style_encoder_of_an_item_alone():
    torch.manual_seed(0)
    net = StyleEncoder(5, CLASSES, hidden=6, size=7).eval()
    x = torch.randn(3, 12, 5)
    for part in (lambda made: made[0], lambda made: made[1]["speaker"], lambda made: made[1]["emotion"]):
        check_alone(lambda x, lengths, mask, part=part: part(net(x, lengths)), x)
    style, scores = net(x, LENGTHS)
    torch.testing.assert_close(style.norm(dim=1), torch.ones(3))
    assert {name: tuple(score.shape) for name, score in scores.items()} == {"speaker": (3, 3), "emotion": (3, 4)}


def test_classes_are_told_by_the_vector_before_it_is_scaled():
    torch.manual_seed(0)
    net = StyleEncoder(5, CLASSES, hidden=6, size=7).eval()
    nn.init.zeros_(net.heads["speaker"].bias)
    nn.init.zeros_(net.out.bias)
    net.out.weight.data *= 1e-3  # where tanh is straight
    x = torch.randn(1, 9, 5)
    first = net(x, torch.tensor([9]))
    net.out.weight.data /= 2
    second = net(x, torch.tensor([9]))
    torch.testing.assert_close(first[0], second[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first[1]["speaker"], 2 * second[1]["speaker"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kernel", [1, 3])
def test_style_classifier_of_an_item_alone(kernel):
    torch.manual_seed(0)
    net = randomized(StyleClassifier(8, CLASSES, kernel=kernel))
    x = torch.randn(3, 12, 8)
    for name in ("speaker", "emotion"):
        check_alone(lambda x, lengths, mask, name=name: net(x, mask)[name], x)


def test_merge_net_of_an_item_alone():
    torch.manual_seed(0)
    net, style = MergeNet(8), torch.randn(1, 4)
    check_alone(lambda x, lengths, mask: net(x, lengths, style.expand(len(x), -1)), torch.randn(3, 12, 8))
    made = net(torch.randn(3, 12, 8), LENGTHS, style.expand(3, -1))
    assert made.shape == (3, 12, 12) and (made[..., 8:] == style).all()


def test_postnet_of_an_item_alone():
    torch.manual_seed(0)
    net = randomized(Postnet(5, channels=6))
    check_alone(lambda x, lengths, mask: net(x, mask), torch.randn(3, 12, 5))


@pytest.mark.parametrize("training", [True, False])
def test_postnet_leaves_padding_as_it_came(training):
    net = Postnet(5, channels=6).train(training)
    mel = torch.randn(3, 12, 5)
    assert torch.equal(net(mel, MASK)[~MASK], mel[~MASK])


def test_recognizer_of_an_item_alone_at_odd_and_even_lengths():
    net = recognizer()
    torch.manual_seed(1)
    feats, phones = torch.randn(3, 12, 5), torch.tensor([3, 5, 1])
    embedded = torch.randn(3, 6, 8)
    steps = length_mask(phones + 1, 6)
    padded = torch.where(MASK[..., None], feats, torch.tensor(30.0))
    said = torch.where(steps[..., None], embedded, torch.tensor(-30.0))
    together = net(padded, LENGTHS, said)
    assert [x.shape[1:] for x in together] == [(6, 8), (6, 6), (6, 6)]
    for i, (n, frames) in enumerate(zip(phones.tolist(), LENGTHS.tolist(), strict=True)):
        alone = net(feats[i : i + 1, :frames], LENGTHS[i : i + 1], embedded[i : i + 1, : n + 1])
        places = (frames + 1) // 2
        assert alone[2].shape == (1, n + 1, places)
        for mine, other in zip(together, alone, strict=True):
            torch.testing.assert_close(mine[i, : n + 1, : other.shape[2]], other[0], rtol=1e-4, atol=1e-5)
        assert not together[2][i, :, places:].any()


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_memory_has_a_place_for_every_begun_group_of_frames(reduction):
    net = recognizer(reduction=reduction)
    torch.manual_seed(1)
    memory, mask = net.encode(torch.randn(3, 12, 5), LENGTHS)
    assert mask.sum(1).tolist() == [-(-n // reduction) for n in LENGTHS.tolist()]
    assert memory.shape == (3, 12 // reduction, 8) and torch.equal(memory.abs().sum(2) > 0, mask)


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_decoder_of_an_item_alone(reduction):
    net = decoder(reduction=3)
    torch.manual_seed(1)
    memory, phones = torch.randn(3, 6, 7), torch.tensor([4, 6, 2])
    there, frames = length_mask(phones, 6), torch.tensor([6, 12, 6])
    feats, real = torch.randn(3, 12, 5), length_mask(frames, 12)
    garbage = torch.where(there[..., None], memory, torch.tensor(30.0))
    together = net(garbage, there, torch.where(real[..., None], feats, torch.tensor(30.0)), reduction)
    assert [x.shape[1] for x in together] == [12, 12 // reduction, 12 // reduction]
    for i, (n, t) in enumerate(zip(phones.tolist(), frames.tolist(), strict=True)):
        alone = net(memory[i : i + 1, :n], there[i : i + 1, :n], feats[i : i + 1, :t], reduction)
        assert not together[2][i, :, n:].any()
        mel, stop, weights = (made[i, : other.shape[1]] for made, other in zip(together, alone, strict=True))
        for mine, other in zip((mel, stop, weights[:, :n]), alone, strict=True):
            torch.testing.assert_close(mine, other[0], rtol=1e-4, atol=1e-5)


def test_decoder_knows_what_was_and_not_what_comes():
    net = decoder()
    memory, feats = torch.randn(1, 4, 7), torch.randn(1, 10, 5)
    mask = torch.ones(1, 4, dtype=torch.bool)
    mel, stop, weights = net(memory, mask, feats, 2)
    feats[:, 5] += 1  # the last frame of step 2
    after = net(memory, mask, feats, 2)
    assert torch.equal(mel[:, :6], after[0][:, :6]) and not torch.isclose(mel[:, 6:], after[0][:, 6:]).any()
    assert torch.equal(stop[:, :3], after[1][:, :3]) and torch.equal(weights[:, :3], after[2][:, :3])
    feats[:, 4] += 1  # no step knows the first frame of another
    assert all(torch.equal(x, y) for x, y in zip(after, net(memory, mask, feats, 2), strict=True))


def test_vectors_of_text_and_audio_are_as_many_in_every_batch():
    labels = {"speakers": ["x", "y"], "emotions": ["sad"], "tokens": ["<pad>", "<unk>", *"abcd"], "n_mels": 5}
    conf = yaml.safe_load((CONF / "debug" / "train_seq2seq.yaml").read_text())["system_conf"]
    model = randomized(build("seq2seq", {**conf, **labels}))
    for seed in range(12):
        torch.manual_seed(seed)
        items = int(torch.randint(1, 5, ()))
        frames, phones = torch.randint(1, 40, (items,)), torch.randint(1, 15, (items,))
        feats, text = torch.randn(items, int(frames.max()), 5), torch.randint(1, 6, (items, int(phones.max())))
        batch = {"text": text, "text_lengths": phones, "feats_lengths": frames}
        said = model.linguistic(batch, feats)
        assert said["text"].shape == said["audio"].shape == (items, int(phones.max()), 24)
        assert said["logits"].shape[1] == phones.max() + 1
        assert said["attention"].shape[2] == (frames.max() + 1) // 2
        for vectors in (said["text"], said["audio"]):
            there = vectors.abs().sum(2) > 0
            assert there.sum(1).tolist() == phones.tolist()


def scored(net: Recognizer, feats: torch.Tensor, table: torch.Tensor, phones: tuple[int, ...]) -> torch.Tensor:
    """Log probabilities [N + 1] of phones and their end, by teacher forcing."""
    before = table[torch.tensor([EDGE, *phones])][None]
    logits = net(feats[None], torch.tensor([len(feats)]), before)[1][0]
    return logits.log_softmax(1).gather(1, torch.tensor([*phones, EDGE])[:, None])[:, 0]


def bigrams(chances: dict[int, dict[int, float]], symbols: int) -> tuple[Recognizer, torch.Tensor]:
    """A recogniser that hears nothing: phones follow each other with these chances, others with 1e-6."""
    net = recognizer(symbols)
    for p in net.parameters():
        p.data.zero_()
    cell, big = net.rnn.cell, 20.0
    cell.bias_ih.data[0:8], cell.bias_ih.data[8:16], cell.bias_ih.data[24:32] = big, -big, big  # nothing is kept
    cell.weight_ih.data[16:24, :8] = big * torch.eye(8)  # the state is tanh(1) of the last phone's place
    net.hidden.weight.data[:, :8] = big * torch.eye(8)
    table = torch.full((symbols, symbols), 1e-6)
    for before, after in chances.items():
        for phone, chance in after.items():
            table[before, phone] = chance
    net.out.weight.data[:, :symbols] = table.log().T
    return net, torch.eye(symbols, 8)


def test_a_planted_sequence_is_found():
    net, table = bigrams({0: {3: 1}, 3: {1: 1}, 1: {4: 1}, 4: {2: 1}, 2: {0: 1}}, 5)
    for width in (1, 2, 10):
        heard = net.search(torch.randn(9, 5), table, width)
        assert heard.phones == [3, 1, 4, 2] and heard.ended
        assert heard.score == pytest.approx(0, abs=1e-4)


def test_a_wider_search_finds_what_looks_worse_at_first():
    chances = {0: {1: 0.6, 2: 0.4}, 1: {1: 0.34, 3: 0.33, 0: 0.33}, 2: {0: 1.0}, 3: {0: 0.5, 1: 0.5}}
    net, table = bigrams(chances, 4)
    narrow, wide = (net.search(torch.randn(9, 5), table, width, 20) for width in (1, 2))
    assert narrow.phones[0] == 1 and wide.phones == [2]
    assert wide.score == pytest.approx(torch.tensor(0.4).log().item() / 2, abs=1e-4) and narrow.score < wide.score


def test_an_endless_sequence_is_cut_off_at_the_longest():
    net, table = bigrams({0: {1: 1}, 1: {2: 1}, 2: {1: 1}}, 3)
    heard = net.search(torch.randn(9, 5), table, 3, 7)
    assert heard.phones == [1, 2, 1, 2, 1, 2, 1] and not heard.ended
    net, table = bigrams({0: {1: 1}, 1: {2: 1}, 2: {0: 1}}, 3)
    heard = net.search(torch.randn(9, 5), table, 3, 2)
    assert heard.phones == [1, 2] and heard.ended  # that is its end, and not the limit's


@pytest.mark.parametrize("seed", range(4))
def test_the_narrowest_search_is_greedy(seed):
    net = recognizer()
    torch.manual_seed(seed)
    feats, table = torch.randn(11, 5), 3 * torch.randn(6, 8)
    phones: tuple[int, ...] = ()
    for _ in range(8):
        before = table[torch.tensor([EDGE, *phones])][None]
        last = net(feats[None], torch.tensor([11]), before)[1][0, -1]
        phones = (*phones, int(last[1:].argmax()) + 1)
    means = [float(scored(net, feats, table, phones[:n]).mean()) for n in range(1, 9)]
    heard = net.search(feats, table, 1, 8)
    assert heard.phones == list(phones[: len(heard.phones)])
    assert heard.score == pytest.approx(max(means), abs=1e-5) and means.index(max(means)) + 1 == len(heard.phones)


@pytest.mark.parametrize("seed", range(4))
def test_the_widest_search_is_exhaustive_and_others_never_beat_it(seed):
    net = recognizer(4)
    torch.manual_seed(seed)
    net.out.weight.data *= 4
    feats, table = torch.randn(8, 5), 3 * torch.randn(4, 8)
    every = [phones for n in range(1, 5) for phones in product((1, 2, 3), repeat=n)]
    best = max(every, key=lambda phones: float(scored(net, feats, table, phones).mean()))
    found = {width: net.search(feats, table, width, 4) for width in (1, 2, 5, 100)}
    assert tuple(found[100].phones) == best
    assert found[100].score == pytest.approx(float(scored(net, feats, table, best).mean()), abs=1e-5)
    assert all(heard.score <= found[100].score + 1e-6 for heard in found.values())


@pytest.mark.parametrize("frames", [1, 2, 9, 20])
def test_what_a_search_tells_is_what_teacher_forcing_makes_of_its_phones(frames):
    net = recognizer()
    torch.manual_seed(frames)
    feats, table = torch.randn(frames, 5), torch.randn(6, 8)
    heard = net.search(feats, table, 4, 12)
    before = table[torch.tensor([EDGE, *heard.phones])][None]
    hidden, _, weights = net(feats[None], torch.tensor([frames]), before)
    assert 1 <= len(heard.phones) <= 12 and EDGE not in heard.phones
    assert len(heard.vectors) == len(heard.phones)
    torch.testing.assert_close(heard.vectors, hidden[0, :-1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(heard.weights, weights[0], rtol=1e-4, atol=1e-5)
    mean = float(scored(net, feats, table, tuple(heard.phones)).mean())
    assert heard.score == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("most, reduction", [(2, 2), (3, 2), (3, 1)])
def test_generation_equals_teacher_forcing_with_what_it_made(most, reduction):
    net = decoder(reduction=most)
    nn.init.constant_(net.stop.bias, -20.0)
    memory = torch.randn(6, 7)
    made = net.generate(memory, reduction, Limits(15, 100))
    assert made.ending == "limit" and not made.whole and made.mel.shape == (15 * reduction, 5)
    mel, _, weights = net(memory[None], torch.ones(1, 6, dtype=torch.bool), made.mel[None], reduction)
    torch.testing.assert_close(made.mel, mel[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(made.weights, weights[0], rtol=0, atol=1e-4)


def walking(stop: float) -> tuple[Decoder, torch.Tensor]:
    """A decoder whose attention goes on by a place every two steps over 6 places, and an even opinion of the end."""
    net = decoder()
    nn.init.zeros_(net.rnn.score.weight)
    nn.init.zeros_(net.stop.weight)
    nn.init.constant_(net.stop.bias, stop)
    return net, torch.randn(6, 7)


def test_an_end_counts_only_near_the_last_place():
    net, memory = walking(20.0)
    made = net.generate(memory, 2, Limits(100, 100))
    assert made.ending == "stop" and made.whole and len(made.weights) in (7, 8)
    assert made.weights[-1].argmax() == 4 and made.mel.shape == (2 * len(made.weights), 5)
    for places in (1, 2):  # nothing is far from their ends
        made = net.generate(memory[:places], 2, Limits(100, 100))
        assert made.ending == "stop" and len(made.weights) == 1 and made.whole


@pytest.mark.parametrize("linger", [0, 4])
def test_attention_that_rests_on_the_last_place_ends(linger):
    net, memory = walking(-20.0)
    made = net.generate(memory, 2, Limits(100, linger))
    assert made.ending == "attention" and made.whole
    assert (made.weights.argmax(1) == 5).sum() == linger + 1
    assert len(made.weights) in (9 + linger + 1, 9 + linger)


def test_what_never_ends_is_cut_off():
    net, memory = walking(-20.0)
    made = net.generate(memory, 2, Limits(7, 4))
    assert made.ending == "limit" and not made.whole and len(made.mel) == 14
    made = net.generate(memory, 2, Limits(12, 100))
    assert made.weights[-1].argmax() == 5 and not made.whole  # cut off at the last place all the same


def test_prenet_dropout_goes_on_and_is_the_generators():
    net, memory = decoder(always=True), torch.randn(6, 7)
    nn.init.constant_(net.stop.bias, -20.0)
    made = [net.generate(memory, 2, Limits(9, 100), torch.Generator().manual_seed(seed)).mel for seed in (0, 0, 1)]
    assert torch.equal(made[0], made[1]) and not torch.allclose(made[0], made[2])
    quiet = decoder()
    assert torch.equal(*(quiet.generate(memory, 2, Limits(9, 100)).mel for _ in range(2)))


def test_prenet_keeps_the_mean():
    torch.manual_seed(0)
    net = Prenet(1, 4, dropout=0.25).eval()
    net.layers[0].weight.data.fill_(1.0)
    net.layers[1].weight.data = torch.eye(4)
    made = net(torch.ones(20000, 1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(made.unique(), torch.tensor([0, (4 / 3) ** 2]))
    assert made.mean().item() == pytest.approx(1, abs=0.02)
    net.always = False
    torch.testing.assert_close(net(torch.ones(3, 1)), torch.ones(3, 4))
