"""Oracles: scikit-learn, loops over bins and over coverages, closed forms, the rows that each resample drew."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.evaluation import calibration, metrics
from mien.evaluation.calibration import cross_fit_temperature
from support import sampled_case


def brier(labels, probabilities):
    return sk.brier_score_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]), scale_by_half=False)


def test_reliability_bins_add_up_to_the_calibration_error():
    labels, probabilities = sampled_case(2)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    diagram = calibration.reliability(confidence, correct)
    gaps = np.nan_to_num(np.abs(diagram.accuracy - diagram.confidence))
    assert (diagram.count / 500) @ gaps == pytest.approx(metrics.calibration_error(labels, probabilities), abs=1e-9)
    assert diagram.count.sum() == 500
    filled = diagram.count > 0
    assert (diagram.lower[filled] <= diagram.confidence[filled]).all()
    assert (diagram.confidence[filled] <= diagram.upper[filled]).all()
    assert (diagram.low[filled] <= diagram.accuracy[filled]).all()
    assert np.isnan(diagram.accuracy[~filled]).all()


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_calibration_metrics_use_cross_fitted_probabilities(classes):
    labels, probabilities = sampled_case(3, classes=classes, sharpness=4.0)
    groups = np.random.default_rng(3).integers(0, 400, 500)
    found = calibration.calibrate(labels, probabilities, groups, resamples=5)
    rescaled, _ = cross_fit_temperature(labels, probabilities, groups)
    for figures, source in ((found.before, probabilities), (found.after, rescaled)):
        assert figures.log_loss.value == pytest.approx(metrics.log_loss(labels, source), abs=1e-9)
        assert figures.brier.value == pytest.approx(brier(labels, source), abs=1e-9)
        assert figures.calibration_error == pytest.approx(metrics.calibration_error(labels, source), abs=1e-9)
    assert found.after.log_loss.value < found.before.log_loss.value
    assert found.temperature == pytest.approx(4.0, rel=0.25)
    json.dumps(found.to_dict(), allow_nan=False)


def test_intervals_are_percentiles_over_the_drawn_rows():
    labels, probabilities = sampled_case(4, rows=80)
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(25):
        rows = generator.integers(0, 80, size=80)
        line = (labels[rows], probabilities[rows])
        drawn.append((metrics.log_loss(*line), brier(*line)))
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    before = calibration.calibrate(labels, probabilities, resamples=25).before
    found = [(each.low, each.high) for each in (before.log_loss, before.brier)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_sample_has_no_calibrated_metrics():
    found = calibration.calibrate(np.array([1]), np.array([[0.3, 0.7]]), resamples=3)
    assert found.before.brier.value == pytest.approx(0.18, abs=1e-9)
    assert np.isnan([found.after.brier.value, found.after.calibration_error]).all()
    assert found.after.reliability.count.sum() == 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_risk_point_counts_the_most_confident_samples():
    """Oracle: the definition, counted over rows, with many ties. A threshold is the confidence of the last one."""
    labels, probabilities = sampled_case(6, rows=300)
    confidence, correct = probabilities.max(axis=1).round(2), probabilities.argmax(axis=1) == labels
    for most_points in (200, 12):
        coverage, accuracy = calibration.accuracy_against_coverage(confidence, correct, most_points)
        assert len(coverage) == min(len(np.unique(confidence)), most_points)
        answered = confidence >= np.sort(confidence)[::-1][np.rint(coverage * 300).astype(int) - 1, np.newaxis]
        assert coverage == pytest.approx(answered.mean(axis=1), abs=1e-12)
        assert accuracy == pytest.approx([correct[rows].mean() for rows in answered], abs=1e-12)
