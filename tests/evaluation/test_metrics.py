"""Oracles: scikit-learn to 1e-9, and closed forms."""

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.evaluation import metrics
from support import random_case


def test_absent_and_never_predicted_classes_match_scikit_learn_over_the_present_ones():
    # Class 1 has no row but is predicted once, class 3 is never predicted, class 4 is neither.
    labels = np.array([0, 0, 2, 2, 3])
    predictions = np.array([0, 1, 2, 0, 2])
    confusion = metrics.confusion_matrix(labels, predictions, 5)
    assert metrics.precision(confusion).tolist() == [0.5, 0, 0.5, 0, 0]
    np.testing.assert_array_equal(metrics.recall(confusion), [0.5, np.nan, 0.5, 0, np.nan])
    np.testing.assert_array_equal(metrics.f1(confusion), [0.5, np.nan, 0.5, 0, np.nan])
    rows = metrics.support(confusion)
    for function, oracle in ((metrics.precision, sk.precision_score), (metrics.f1, sk.f1_score)):
        for name, average in (("macro", metrics.macro_average), ("weighted", metrics.weighted_average)):
            expected = oracle(labels, predictions, labels=[0, 2, 3], average=name, zero_division=0)
            assert average(function(confusion), rows) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("decimals", [None, 0, 1])
def test_roc_auc_matches_scikit_learn_with_and_without_ties(decimals):
    labels, probabilities = random_case(7, classes=5, decimals=decimals)
    expected = [sk.roc_auc_score(labels == c, probabilities[:, c]) for c in range(5)]
    np.testing.assert_allclose(metrics.roc_auc(labels, probabilities), expected, rtol=1e-9)


def test_roc_auc_of_a_class_alone_or_absent_is_undefined():
    assert np.isnan(metrics.roc_auc(np.array([1, 1]), np.full((2, 2), 0.5))).all()


def test_log_loss_is_clipped_and_rescaled():
    certain = np.array([[0.0, 1.0]])
    assert metrics.log_loss(np.array([0]), certain) == pytest.approx(15 * np.log(10), abs=1e-9)
    right = metrics.log_loss(np.array([1]), certain)
    assert right == 0
    assert str(right) == "0.0"
    # A row that sums to 0.9995, as float16 may leave it, counts as if it summed to 1.
    assert metrics.log_loss(np.array([0]), np.array([[0.4, 0.6]]) * 0.9995) == pytest.approx(-np.log(0.4), abs=1e-9)


def test_calibration_error_matches_a_loop_over_bins():
    labels, probabilities = random_case(13, classes=5)
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for number in range(1, 16):
        inside = (confidence > (number - 1) / 15) & (confidence <= number / 15)
        if inside.any():
            expected += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_closed_forms():
    # Of ten answers given with 0.7, seven are right.
    probabilities = np.tile([0.7, 0.3], (10, 1))
    labels = np.array([0] * 7 + [1] * 3)
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(0, abs=1e-9)
    assert metrics.calibration_error(1 - labels, probabilities) == pytest.approx(0.4, abs=1e-9)
    # 0.8 is the upper edge of its bin (Guo et al. 2017), so 0.8 and 0.8001 lie in two: |1 - .8| / 2 + .8001 / 2.
    edge = np.array([[0.8, 0.2], [0.8001, 0.1999]])
    assert metrics.calibration_error(np.array([0, 1]), edge) == pytest.approx((0.2 + 0.8001) / 2, abs=1e-9)
