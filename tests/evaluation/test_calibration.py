"""Oracles: scikit-learn, loops over bins and over coverages, closed forms, the rows that each resample drew."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk

from mien.base.errors import DataError
from mien.evaluation import calibration, metrics
from mien.evaluation.temperature import cross_fit_temperature
from support import raises


def sampled_case(seed: int, rows: int = 500, classes: int = 4, sharpness: float = 2.0, decimals: int | None = None):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    if decimals is not None:
        logits = logits.round(decimals)
    labels = (softmax(logits, axis=1).cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    return labels, softmax(sharpness * logits, axis=1)


def adaptive_by_loop(labels, probabilities, bins=15):
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    rank = np.argsort(np.argsort(confidence, kind="stable"))
    total = 0.0
    for number in range(bins):
        inside = rank * bins // len(labels) == number
        if inside.any():
            total += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_brier_is_scikit_learns(classes):
    labels, probabilities = sampled_case(0, classes=classes)
    expected = sk.brier_score_loss(labels, probabilities, labels=np.arange(classes), scale_by_half=False)
    assert calibration.brier_score(labels, probabilities) == pytest.approx(expected, abs=1e-9)
    uniform = np.full((5, classes), 1 / classes)
    assert calibration.brier_score(np.zeros(5, dtype=np.int64), uniform) == pytest.approx(1 - 1 / classes, abs=1e-9)


def test_adaptive_error_matches_a_loop():
    labels, probabilities = sampled_case(1, rows=497)
    found = calibration.adaptive_calibration_error(labels, probabilities)
    assert found == pytest.approx(adaptive_by_loop(labels, probabilities), abs=1e-9)


def test_the_diagram_adds_up_to_the_error():
    labels, probabilities = sampled_case(2)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    diagram = calibration.reliability(confidence, correct)
    gaps = np.nan_to_num(np.abs(diagram.accuracy - diagram.confidence))
    expected = metrics.calibration_error(labels, probabilities)
    assert (diagram.count / 500) @ gaps == pytest.approx(expected, abs=1e-9)
    assert diagram.count.sum() == 500
    filled = diagram.count > 0
    assert (diagram.lower[filled] <= diagram.confidence[filled]).all()
    assert (diagram.confidence[filled] <= diagram.upper[filled]).all()
    assert (diagram.low[filled] <= diagram.accuracy[filled]).all()
    assert np.isnan(diagram.accuracy[~filled]).all()
    assert np.bincount(calibration.equal_mass_bins(confidence, 10)).tolist() == [50] * 10


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 20), st.randoms())
def test_bins_of_equal_mass_keep_ties_together_in_any_order(values, bins, random):
    values = np.array(values) / 12
    found = calibration.equal_mass_bins(values, bins)
    assert all(len(set(found[values == value])) == 1 for value in values)
    order = np.argsort(values)
    assert (np.diff(found[order]) >= 0).all()
    assert 0 <= found.min() <= found.max() < bins
    shuffled = random.sample(range(len(values)), len(values))
    np.testing.assert_array_equal(calibration.equal_mass_bins(values[shuffled], bins), found[shuffled])


def test_the_figures_are_of_the_cross_fitted_probabilities():
    labels, probabilities = sampled_case(3, sharpness=4.0)
    groups = np.random.default_rng(3).integers(0, 400, 500)
    found = calibration.calibrate(labels, probabilities, groups, resamples=5)
    rescaled = cross_fit_temperature(labels, probabilities, groups)
    np.testing.assert_array_equal(found.calibrated, rescaled.probabilities)
    for figures, source in ((found.before, probabilities), (found.after, rescaled.probabilities)):
        assert figures.log_loss.value == pytest.approx(metrics.log_loss(labels, source), abs=1e-9)
        assert figures.brier.value == pytest.approx(calibration.brier_score(labels, source), abs=1e-9)
        assert figures.calibration_error.value == pytest.approx(metrics.calibration_error(labels, source), abs=1e-9)
        adaptive = calibration.adaptive_calibration_error(labels, source)
        assert figures.adaptive_calibration_error.value == pytest.approx(adaptive, abs=1e-9)
    assert found.after.log_loss.value < found.before.log_loss.value
    assert found.temperature == pytest.approx(4.0, rel=0.2)
    assert "calibrated" not in found.to_dict()
    json.dumps(found.to_dict(), allow_nan=False)


def test_intervals_are_percentiles_over_the_drawn_rows():
    labels, probabilities = sampled_case(4, rows=80)
    generator = np.random.default_rng(7)
    drawn = []
    for _ in range(25):
        rows = generator.integers(0, 80, size=80)
        line = (labels[rows], probabilities[rows])
        drawn.append((metrics.log_loss(*line), calibration.brier_score(*line), metrics.calibration_error(*line)))
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    before = calibration.calibrate(labels, probabilities, resamples=25, seed=7).before
    found = [(each.low, each.high) for each in (before.log_loss, before.brier, before.calibration_error)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_row_has_no_calibrated_figures():
    found = calibration.calibrate(np.array([1]), np.array([[0.3, 0.7]]), resamples=3)
    assert found.before.brier.value == pytest.approx(0.18, abs=1e-9)
    assert np.isnan([found.after.brier.value, found.after.calibration_error.high]).all()
    assert found.after.reliability.count.sum() == 0
    json.dumps(found.to_dict(), allow_nan=False)
    with raises(DataError, "resamples-range"):
        calibration.calibrate(np.array([1]), np.array([[0.3, 0.7]]), resamples=0)


def test_coverage_matches_a_loop_over_the_most_confident():
    labels, probabilities = sampled_case(5, rows=150)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    curve = calibration.accuracy_against_coverage(confidence, correct)
    order = np.argsort(-confidence)
    expected = [correct[order[:count]].mean() for count in range(1, 151)]
    np.testing.assert_allclose(curve.accuracy, expected, rtol=1e-9)
    np.testing.assert_allclose(curve.coverage, np.arange(1, 151) / 150, rtol=1e-9)
    assert curve.risk_area == pytest.approx(1 - np.mean(expected), abs=1e-9)
    ideal = np.sort(correct)[::-1]
    best = 1 - np.mean([ideal[:count].mean() for count in range(1, 151)])
    assert curve.best_risk_area == pytest.approx(best, abs=1e-9)
    assert calibration.accuracy_against_coverage(correct * 1.0, correct).risk_area >= best
    thinned = calibration.accuracy_against_coverage(confidence, correct, most_points=20)
    assert len(thinned.coverage) == 20
    assert (thinned.risk_area, thinned.accuracy[-1]) == (curve.risk_area, curve.accuracy[-1])


def test_each_threshold_answers_the_rows_that_its_point_counts():
    """Oracle: the definition, counted over rows, with many ties."""
    labels, probabilities = sampled_case(6, rows=300)
    confidence, correct = probabilities.max(axis=1).round(2), probabilities.argmax(axis=1) == labels
    for most_points in (200, 12):
        curve = calibration.accuracy_against_coverage(confidence, correct, most_points)
        assert len(curve.thresholds) == min(len(np.unique(confidence)), most_points)
        answered = confidence >= curve.thresholds[:, np.newaxis]
        assert curve.coverage == pytest.approx(answered.mean(axis=1), abs=1e-12)
        assert curve.accuracy == pytest.approx([correct[rows].mean() for rows in answered], abs=1e-12)


def test_coverage_of_ties_is_the_mean_over_their_orders():
    correct = np.array([True, False, True, False, False])
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    generator = np.random.default_rng(0)
    areas = []
    for _ in range(4000):
        order = np.argsort(-(confidence + 1e-6 * generator.random(5)))
        areas.append(1 - np.mean(np.cumsum(correct[order]) / np.arange(1, 6)))
    curve = calibration.accuracy_against_coverage(confidence, correct)
    assert curve.risk_area == pytest.approx(np.mean(areas), abs=0.01)
    assert curve.coverage.tolist() == [0.2, 0.8, 1.0]
    assert np.isnan(calibration.accuracy_against_coverage(np.zeros(0), np.zeros(0, dtype=bool)).risk_area)
    assert calibration.accuracy_against_coverage(np.array([0.4]), np.array([True])).risk_area == 0
