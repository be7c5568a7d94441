"""DeepSpeaker: the published architecture, and weights in the layout of Keras against a plain computation in numpy."""

import builtins

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from evc2.errors import UserError
from evc2.nets import deepspeaker

FILTERS, SIZE = (3, 4), 5  # two small stages: 64 bands become 16


def chirps(seconds):
    """Harmonics on a wavering pitch: [n] at 16 kHz."""
    t = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * (130 * t + 8 * np.sin(2 * np.pi * 2.5 * t))
    return 0.05 * sum(np.cos(k * phase) / k for k in range(1, 25)) * (1.2 + np.sin(2 * np.pi * 4 * t))


def keras_weights(filters=FILTERS, size=SIZE, seed=0):
    """Random weights under the names and in the shapes of the published file, written down here once more."""
    rng = np.random.default_rng(seed)
    found = {}

    def unit(name, inputs, outputs, kernel):
        scale = 1.5 / np.sqrt(kernel * kernel * inputs)
        found[f"{name}/kernel"] = scale * rng.standard_normal((kernel, kernel, inputs, outputs))
        found[f"{name}/bias"] = 0.1 * rng.standard_normal(outputs)
        found[f"{name}_bn/gamma"] = rng.uniform(0.5, 1.5, outputs)
        found[f"{name}_bn/beta"] = 0.2 * rng.standard_normal(outputs)
        found[f"{name}_bn/moving_mean"] = 0.2 * rng.standard_normal(outputs)
        found[f"{name}_bn/moving_variance"] = rng.uniform(0.0005, 2.0, outputs)  # small: epsilon counts

    inputs = 1
    for number, outputs in enumerate(filters, 1):
        unit(f"conv{outputs}-s", inputs, outputs, 5)
        for block in range(3):
            for half in "ab":
                unit(f"res{number}_{block}_branch_2{half}", outputs, outputs, 3)
        inputs = outputs
    flat = inputs * 64 // 2 ** len(filters)
    found["affine/kernel"] = rng.standard_normal((flat, size)) / np.sqrt(flat)
    found["affine/bias"] = rng.standard_normal(size)
    return {name: value.astype(np.float32) for name, value in found.items()}


def write_h5(path, weights, nested=True, below=""):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        root = file.create_group(below) if below else file
        for name in ("input", "clipped_relu_0", "average", "ln"):  # layers without weights are empty groups
            root.create_group(name)
        for name, value in weights.items():
            layer, weight = name.split("/")
            root[f"{layer}/{layer}/{weight}:0" if nested else f"{layer}/{weight}:0"] = value
        if below:
            file["optimizer_weights/Adam/iterations:0"] = np.int64(3)
    return path


def plain_unit(x, weights, name, stride):
    """Keras's Conv2D "same" + BatchNormalization + clipped ReLU: x [T, F, C] -> [T', F', C']."""
    kernel = weights[f"{name}/kernel"].astype(np.float64)
    k, outputs = kernel.shape[0], kernel.shape[3]
    pads = []
    for size in x.shape[:2]:
        out = int(np.ceil(size / stride))
        total = max((out - 1) * stride + k - size, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, (*pads, (0, 0)))
    maps = [correlate(padded, kernel[..., o], mode="valid")[::stride, ::stride, 0] for o in range(outputs)]
    y = np.stack(maps, axis=-1) + weights[f"{name}/bias"]
    deviation = np.sqrt(weights[f"{name}_bn/moving_variance"].astype(np.float64) + 1e-3)
    y = (y - weights[f"{name}_bn/moving_mean"]) / deviation * weights[f"{name}_bn/gamma"] + weights[f"{name}_bn/beta"]
    return np.minimum(np.maximum(y, 0), 20)


def plain_network(frames, weights, filters=FILTERS):
    x = frames[:, :, None].astype(np.float64)
    for number, outputs in enumerate(filters, 1):
        x = plain_unit(x, weights, f"conv{outputs}-s", 2)
        for block in range(3):
            y = plain_unit(x, weights, f"res{number}_{block}_branch_2a", 1)
            y = plain_unit(y, weights, f"res{number}_{block}_branch_2b", 1)
            x = np.minimum(x + y, 20)
    mean = x.reshape(len(x), -1).mean(axis=0)
    y = mean @ weights["affine/kernel"] + weights["affine/bias"]
    return y / np.linalg.norm(y)


def test_parameters_of_the_published_network():
    net = deepspeaker.DeepSpeaker()
    # Keras counts the moving statistics too: kernels, biases and 4 numbers a channel of 28 normalisations; the affine.
    units = [(5, i, o) for i, o in ((1, 64), (64, 128), (128, 256), (256, 512))]
    units += [(3, c, c) for c in (64, 128, 256, 512) for _ in range(6)]
    expected = sum(k * k * i * o + 5 * o for k, i, o in units) + 2048 * 512 + 512
    statistics = sum(2 * o for _, _, o in units)
    assert expected == 24_185_728
    assert sum(p.numel() for p in net.parameters()) == expected - statistics == 24_172_288
    layers = dict(net.keras_layers())
    assert len(layers) == 57 and layers["conv512-s"].weight.shape == (512, 256, 5, 5)
    assert {"conv64-s_bn", "res1_0_branch_2a", "res4_2_branch_2b_bn", "affine"} <= set(layers)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(160, 5, 2, (1, 2)), (10, 5, 2, (1, 2)), (5, 5, 2, (2, 2)), (7, 3, 1, (1, 1)), (1, 5, 2, (2, 2))],
)
def test_same_padding(size, kernel, stride, expected):
    assert deepspeaker.same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("frames", [160, 37])
