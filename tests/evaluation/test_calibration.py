"""Oracles: scikit-learn, loops over bins and over coverages, closed forms, the rows that each resample drew."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import softmax
from sklearn import metrics as sk

from mien.evaluation import calibration, metrics
from mien.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    apply_temperature,
    assign_folds,
    cross_fit_temperature,
    fit_temperature,
)
from mien.evaluation.curves import coverage_curve
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
    found = calibration.calibrate(np.array([1]), np.array([[0.3, 0.7]]), resamples=3)
    assert found.before.brier.value == pytest.approx(0.18, abs=1e-9)
    assert np.isnan([found.after.brier.value, found.after.calibration_error]).all()
    assert found.after.reliability.count.sum() == 0
    json.dumps(found.to_dict(), allow_nan=False)
    # Oracle: the definition, counted over rows, with many ties. A threshold is the confidence of the last one.
    labels, probabilities = sampled_case(6, rows=300)
    confidence, correct = probabilities.max(axis=1).round(2), probabilities.argmax(axis=1) == labels
    coverage, accuracy = coverage_curve(confidence, correct)
    assert len(coverage) == len(np.unique(confidence))
    answered = confidence >= np.sort(confidence)[::-1][np.rint(coverage * 300).astype(int) - 1, np.newaxis]
    assert coverage == pytest.approx(answered.mean(axis=1), abs=1e-12)
    assert accuracy == pytest.approx([correct[rows].mean() for rows in answered], abs=1e-12)


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
    generator, drawn = np.random.default_rng(0), []
    for _ in range(25):
        rows = generator.integers(0, 80, size=80)
        line = (labels[rows], probabilities[rows])
        drawn.append((metrics.log_loss(*line), brier(*line)))
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    before = calibration.calibrate(labels, probabilities, resamples=25).before
    np.testing.assert_allclose([(each.low, each.high) for each in (before.log_loss, before.brier)], expected, rtol=1e-9)
    labels, probabilities = sampled_case(3, rows=200)
    fitted, temperatures = cross_fit_temperature(labels, probabilities)
    for fold in range(5):
        others = assign_folds(np.arange(200)) != fold
        assert temperatures[fold] == fit_temperature(labels[others], probabilities[others])
        expected = apply_temperature(probabilities[~others], temperatures[fold])
        np.testing.assert_allclose(fitted[~others], expected, rtol=1e-12)
    assert metrics.log_loss(labels, fitted) < metrics.log_loss(labels, probabilities)


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_temperature_undoes_sharpened_distributions(sharpness):
    """Oracle: cross-entropy is least where the distribution is the target itself."""
    targets = softmax(np.random.default_rng(0).normal(size=(200, 5)), axis=1)
    assert fit_temperature(targets, apply_temperature(targets, 1 / sharpness)) == pytest.approx(sharpness, rel=1e-6)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5, 8.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_the_temperature_equals_scipys_minimum(sharpness, classes):
    labels, probabilities = sampled_case(0, classes=classes, sharpness=sharpness)

    def loss(inverse):
        return -np.log(softmax(inverse * np.log(probabilities), axis=1)[np.arange(500), labels]).mean()

    expected = optimize.minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}).x
    found = fit_temperature(labels, probabilities)
    assert 1 / found == pytest.approx(expected, rel=1e-5)
    assert loss(1 / found) <= loss(expected) + 1e-12


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_at_a_temperature_are_softmax_of_scaled_logits(temperature):
    logits = np.random.default_rng(2).normal(size=(20, 5)) * 4
    found = apply_temperature(softmax(logits, axis=1), temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature, axis=1), rtol=1e-9)


def test_the_temperature_is_bounded_and_finite():
    sure, uniform = np.array([[0.9, 0.1], [0.2, 0.8]]), np.full((6, 7), 1 / 7)
    assert fit_temperature(np.array([0, 1]), sure) == pytest.approx(MIN_TEMPERATURE, rel=1e-6)
    assert fit_temperature(np.array([1, 0]), sure) == pytest.approx(MAX_TEMPERATURE, rel=1e-6)
    assert fit_temperature(np.arange(6), uniform) == 1
    assert np.isnan(fit_temperature(np.zeros(0, dtype=np.int64), np.zeros((0, 3))))
    # A probability of exactly 0 is neither a warning nor an infinity, and stays the smallest of its row.
    zeros = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 - 1e-30, 1e-30, 0.0]])
    assert np.isfinite(fit_temperature(np.array([0, 1, 2]), zeros))
    scaled = apply_temperature(zeros, 2.0)
    assert (np.diff(scaled, axis=1) <= 0).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    labels, probabilities = sampled_case(1)
    assert fit_temperature(np.eye(4)[labels], probabilities) == pytest.approx(fit_temperature(labels, probabilities))
    fitted, _ = cross_fit_temperature(np.array([0, 1]), np.full((2, 2), 0.5), np.array([4, 4]))
    assert np.isnan(fitted).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.integers(2, 6), st.randoms())
def test_folds_keep_groups_whole_in_any_order(groups, folds, random):
    groups = np.array(groups)
    found = assign_folds(groups, folds)
    fold_of_group = dict(zip(groups.tolist(), found.tolist(), strict=True))
    assert [fold_of_group[group] for group in groups.tolist()] == found.tolist()
    sizes = np.bincount(list(fold_of_group.values()))
    assert len(sizes) == min(folds, len(fold_of_group))
    assert sizes.max() - sizes.min() <= 1
    shuffled = random.sample(range(len(groups)), len(groups))
    np.testing.assert_array_equal(assign_folds(groups[shuffled], folds), found[shuffled])
