import pytest
import torch

from evc2.errors import UserError
from evc2.nets import hifigan, melgan


@pytest.mark.parametrize("version, millions", [("v1", 13.92), ("v2", 0.92), ("v3", 1.46)])
def test_published_sizes(version, millions):
    """Table 4 of arXiv 2010.05646 counts the parameters without those of the weight norm (rounded down)."""
    net = hifigan.build_generator({"version": version})
    net.remove_weight_norm()
    assert int(sum(p.numel() for p in net.parameters()) / 1e4) / 100 == millions
    assert net.hop == 256


def test_published_melgan():
    net = melgan.build_generator({})
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(4.27, abs=0.01) and net.hop == 256


@pytest.mark.parametrize(
    "module, conf",
    [
        (hifigan, {"channels": 64, "upsample_scales": [5, 4], "upsample_kernel_sizes": [10, 8]}),
        (melgan, {"channels": 64, "upsample_scales": [5, 4]}),
        (melgan, {"channels": 64, "upsample_scales": [5, 2], "out_channels": 2, "pqmf": {"taps": 30}}),
    ],
)
def test_samples_a_frame(module, conf):
    net = module.build_generator(conf)
    assert net.hop == 20 and net(torch.randn(2, 80, 9)).shape == (2, 1, 180)


@pytest.mark.parametrize(
    "module, conf, message",
    [
        (hifigan, {"version": "v4"}, "no HiFi-GAN version 'v4'.*v1, v2, v3"),
        (hifigan, {"chanels": 4}, "'chanels'.*channels"),
        (hifigan, {"upsample_kernel_sizes": [16, 16, 4, 5]}, "twice its upsample_scale"),
        (hifigan, {"resblock_kernel_sizes": [3, 7]}, "same length"),
        (hifigan, {"resblock_kernel_sizes": [3, 7, 10]}, "must be odd"),
        (hifigan, {"channels": 24}, "multiple of 16"),
        (melgan, {"stack": 4}, "'stack'.*stacks"),
        (melgan, {"channels": 24}, "multiple of 16"),
        (melgan, {"kernel_size": 6}, "odd number"),
        (melgan, {"pqmf": {"taps": 62}}, "out_channels"),
        (melgan, {"out_channels": 4, "pqmf": {"tap": 62}}, "'tap'.*taps"),
    ],
)
def test_settings_that_cannot_be(module, conf, message):
    with pytest.raises(UserError, match=message):
        module.build_generator(conf)
