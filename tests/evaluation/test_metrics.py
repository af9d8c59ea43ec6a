"""Oracles: scikit-learn to 1e-9, and closed forms."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from mien.evaluation import curves, metrics
from mien.evaluation.error_analysis import confused_pairs, worst_mistakes
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from support import random_case


@pytest.mark.parametrize("decimals", [None, 0, 1])
def test_roc_auc_matches_scikit_learn_with_and_without_ties(decimals):
    labels, probabilities = random_case(7, classes=5, decimals=decimals)
    expected = [sk.roc_auc_score(labels == c, probabilities[:, c]) for c in range(5)]
    np.testing.assert_allclose(metrics.roc_auc(labels, probabilities), expected, rtol=1e-9)


def test_log_loss_is_clipped_and_absent_classes_match_scikit_learn():
    certain = np.array([[0.0, 1.0]])
    assert metrics.log_loss(np.array([0]), certain) == pytest.approx(15 * np.log(10), abs=1e-9)
    right = metrics.log_loss(np.array([1]), certain)
    assert (right, str(right)) == (0, "0.0")
    # A row that sums to 0.9995, as float16 may leave it, counts as if it summed to 1.
    assert metrics.log_loss(np.array([0]), np.array([[0.4, 0.6]]) * 0.9995) == pytest.approx(-np.log(0.4), abs=1e-9)
    labels, predictions = np.array([0, 0, 2, 2, 3]), np.array([0, 1, 2, 0, 2])
    confusion = metrics.confusion_matrix(labels, predictions, 5)
    assert metrics.precision(confusion).tolist() == [0.5, 0, 0.5, 0, 0]
    np.testing.assert_array_equal(metrics.recall(confusion), [0.5, np.nan, 0.5, 0, np.nan])
    np.testing.assert_array_equal(metrics.f1(confusion), [0.5, np.nan, 0.5, 0, np.nan])
    rows = confusion.sum(axis=-1)
    for function, oracle in ((metrics.precision, sk.precision_score), (metrics.f1, sk.f1_score)):
        for name, average in (("macro", metrics.macro_average), ("weighted", metrics.weighted_average)):
            expected = oracle(labels, predictions, labels=[0, 2, 3], average=name, zero_division=0)
            assert average(function(confusion), rows) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_equals_closed_forms_and_a_loop_over_bins():
    probabilities, labels = np.tile([0.7, 0.3], (10, 1)), np.array([0] * 7 + [1] * 3)
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(0, abs=1e-9)
    assert metrics.calibration_error(1 - labels, probabilities) == pytest.approx(0.4, abs=1e-9)
    # 0.8 is the upper edge of its bin (Guo et al. 2017), so 0.8 and 0.8001 lie in two: |1 - .8| / 2 + .8001 / 2.
    edge = np.array([[0.8, 0.2], [0.8001, 0.1999]])
    assert metrics.calibration_error(np.array([0, 1]), edge) == pytest.approx((0.2 + 0.8001) / 2, abs=1e-9)
    labels, probabilities = random_case(13, classes=5)
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for number in range(1, 16):
        inside = (confidence > (number - 1) / 15) & (confidence <= number / 15)
        if inside.any():
            expected += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(expected, abs=1e-9)


def test_pairs_and_worst_mistakes_by_hand():
    confusion = np.array([[5, 2, 0], [3, 4, 2], [0, 1, 0]])
    pairs = confused_pairs(*np.repeat(np.argwhere(confusion >= 0), confusion.ravel(), axis=0).T)
    assert [(pair.first, pair.second, pair.count, pair.support) for pair in pairs] == [
        (1, 0, 3, 9), (0, 1, 2, 7), (1, 2, 2, 9), (2, 1, 1, 1),
    ]  # fmt: skip
    assert (pairs[0].rate, confused_pairs(np.array([0, 2]), np.array([0, 2]))) == (metrics.proportion(3, 9), ())
    labels, probabilities = random_case(1)
    mistakes = [(-probabilities[row].max(), row) for row in range(300) if probabilities[row].argmax() != labels[row]]
    expected = [row for _, row in sorted(mistakes)]
    assert worst_mistakes(labels, probabilities, 10).tolist() == expected[:10]
    assert worst_mistakes(labels, probabilities, 10_000).tolist() == expected
    # Equal confidence: first the sample whose true class got less, then the earlier one.
    ties = np.array([[0.25, 0.5, 0.25], [0.4, 0.5, 0.1], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4]])
    assert worst_mistakes(np.zeros(4, dtype=np.int64), ties).tolist() == [2, 3, 0, 1]
    assert worst_mistakes(np.array([1]), ties[:1]).tolist() == []


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("classes", [2, 4])
def test_curve_points_equal_scikit_learns(decimals, classes):
    labels, probabilities = random_case(0, classes=classes, decimals=decimals)
    for index, column in enumerate(probabilities.T):
        expected = sk.roc_curve(labels == index, column, drop_intermediate=False)[:2]
        for found, wanted in zip(curves.roc_points(labels == index, column), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-12)
        precision, recall, _ = sk.precision_recall_curve(labels == index, column)
        found = curves.precision_recall_points(labels == index, column)
        np.testing.assert_allclose(found[0], recall[::-1], atol=1e-12)
        np.testing.assert_allclose(found[1], precision[::-1], atol=1e-12)


@pytest.mark.parametrize("decimals", [None, 0])
def test_curve_areas_equal_scikit_learns_after_thinning(decimals):
    labels, probabilities = random_case(1, rows=2000, decimals=decimals)
    found = curves.roc_curves(labels, probabilities, resamples=2)
    expected = [sk.roc_auc_score(labels == index, probabilities[:, index]) for index in range(4)]
    np.testing.assert_allclose([each.area.value for each in found.per_class], expected, rtol=1e-9)
    assert found.macro.area.value == pytest.approx(np.mean(expected), abs=1e-9)
    one_hot = np.eye(4)[labels]
    assert found.micro.area.value == pytest.approx(sk.roc_auc_score(one_hot, probabilities, average="micro"), abs=1e-9)
    for curve in (*found.per_class, found.macro, found.micro):
        assert len(curve.up) == len(curve.across) <= 200
        assert sk.auc(curve.across, curve.up) == pytest.approx(curve.area.value, abs=3e-3)
        assert (curve.across[-1], curve.up[-1]) == (1, 1)
    pieces = curves.precision_recall_curves(labels, probabilities)
    averages = [sk.average_precision_score(labels == index, probabilities[:, index]) for index in range(4)]
    np.testing.assert_allclose([each.area.value for each in pieces], averages, rtol=1e-9)
    assert max(len(each.across) for each in pieces) <= 200


def test_the_macro_area_equals_the_headlines_macro_auc():
    labels, probabilities = random_case(4, rows=80)
    predictions = Predictions(np.arange(80), labels, probabilities, tuple("abcd"), "test", "")
    expected = evaluate_predictions(predictions, resamples=50).macro_auc
    found = curves.roc_curves(labels, probabilities, resamples=50).macro.area
    values = [(each.value, each.low, each.high) for each in (found, expected)]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_curves_handle_absent_classes_single_samples_and_ties():
    found = curves.roc_curves(np.array([0, 1, 0]), np.full((3, 3), 1 / 3), resamples=20)
    assert [each.area.value for each in found.per_class[:2]] == [0.5, 0.5]
    assert np.isnan(found.per_class[2].area.value)
    assert (found.per_class[2].across.shape, found.macro.area.value) == ((0,), 0.5)
    pieces = curves.precision_recall_curves(np.array([0, 1, 0]), np.full((3, 3), 1 / 3))
    assert pieces[0].area.value == pytest.approx(2 / 3)
    assert np.isnan(pieces[2].area.value)
    one = curves.roc_curves(np.array([0]), np.array([[0.9, 0.1]]), resamples=5)
    assert np.isnan([one.per_class[0].area.value, one.macro.area.value]).all()
    assert (len(one.macro.up), one.micro.area.value) == (0, 1)
    alone = curves.precision_recall_curves(np.array([0]), np.array([[0.9, 0.1]]))
    assert alone[0].area.value == 1
    json.dumps([found.to_dict(), one.to_dict(), [each.to_dict() for each in (*pieces, *alone)]], allow_nan=False)
    assert np.isnan(metrics.roc_auc(np.array([1, 1]), np.full((2, 2), 0.5))).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60), st.integers(2, 20))
def test_thinning_keeps_the_ends_and_the_order(points, most):
    across, up = np.sort(np.array(points), axis=0).T
    chosen = curves.thin(across, up, most)
    assert len(chosen) <= max(most, 1)
    assert (chosen[0], chosen[-1]) == (0, len(across) - 1)
    assert (np.diff(chosen) > 0).all()
