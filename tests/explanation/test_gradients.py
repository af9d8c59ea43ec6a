from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.base.preprocess import to_input
from mien.explanation.gradient.gradients import blank_faces, gradient, integrated_gradients, smoothgrad

INSIDE = np.s_[:, 2:14, 2:14]


def closed_form(model, images, targets):
    """Of p = softmax((W x + b) / T): dp_c / dx = p_c (W_c - sum_k p_k W_k) / T. (N, 12, 12)."""
    weights = model.network.head.weight.detach().numpy()
    p = model.predict(images)
    rows = np.arange(len(images))
    return (p[rows, targets, None] * (weights[targets] - p @ weights) / model.temperature).reshape(-1, 12, 12)


def test_the_gradient_of_a_linear_network_is_its_closed_form(linear, squares):
    for targets in (None, np.array([0, 1, 2, 0, 1])):
        maps = gradient(linear, squares, targets)
        chosen = linear.predict(squares).argmax(axis=1) if targets is None else targets
        assert maps[INSIDE] == pytest.approx(np.abs(closed_form(linear, squares, chosen)), rel=1e-4, abs=1e-9)


def test_smoothgrad_without_noise_is_the_gradient_and_averages_signed_gradients(linear, squares):
    """Oracle for the noise: the closed form, averaged over the same draws."""
    assert smoothgrad(linear, squares, samples=2, noise=0.0) == pytest.approx(gradient(linear, squares), rel=1e-4)
    maps = smoothgrad(linear, squares[:1], np.array([1]), samples=400, noise=0.1, seed=3)
    inputs = to_input(squares[:1], linear.spec)
    noise = np.random.default_rng(0).normal(0, 0.1 * np.ptp(inputs), (4000, 144))
    weights, bias = (each.detach().numpy() for each in linear.network.head.parameters())
    logits = ((inputs.reshape(1, -1) + noise) @ weights.T + bias) / 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.abs((p[:, 1, None] * (weights[1] - p @ weights)).mean(axis=0) / 2)
    assert np.corrcoef(maps[INSIDE].ravel(), expected)[0, 1] > 0.99
    assert maps[INSIDE].sum() == pytest.approx(expected.sum(), rel=0.1)


def test_smoothgrad_goes_by_its_seed_and_leaves_torchs_alone(tiny_model, faces):
    images = np.asarray(faces.images[:3])
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = smoothgrad(tiny_model, images, samples=4, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(first, smoothgrad(tiny_model, images, samples=4, seed=1))
    assert not np.array_equal(first, smoothgrad(tiny_model, images, samples=4, seed=2))
    assert np.array_equal(first[2:], smoothgrad(tiny_model, images[2:], samples=4, seed=1)), "neighbours do not matter"


def test_integrated_gradients_are_complete(tiny_model, faces):
    """They sum to the probability of the face minus that of its blank face (Sundararajan et al., proposition 1)."""
    images = np.asarray(faces.images[:10])
    targets = np.arange(10) % 7
    inputs = torch.from_numpy(to_input(images, tiny_model.spec))
    sure = replace(tiny_model, temperature=0.05)
    with torch.no_grad():
        gain = sure.probabilities(inputs) - sure.probabilities(blank_faces(inputs))
    expected = gain.numpy()[np.arange(10), targets]
    assert np.abs(expected).max() > 0.02
    maps = integrated_gradients(sure, images, targets, steps=64)
    assert maps.sum(axis=(1, 2)) == pytest.approx(expected, abs=0.02 * np.abs(expected).max())


def test_a_blank_face_is_its_own_mean_grey():
    """Oracle: numpy's mean of each face."""
    inputs = np.random.default_rng(4).normal(np.reshape([-1.0, 0.5, 2.0], (3, 1, 1, 1)), 1.0, (3, 1, 12, 12))
    blank = blank_faces(torch.from_numpy(inputs)).numpy()
    assert blank.shape == inputs.shape
    for face, wiped in zip(inputs, blank, strict=True):
        assert wiped == pytest.approx(np.full((1, 12, 12), face.mean()), abs=1e-12)


def test_integrated_gradients_know_for_from_against(linear, squares):
    maps = integrated_gradients(linear, squares)[INSIDE]
    assert maps.min() < 0 < maps.max()
