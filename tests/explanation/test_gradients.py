import numpy as np
import pytest

from mien.explanation.gradient.gradients import gradient


def test_the_gradient_of_a_linear_network_is_its_closed_form(linear, squares):
    """Of p = softmax((W x + b) / T): dp_c / dx = p_c (W_c - sum_k p_k W_k) / T."""
    targets = np.array([0, 1, 2, 0, 1])
    weights, p = linear.network.head.weight.detach().numpy(), linear.predict(squares)
    slopes = p[np.arange(5), targets, None] * (weights[targets] - p @ weights) / linear.temperature
    maps = gradient(linear, squares, targets)
    assert maps[:, 2:14, 2:14] == pytest.approx(np.abs(slopes).reshape(-1, 12, 12), rel=1e-4, abs=1e-9)
