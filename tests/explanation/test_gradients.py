import numpy as np
import pytest

from mien.explanation.gradient.gradients import gradient

INSIDE = np.s_[:, 2:14, 2:14]


def closed_form(model, images, targets):
    """Of p = softmax((W x + b) / T): dp_c / dx = p_c (W_c - sum_k p_k W_k) / T. (N, 12, 12)."""
    weights = model.network.head.weight.detach().numpy()
    p = model.predict(images)
    rows = np.arange(len(images))
    return (p[rows, targets, None] * (weights[targets] - p @ weights) / model.temperature).reshape(-1, 12, 12)


def test_the_gradient_of_a_linear_network_is_its_closed_form(linear, squares):
    targets = np.array([0, 1, 2, 0, 1])
    maps = gradient(linear, squares, targets)
    assert maps[INSIDE] == pytest.approx(np.abs(closed_form(linear, squares, targets)), rel=1e-4, abs=1e-9)
