"""Oracles: scikit-learn to 1e-9; evaluate_predictions."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from mien.evaluation import curves
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from support import random_case


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
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-9
    )


def test_curves_handle_absent_classes_single_samples_and_ties():
    # Class 2 has no row.
    found = curves.roc_curves(np.array([0, 1, 0]), np.full((3, 3), 1 / 3), resamples=20)
    assert [each.area.value for each in found.per_class[:2]] == [0.5, 0.5]
    assert np.isnan(found.per_class[2].area.value)
    assert found.per_class[2].across.shape == (0,)
    assert found.macro.area.value == 0.5
    pieces = curves.precision_recall_curves(np.array([0, 1, 0]), np.full((3, 3), 1 / 3))
    assert pieces[0].area.value == pytest.approx(2 / 3)
    assert np.isnan(pieces[2].area.value)
    one = curves.roc_curves(np.array([0]), np.array([[0.9, 0.1]]), resamples=5)
    assert np.isnan([one.per_class[0].area.value, one.macro.area.value]).all()
    assert len(one.macro.up) == 0
    assert one.micro.area.value == 1
    alone = curves.precision_recall_curves(np.array([0]), np.array([[0.9, 0.1]]))
    assert alone[0].area.value == 1
    json.dumps([found.to_dict(), one.to_dict(), [each.to_dict() for each in (*pieces, *alone)]], allow_nan=False)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60), st.integers(2, 20))
def test_thinning_keeps_the_ends_and_the_order(points, most):
    across, up = np.sort(np.array(points), axis=0).T
    chosen = curves.thin(across, up, most)
    assert len(chosen) <= max(most, 1)
    assert (chosen[0], chosen[-1]) == (0, len(across) - 1)
    assert (np.diff(chosen) > 0).all()
