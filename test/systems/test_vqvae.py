"""The VQ-VAE system: what each turn learns, what the adversary and the self-cycle do, and conversion of any length."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evc2.bin.show_model import main as show_model
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.systems.vqvae import VQVAE
from evc2.systems.vqvae_losses import AdversaryRamp, held, reverse_gradient
from evc2.systems.windows import in_pieces
from evc2.train.abs_model import ConversionTarget
from evc2.train.turns import Owners

CONTRACT = FeatureContract.from_dict(
    {
        "kind": "mel", "rate": 16000, "n_fft": 64, "hop": 16, "win": 64, "window": "hann", "center": False,
        "pad": "reflect", "power": 1, "n_mels": 10, "fmin": 0, "fmax": 8000, "mel_scale": "slaney",
        "mel_norm": "slaney", "log_base": "10", "floor": 1e-5, "floor_place": "clip", "scale": "none",
    }
)  # fmt: skip
CONF = {
    "speakers": ["S1", "S2", "V1", "V2"], "voices": ["V1", "V2"], "n_mels": 10, "speaker_dim": 3,
    "encoder": {"channels": 8, "embed_dim": 4, "n_embed": 6, "n_res": 1}, "classifier": {"channels": 4},
    "generator": {"channels": 16, "upsample_scales": [8, 8], "stacks": 1},
    "discriminator": {"scales": 1, "channels": 4, "max_downsample_channels": 8, "downsample_scales": [2, 2]},
}  # fmt: skip
VOICES = [2, 3, 2]


def model(**conf):
    torch.manual_seed(0)
    net = VQVAE(**{**CONF, **conf})
    net.contract = CONTRACT
    net.check_contract()
    for quantizer in net.encoder.quantizers.values():
        quantizer.ready.fill_(True)
    return net.train()


def batch(frames=32, speaker=(2, 3, 2)):
    g = torch.Generator().manual_seed(1)
    wav = 0.1 * torch.randn(len(speaker), (frames - 1) * 16 + 64, generator=g)
    return {"wav": wav, "speaker": torch.tensor(speaker)}


def gradients(net, turn, step=0):
    """Names of the parameters that a turn gives a gradient other than zero."""
    Owners(net).only(turn)
    net.zero_grad()
    for parameter in net.parameters():
        parameter.requires_grad_(True)
    cache = net.begin_batch(step, batch())
    Owners(net).only(turn)
    loss, stats, weight = net(turn=turn, step=step, cache=cache, **batch())
    loss.backward()
    assert weight == 3 and all(not value.requires_grad and value.dim() == 0 for value in stats.values())
    assert torch.isfinite(loss)
    return {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


CASES = [
    ({"trains": "vqvae"}, {"vqvae": ("encoder.", "decoder.", "speaker_table.")}),
    (
        {"trains": "vqvae", "adversary": "reversal", "ramp": {"max": 0.1, "every": 1, "size": 0.1}},
        {"vqvae": ("encoder.", "decoder.", "speaker_table.", "speaker_classifier.")},
    ),
    (
        {"trains": "vqvae", "adversary": "alternating"},
        {"speaker_classifier": ("speaker_classifier.",), "vqvae": ("encoder.", "decoder.", "speaker_table.")},
    ),
    (
        {"trains": "vocoder", "cycle": "both", "cycle_weight": 1.0, "mel_weight": 1.0},
        {"discriminator": ("discriminator.",), "generator": ("generator.", "voice_table.")},
    ),
    (
        {"trains": "vocoder_encoder", "cycle": "other", "cycle_weight": 1.0},
        {"discriminator": ("discriminator.",), "generator": ("generator.", "voice_table.", "encoder.")},
    ),
    (
        {"trains": "joint", "voices": CONF["speakers"], "adversary": "reversal"},
        {
            "discriminator": ("discriminator.",),
            "generator": (
                "generator.", "voice_table.", "encoder.", "decoder.", "speaker_table.", "speaker_classifier.",
            ),
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("conf", "turns"), CASES)
def test_each_turn_learns_what_it_owns_and_nothing_else(conf, turns):
    net = model(**conf)
    assert net.turns == tuple(turns)
    for turn, prefixes in turns.items():
        owned = {id(p) for p in net.turn_parameters(turn)}
        names = {name for name, p in net.named_parameters() if id(p) in owned}
        assert names == {name for name, _ in net.named_parameters() if name.startswith(prefixes)}
        assert owned == {id(p) for group in net.turn_groups(turn) for p in group["params"]}
        learning = gradients(net, turn, step=1)
        # biases before batch norm, and rows of the tables that the batch does not name, have none
        silent = {n for n in names - learning if n.endswith(".weight") and "table" not in n}
        assert learning <= names and not silent, silent
    loss, stats, _ = net.eval()(step=1, **batch())
    assert torch.isfinite(loss) and {f"loss_{turn}" for turn in turns} <= set(stats)


def test_the_encoder_learns_slower_beside_a_vocoder():
    groups = model(trains="vocoder_encoder", encoder_lr=0.1).turn_groups("generator")
    assert [group["lr_scale"] for group in groups] == [1.0, 1.0, 0.1]


@pytest.mark.parametrize("trains", ["vqvae", "vocoder", "joint"])
def test_a_step_lowers_the_loss(trains):
    net = model(trains=trains, mel_weight=1.0)
    turn = net.turns[-1]
    optimizer = torch.optim.Adam(net.turn_parameters(turn), 5e-3)
    values = []
    for _ in range(12):
        loss = net(turn=turn, step=0, **batch())[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert min(values[-3:]) < 0.9 * values[0]


def test_losses_are_the_published_ones():
    net = model(adversary="alternating", ramp={"max": 0.5, "every": 2, "size": 0.2}, commitment=0.25)
    net.eval()
    data = batch()
    cache = net.begin_batch(5, data)
    made = net.decoder(cache.codes.code, net.speaker_table(data["speaker"]))
    clue = F.cross_entropy(net.speaker_classifier(cache.codes.code), data["speaker"])
    rec = (made - cache.mel).abs().mean()
    loss, stats, _ = net(turn="vqvae", step=5, cache=cache, **data)
    assert loss.item() == pytest.approx((rec + 0.25 * cache.codes.commitment - 0.4 * clue).item(), rel=1e-5)
    assert stats["mel_l1"].item() == pytest.approx(rec.item() * np.log(10), rel=1e-5)
    net = model(trains="vocoder", mel_weight=2.0, fm_weight=3.0).eval()
    cache = net.begin_batch(0, data)
    with torch.no_grad():
        fake, real = net.discriminator(cache.fake), net.discriminator(cache.real)
        d = sum(F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True))
        fm = sum((a - b).abs().mean() for r, f in zip(real, fake, strict=True)
                 for a, b in zip(r[:-1], f[:-1], strict=True))  # fmt: skip
        mel = (net.logmel.whole(cache.fake[:, 0]) - cache.mel).abs().mean()
        g = sum(-f[-1].mean() for f in fake) + 3 * fm + 2 * mel
    assert net(turn="discriminator", cache=cache, **data)[0].item() == pytest.approx(d.item(), rel=1e-5)
    assert net(turn="generator", cache=cache, **data)[0].item() == pytest.approx(g.item(), rel=1e-4)
    net.start_steps = {"discriminator": 3}
    assert "fm" not in net(turn="generator", step=2, cache=cache, **data)[1]
    assert "fm" in net(turn="generator", step=3, cache=cache, **data)[1]


def test_ramp():
    ramp = AdversaryRamp()
    assert [ramp(s) for s in (0, 99_999, 100_000, 10**7, 10**9)] == pytest.approx([0, 0, 0.001, 0.1, 0.1])


def test_both_forms_of_the_adversary_push_the_encoder_the_same_way():
    pushed = []
    for form in ("none", "reversal", "alternating"):
        net = model(adversary=form, ramp={"max": 0.3, "every": 1, "size": 0.3})
        if form != "none":
            torch.manual_seed(5)
            for p in net.speaker_classifier.parameters():
                torch.nn.init.normal_(p, std=0.5)
        net.eval()
        net(turn="vqvae", step=1, **batch())[0].backward()
        pushed.append(net.encoder.quantize_conv_b.weight.grad.clone())
    away = [p - pushed[0] for p in pushed[1:]]
    assert away[0].abs().sum() > 0 and torch.allclose(*away, rtol=1e-3, atol=1e-6)
    x = torch.ones(3, requires_grad=True)
    (reverse_gradient(x, 0.5) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [-0.5, -1.0, -1.5]


def test_what_a_vocoder_builds_on_stays_as_it_is():
    net = model(trains="vocoder", cycle="both", cycle_weight=1.0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for turn in net.turns:
        net(turn=turn, **batch())[0].backward()
    assert not net.encoder.training and net.generator.training
    moved = {n for n, v in net.state_dict().items() if not torch.equal(v, before[n])}
    assert not moved
    net = model(trains="vocoder_encoder")
    before = net.encoder.quantize_b.codes.clone()
    net(turn="generator", **batch())
    assert not torch.equal(net.encoder.quantize_b.codes, before)  # codebooks go on


def test_an_untrained_vqvae_is_refused():
    net = model(trains="vocoder")
    net.encoder.quantize_b.ready.fill_(False)
    with pytest.raises(UserError, match="trained VQ-VAE.*pretrained_model"):
        net.begin_batch(0, batch())


def test_the_cycle_pulls_the_speech_and_leaves_the_encoder():
    net = model(trains="vocoder_encoder", cycle="both", cycle_weight=1.0)
    cache = net.begin_batch(0, batch())
    assert len(cache.fake) == 6  # the own voice, and another one
    error = net.cycle_error(cache, net.logmel.whole(cache.fake[:3, 0]))
    net.zero_grad()
    error.backward()
    assert net.generator.melgan["1"].weight_v.grad.abs().sum() > 0
    assert error > 0 and net.encoder.training and all(p.requires_grad for p in net.encoder.parameters())
    with held(net.encoder):
        assert not net.encoder.training and not any(p.requires_grad for p in net.encoder.parameters())


@pytest.mark.parametrize("frames", [1, 7, 8, 61])
def test_any_length_is_converted_whole(frames):
    net = model(trains="vocoder").eval()
    feats = np.random.default_rng(0).normal(-2, 1, (frames, 10)).astype(np.float32)
    made = net.convert({"feats": feats, "speaker": None}, ConversionTarget(speaker="V2"))
    assert made["feats"].shape == feats.shape and made["wav"].shape == (frames * 16,)
    assert np.isfinite(made["wav"]).all() and np.abs(made["wav"]).max() <= 1
    other = net.convert({"feats": feats}, ConversionTarget(speaker="V1"))
    assert not np.allclose(made["wav"], other["wav"])
    half = net.convert({"feats": feats}, ConversionTarget(speaker="V2", intensity=0.5))
    assert np.allclose(half["feats"], (feats + made["feats"]) / 2, atol=1e-5) and "wav" not in half
    codes = net.encode(feats)
    assert codes.bottom.shape[1] == 2 * codes.top.shape[1] == 2 * max(2, -(-frames // 8))


def test_panels_and_teacher_forced_spectrograms():
    net = model(trains="vocoder").eval()
    feats = np.random.default_rng(0).normal(-2, 1, (30, 10)).astype(np.float32)
    shown = net.panels({"feats": feats, "speaker": "S1"}, ConversionTarget(speaker="V2"))
    assert list(shown) == ["converted", "spoken", "reconstruction"]
    assert all(x.shape == feats.shape for x in shown.values())
    assert np.array_equal(shown["reconstruction"], net.teacher_forced({"feats": feats, "speaker": "S1"}))
    assert not np.allclose(shown["converted"], shown["reconstruction"])
    assert list(net.panels({"feats": feats, "speaker": None}, ConversionTarget(speaker="V2"))) == [
        "converted",
        "spoken",
    ]


def test_pieces_equal_the_whole():
    net = model(trains="vocoder").eval()
    with torch.inference_mode():
        x = torch.randn(1, net.encoder.dim + 3, 50)
        assert torch.allclose(in_pieces(net.generator, x, piece=7), net.generator(x), atol=1e-5)


def test_voices_and_settings_that_do_not_exist_are_named():
    net = model(trains="vocoder").eval()
    assert net.speakers == ("V1", "V2") and model().speakers == tuple(CONF["speakers"])
    feats = np.zeros((8, 10), np.float32)
    with pytest.raises(UserError, match="'V3'.*V1, V2.*target_speaker"):
        net.convert({"feats": feats}, ConversionTarget(speaker="V3"))
    with pytest.raises(UserError, match="no target voice"):
        net.convert({"feats": feats}, ConversionTarget())
    for conf, said in (
        ({"trains": "melgan"}, "trains is 'melgan'"),
        ({"adversary": "reverse"}, "reversal"),
        ({"cycle": "all"}, "cycle"),
        ({"voices": ["V9"]}, "V9"),
    ):
        with pytest.raises(UserError, match=said):
            VQVAE(**{**CONF, **conf})
    net = VQVAE(**{**CONF, "trains": "vocoder", "generator": {"channels": 16, "upsample_scales": [8, 4]}})
    net.contract = CONTRACT
    with pytest.raises(UserError, match="32 samples a code.*64"):
        net.check_contract()
    net.contract = FeatureContract.from_dict({**CONTRACT.to_dict(), "n_mels": 12})
    with pytest.raises(UserError, match="10 bands"):
        net.check_contract()


def test_speakers_of_a_training():
    conf = {"speakers": CONF["speakers"], "voices": CONF["voices"]}
    assert VQVAE.numbers({**conf, "trains": "vocoder"}) == {"V1": 2, "V2": 3}
    assert VQVAE.numbers(conf) == {"S1": 0, "S2": 1, "V1": 2, "V2": 3}


def test_published_sizes_as_show_model_lists_them(capsys):
    conf = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/tuning/train_vqvae_melgan_repo.yaml"
    show_model(["--config", str(conf)])
    sizes = {line.split()[0]: int(line.split()[1].replace(",", "")) for line in capsys.readouterr().out.splitlines()}
    assert sizes["generator"] == 17_196_610 and sizes["discriminator"] == 16_924_086
    assert sizes["encoder"] + sizes["decoder"] + sizes["speaker_table"] == 18_226_704
    assert sizes["voice_table"] == 2 * 32
