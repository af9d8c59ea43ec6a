"""Oracles: counts by hand, scikit-learn's confusion matrix, scipy's Wilson interval, sorting by a loop."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from mien.evaluation.error_analysis import confused_pairs, worst_mistakes
from support import random_case


def test_pairs_by_hand():
    confusion = np.array([[5, 2, 0], [3, 4, 2], [0, 1, 0]])
    pairs = confused_pairs(*np.repeat(np.argwhere(confusion >= 0), confusion.ravel(), axis=0).T)
    assert [(pair.first, pair.second, pair.count, pair.support) for pair in pairs] == [
        (1, 0, 3, 9), (0, 1, 2, 7), (1, 2, 2, 9), (2, 1, 1, 1),
    ]  # fmt: skip
    assert pairs[0].rate.value == pytest.approx(3 / 9)
    assert confused_pairs(np.array([0, 2]), np.array([0, 2])) == ()


@pytest.mark.parametrize("classes", [2, 6])
def test_pairs_are_the_cells_off_the_diagonal(classes):
    labels, probabilities = random_case(0, classes=classes)
    confusion = sk.confusion_matrix(labels, probabilities.argmax(axis=1))
    pairs = confused_pairs(labels, probabilities.argmax(axis=1))
    assert sum(pair.count for pair in pairs) == (probabilities.argmax(axis=1) != labels).sum()
    for pair in pairs:
        assert pair.count == confusion[pair.first, pair.second]
        interval = stats.binomtest(pair.count, pair.support).proportion_ci(method="wilson")
        assert (pair.rate.low, pair.rate.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_worst_mistakes_are_the_most_confident_wrong_rows():
    labels, probabilities = random_case(1)
    mistakes = [(-probabilities[row].max(), row) for row in range(300) if probabilities[row].argmax() != labels[row]]
    expected = [row for _, row in sorted(mistakes)]
    assert worst_mistakes(labels, probabilities, 10).tolist() == expected[:10]
    assert worst_mistakes(labels, probabilities, 10_000).tolist() == expected
    # Of equal confidence, the one whose true class got less, then the earlier.
    ties = np.array([[0.25, 0.5, 0.25], [0.4, 0.5, 0.1], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4]])
    assert worst_mistakes(np.zeros(4, dtype=np.int64), ties).tolist() == [2, 3, 0, 1]
    assert worst_mistakes(np.array([1]), ties[:1]).tolist() == []
