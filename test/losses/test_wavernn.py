"""Sample codes and likelihoods of WaveRNN against direct computations in numpy."""

import math

import numpy as np
import pytest
import torch

from evc2.losses import wavernn as losses


def logistic_levels(parameters, levels):
    """Probabilities [levels] of the mixture, float64, from the definition: differences of the sigmoid."""
    weights, means, log_scales = np.split(np.asarray(parameters, dtype=np.float64), 3)
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    edges = np.linspace(-1, 1, levels)[:-1] + 1 / (levels - 1)
    argument = (edges[:, None] - means) / np.exp(log_scales)
    below = 0.5 * (1 + np.tanh(argument / 2))
    below = np.concatenate([np.zeros((1, len(means))), below, np.ones((1, len(means)))])
    return np.diff(below, axis=0) @ weights


@pytest.mark.parametrize("bits", [8, 9, 10])
def test_mu_law_labels(bits):
    top = 2**bits - 1
    x = np.linspace(-1, 1, 20001)
    compressed = np.sign(x) * np.log(1 + top * np.abs(x)) / np.log(1 + top)
    direct = np.floor((compressed + 1) / 2 * top + 0.5)
    found = losses.encode_mu_law(torch.from_numpy(x), bits)
    assert found.dtype == torch.int64
    assert np.array_equal(found.numpy(), direct)
    assert found[0] == 0 and found[-1] == top
    labels = torch.arange(top + 1)
    assert torch.equal(losses.encode_mu_law(losses.decode_mu_law(labels, bits), bits), labels)
    assert torch.equal(losses.encode_mu_law(torch.tensor([-3.0, 3.0]), bits), torch.tensor([0, top]))


def test_mu_law_round_trip_error():
    x = torch.linspace(-1, 1, 20001, dtype=torch.float64)
    error = (losses.decode_mu_law(losses.encode_mu_law(x, 9), 9) - x).abs()
    # Half a step of 2 / 511, through the slope ln(512) (1 + 511 |x|) / 511 of the expansion.
    bound = math.log(512) / 511 * (1 / 511 + x.abs())
    assert (error <= 1.01 * bound).all()
    assert error[x.abs() < 0.001].max() < 4e-5


def test_floats_of_labels():
    assert losses.label_to_float(torch.tensor([0, 511]), 9).tolist() == [-1, 1]
    labels = torch.arange(65536)
    assert torch.equal(losses.float_to_label(losses.label_to_float(labels, 16), 16), labels)


def test_teacher_forcing_lags_by_one_sample():
    wav = torch.rand(2, 9) * 2 - 1
    given, target = losses.teacher_forcing(wav, "raw", 9)
    assert given.shape == target.shape == (2, 8)
    assert torch.equal(target, losses.encode_mu_law(wav[:, 1:], 9))
    assert torch.equal(given[:, 1:], losses.label_to_float(target[:, :-1], 9))
    given, target = losses.teacher_forcing(wav, "mol")
    assert (target - wav[:, 1:]).abs().max() <= 0.5001 * 2 / 65535
    assert torch.equal(given[:, 1:], target[:, :-1])


def test_class_loss_in_nats():
    labels = torch.randint(0, 512, (2, 5))
    assert losses.wavernn_loss(torch.zeros(2, 5, 512), labels, "raw").item() == pytest.approx(math.log(512))
    sure = torch.full((2, 5, 512), -100.0).scatter(2, labels.unsqueeze(2), 100.0)
    assert losses.wavernn_loss(sure, labels, "raw").item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scale", [-1.0, -4.0, -7.0])
def test_mixture_is_the_definition_and_sums_to_one(scale):
    generator = np.random.default_rng(3)
    levels, k = 256, 10
    parameters = np.concatenate(
        [generator.normal(size=k), generator.uniform(-1.1, 1.1, k), scale + 0.3 * generator.normal(size=k)]
    )
    target = torch.linspace(-1, 1, levels).unsqueeze(0)
    given = torch.from_numpy(parameters).float().expand(1, levels, 3 * k)
    found = losses.mixture_log_prob(given, target, levels)[0].double().exp().numpy()
    assert found == pytest.approx(logistic_levels(parameters, levels), rel=2e-3, abs=1e-9)
    assert found.sum() == pytest.approx(1, abs=1e-4)
    mean = losses.mixture_loss(given, target, levels).item()
    assert mean == pytest.approx(-np.log(np.maximum(found, 1e-300)).mean(), rel=1e-3)


def test_all_sixteen_bit_levels_sum_to_one():
    parameters = torch.cat([torch.zeros(10), torch.linspace(-1, 1, 10), torch.linspace(-12, 0, 10)])
    target = losses.label_to_float(torch.arange(65536), 16).unsqueeze(0)
    total = losses.mixture_log_prob(parameters.expand(1, 65536, 30), target).double().exp().sum().item()
    assert total == pytest.approx(1, abs=2e-3)  # float32 positions, scales down to a fifth of a level


def test_mixture_gradients_stay_finite():
    extreme = torch.tensor([[0.0, 90.0, -5.0, 5.0, -60.0, 9.0], [50.0, -50.0, 0.0, 0.3, 12.0, -9.0]])
    parameters = extreme.unsqueeze(0).requires_grad_()
    losses.mixture_loss(parameters, torch.tensor([[-1.0, 0.3]])).backward()
    assert torch.isfinite(parameters.grad).all()


def test_labels_are_drawn_by_inversion():
    probabilities = torch.tensor([[0.1, 0.2, 0.0, 0.7]])
    u = torch.tensor([0.0, 0.0999, 0.1001, 0.2999, 0.3001, 0.9999])
    drawn = losses.draw_label(probabilities.log().expand(len(u), 4), u.unsqueeze(1))
    assert drawn[:, 0].tolist() == [0, 0, 1, 1, 3, 3]


def test_mixture_draws_have_its_distribution():
    parameters = torch.tensor([math.log(0.25), math.log(0.75), -0.5, 0.4, -4.0, -3.0])
    n = 100
    one, two = torch.meshgrid(*[(torch.arange(n) + 0.5) / n] * 2, indexing="ij")
    u = torch.stack([one.flatten(), two.flatten()], dim=1)
    drawn = losses.draw_mixture(parameters.expand(n * n, 6), u)
    first = drawn < 0
    assert first.float().mean().item() == pytest.approx(0.25)
    assert drawn[first].median().item() == pytest.approx(-0.5, abs=1e-3)
    # A logistic's standard deviation is its scale times pi / sqrt(3); the grid cuts the far tails.
    assert drawn[~first].std().item() == pytest.approx(math.exp(-3) * math.pi / math.sqrt(3), rel=0.05)
    assert losses.draw_mixture(parameters.expand(n * n, 6), u, 0.1)[~first].std().item() < 0.012
