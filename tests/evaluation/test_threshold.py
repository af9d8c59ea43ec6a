"""Oracles: scikit-learn's figures and ROC curve; every threshold tried by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mien.base.errors import DataError
from mien.evaluation.predictions import Predictions
from mien.evaluation.threshold import best_threshold, measure_threshold, operating_point
from support import raises


def two_classes(seed=0, rows=300, classes=("negative", "positive"), split="validation", digits=2):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    positive = list(classes).index("positive") if "positive" in classes else 1
    of_positive = (generator.beta(2, 2, rows) * 0.6 + 0.3 * (labels == positive)).round(digits)
    probabilities = np.empty((rows, 2))
    probabilities[:, positive], probabilities[:, 1 - positive] = of_positive, 1 - of_positive
    return Predictions(np.arange(rows), labels, probabilities, classes, split, "")


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("classes", [("negative", "positive"), ("positive", "negative"), ("sad", "happy")])
def test_figures_at_a_threshold_are_scikit_learns(threshold, classes):
    predictions = two_classes(classes=classes)
    positive = 0 if classes[0] == "positive" else 1
    truth, called = predictions.labels == positive, predictions.probabilities[:, positive] >= threshold
    found = operating_point(predictions, threshold)
    assert found.accuracy == pytest.approx(sk.accuracy_score(truth, called))
    assert found.precision == pytest.approx(sk.precision_score(truth, called, zero_division=0))
    assert found.true_positive_rate == pytest.approx(sk.recall_score(truth, called))
    assert found.false_positive_rate == pytest.approx(1 - sk.recall_score(~truth, ~called))
    assert found.f1 == pytest.approx(sk.f1_score(truth, called, zero_division=0))
    assert found.youden == pytest.approx(sk.balanced_accuracy_score(truth, called) * 2 - 1)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 3))
def test_no_threshold_has_a_greater_youden_than_the_best_one(seed, rows, digits):
    predictions = two_classes(seed, rows, digits=digits)
    best = best_threshold(predictions)
    if len(set(predictions.labels)) < 2:
        assert np.isnan(best)
        return
    tried = np.unique(np.concatenate([predictions.probabilities[:, 1], np.linspace(0, 1, 101)]))
    greatest = max(operating_point(predictions, float(each)).youden for each in tried)
    assert operating_point(predictions, best).youden == pytest.approx(greatest)
    away = min(np.abs(predictions.probabilities[:, 1] - best))
    assert away > 0 or best == 0, "between two rows, so that rounding changes nothing"


def test_both_points_lie_on_the_curve_and_the_area_is_scikit_learns():
    predictions = two_classes(digits=6)
    found = measure_threshold(predictions, 0.4, resamples=20)
    false, true, _ = sk.roc_curve(predictions.labels, predictions.probabilities[:, 1], drop_intermediate=False)
    corners = set(zip(false.round(9), true.round(9), strict=True))
    for point in (found.chosen, found.best):
        assert (round(point.false_positive_rate, 9), round(point.true_positive_rate, 9)) in corners
    assert found.best.youden == pytest.approx((true - false).max())
    assert found.roc.area.value == pytest.approx(sk.roc_auc_score(predictions.labels, predictions.probabilities[:, 1]))
    assert (found.positive, found.split) == ("positive", "validation")
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["best"]["youden"] == pytest.approx(found.best.youden)
    assert content["criterion"] == "Youden's J on validation"


def test_the_best_threshold_is_chosen_on_validation_alone():
    validation, test = two_classes(1), two_classes(1, split="test")
    found = measure_threshold(validation, 0.5, resamples=5)
    assert found.best == operating_point(validation, best_threshold(validation))
    assert measure_threshold(test, 0.5, resamples=5).best is None


def test_rows_of_one_class_have_a_point_and_no_curve():
    predictions = two_classes()
    alone = predictions.subset(predictions.labels == 1)
    found = measure_threshold(alone, 0.5, resamples=5)
    assert found.best is None
    assert np.isnan(found.chosen.false_positive_rate)
    assert not len(found.roc.across)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["chosen"]["youden"] is None


def test_a_threshold_needs_two_classes_and_a_probability():
    predictions = two_classes()
    with raises(DataError, "threshold-range"):
        measure_threshold(predictions, 1.5)
    three = Predictions(np.arange(3), np.arange(3), np.eye(3), ("a", "b", "c"), "test", "")
    with raises(DataError, "threshold-classes"):
        measure_threshold(three, 0.5)
