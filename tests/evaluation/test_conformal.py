"""Oracles: the order statistic of the definition, sets built by a loop, and the promise itself on fresh draws."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from mien.errors import DataError
from mien.evaluation.calibration import conformal_sets, conformal_threshold
from mien.evaluation.temperature import assign_folds
from support import raises


def sampled_case(seed: int, rows: int = 500, classes: int = 4):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    labels = (softmax(logits, axis=1).cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    return labels, softmax(2 * logits, axis=1)


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_the_threshold_is_the_order_statistic(count, level):
    strange = np.random.default_rng(count).random(count)
    found = conformal_threshold(strange, level)
    # The smallest threshold with (n + 1) * level of the n at or below it.
    enough = [value for value in sorted(strange) if (strange <= value).sum() >= (count + 1) * level - 1e-9]
    assert found == (enough[0] if enough else math.inf)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.7, 0.9]), st.integers(2, 7))
def test_sets_hold_the_truth_as_often_as_promised(seed, level, classes):
    labels, probabilities = sampled_case(seed, rows=1500, classes=classes)
    found = conformal_sets(labels, probabilities, level=level)
    # Beyond chance: six standard deviations of the share, both ways (no ties: coverage is exact, not only enough).
    assert abs(found.coverage.value - level) < 6 * math.sqrt(level * (1 - level) / 1500) + 0.002


def test_sets_match_a_loop():
    labels, probabilities = sampled_case(1, rows=80)
    groups = np.random.default_rng(1).integers(0, 60, 80)
    folds = assign_folds(groups)
    found = conformal_sets(labels, probabilities, copies=groups, level=0.8)
    for row in range(80):
        others = folds != folds[row]
        strange = 1 - probabilities[others, labels[others]]
        limit = np.sort(strange)[math.ceil((others.sum() + 1) * 0.8) - 1]
        assert found.members[row].tolist() == [1 - p <= limit for p in probabilities[row]]
        assert found.fold_thresholds[folds[row]] == limit
    # Of all 80 rows: ceil(81 * 0.8) = 65.
    assert found.threshold == np.sort(1 - probabilities[np.arange(80), labels])[64]
    sizes = found.members.sum(axis=1)
    covered = found.members[np.arange(80), labels]
    assert found.mean_size == pytest.approx(sizes.mean(), abs=1e-12)
    assert found.size_counts.tolist() == [(sizes == size).sum() for size in range(5)]
    assert (found.empty, found.singleton) == ((sizes == 0).mean(), (sizes == 1).mean())
    assert found.singleton_accuracy.value == pytest.approx(covered[sizes == 1].mean(), abs=1e-12)
    assert [each.value for each in found.coverage_per_class] == pytest.approx(
        [covered[labels == index].mean() for index in range(4)], abs=1e-12
    )
    interval = stats.binomtest(int(covered.sum()), 80).proportion_ci(method="wilson")
    assert (found.coverage.low, found.coverage.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_absent_class_one_row_and_ties():
    one = conformal_sets(np.array([0]), np.array([[0.9, 0.1, 0.0]]))
    # Nothing to learn a threshold from: every class is in.
    assert (one.mean_size, one.coverage.value, one.threshold) == (3, 1, math.inf)
    assert math.isnan(one.coverage_per_class[1].value)
    assert math.isnan(one.singleton_accuracy.value)
    ties = conformal_sets(np.arange(40) % 2, np.full((40, 2), 0.5))
    assert 0 <= ties.coverage.value <= 1
    json.dumps([one.to_dict(), ties.to_dict()], allow_nan=False)
    assert "members" not in one.to_dict()


def test_bad_arguments_are_refused():
    labels, probabilities = np.array([0, 1]), np.full((2, 2), 0.5)
    for level in (0, 1, 90, math.nan):
        with raises(DataError, "level-range"):
            conformal_sets(labels, probabilities, level=level)