def test_equals_a_plain_computation(tmp_path, frames):
    weights = keras_weights()
    net = deepspeaker.load_keras(write_h5(tmp_path / "w.h5", weights), FILTERS, SIZE)
    x = np.random.default_rng(1).standard_normal((frames, 64)).astype(np.float32)
    found = net(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(found, plain_network(x, weights), atol=2e-6)


def test_stride_starts_where_keras_starts(tmp_path):
    # A kernel that passes its middle value on: with one zero before, output t shows input 2 t + 1, not 2 t.
    unit = deepspeaker.ConvUnit(1, 1, 5, 2).eval()
    with torch.no_grad():
        unit.conv.weight.zero_()[0, 0, 2, 2] = np.sqrt(1 + 1e-3)
        unit.conv.bias.zero_()
        x = torch.arange(16.0).reshape(1, 1, 4, 4)
        torch.testing.assert_close(unit(x)[0, 0], torch.tensor([[5.0, 7.0], [13.0, 15.0]]))
        assert unit(10 * x).max() == 20


@pytest.mark.parametrize(("nested", "below"), [(True, ""), (False, ""), (True, "model_weights")])
def test_layouts_of_the_file(tmp_path, nested, below):
    weights = keras_weights()
    net = deepspeaker.load_keras(write_h5(tmp_path / "w.h5", weights, nested, below), FILTERS, SIZE)
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    layers = dict(net.keras_layers())
    np.testing.assert_array_equal(layers["affine"].weight.numpy(), weights["affine/kernel"].T)
    np.testing.assert_array_equal(layers["conv4-s"].weight[3, 2].numpy(), weights["conv4-s/kernel"][:, :, 2, 3])
    np.testing.assert_array_equal(
        layers["res2_1_branch_2b_bn"].running_var.numpy(), weights["res2_1_branch_2b_bn/moving_variance"]
    )


def test_a_file_of_something_else(tmp_path):
    def error(weights):
        with pytest.raises(UserError) as found:
            deepspeaker.load_keras(write_h5(tmp_path / "w.h5", weights), FILTERS, SIZE)
        return str(found.value)

    good = keras_weights()
    text = error({name: value for name, value in good.items() if name != "conv4-s/bias"} | {"dense/kernel": np.ones(2)})
    assert "w.h5" in text and "lacks conv4-s/bias" in text and "besides dense/kernel" in text
    assert "affine/kernel: expected floats of shape (64, 5), found float32 of (5, 64)" in error(
        {**good, "affine/kernel": good["affine/kernel"].T}
    )
    assert "expected floats" in error({**good, "affine/bias": np.ones(SIZE, dtype=np.int32)})
    assert "NaN" in error({**good, "affine/bias": np.full(SIZE, np.nan)})
    with pytest.raises(UserError, match="found none"):
        deepspeaker.load_keras(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "w.h5").read_bytes()[:3000])
    for name in ("text.h5", "cut.h5"):
        with pytest.raises(UserError, match=f"{name}.*(damaged|other weights)"):
            deepspeaker.load_keras(tmp_path / name, FILTERS, SIZE)


def test_without_h5py_a_line_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install h5py"):
        deepspeaker.load_keras("w.h5")


def test_windows_cover_all_frames_and_short_ones_are_repeated():
    frames = np.arange(500.0)[:, None]
    assert deepspeaker.windows(frames)[:, 0, 0].tolist() == [0, 80, 160, 240, 320, 340]
    assert deepspeaker.windows(frames[:160]).shape == (1, 160, 1)
    assert deepspeaker.windows(frames[:161])[:, 0, 0].tolist() == [0, 1]
    short = deepspeaker.windows(frames[:70])
    assert short.shape == (1, 160, 1)
    assert short[0, [69, 70, 139, 140, 159], 0].tolist() == [69, 0, 69, 0, 19]


def test_an_embedding_is_the_mean_of_the_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(deepspeaker, "_CHUNK", 2)
    weights = keras_weights()
    net = deepspeaker.load_keras(write_h5(tmp_path / "w.h5", weights), FILTERS, SIZE)
    pieces = deepspeaker.windows(deepspeaker.deepspeaker_input(chirps(4.5)))
    assert len(pieces) > 4
    mean = np.mean([plain_network(piece, weights) for piece in pieces], axis=0)
    found = net.embed(chirps(4.5))
    assert found.dtype == np.float32 and np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_array_equal(found, net.embed(chirps(4.5)))
    assert net.embed(chirps(0.3)).shape == (SIZE,)
    with pytest.raises(ValueError, match="silent"):
        net.embed(np.zeros(16000))
