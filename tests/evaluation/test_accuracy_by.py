"""Oracles: scipy's Kendall tau-b, on the rows and on what each resample drew, and bins counted by a loop."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mien.errors import DataError
from mien.evaluation.accuracy_by import KendallTau, accuracy_by
from support import raises


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 3)), min_size=2, max_size=50))
def test_tau_is_scipys_with_ties_and_weights(rows):
    values, correct, weights = (np.array(column) for column in zip(*rows, strict=True))
    values = values / 7
    for times in (np.ones(len(values), dtype=int), weights):
        again = np.repeat(np.arange(len(values)), times)
        alike = len(set(values[again])) < 2 or len(set(correct[again])) < 2
        expected = math.nan if alike else stats.kendalltau(values[again], correct[again]).statistic
        found = KendallTau(values, correct).under(times.astype(float))
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_the_interval_is_the_percentiles_of_scipys_tau_on_the_drawn_rows():
    generator = np.random.default_rng(0)
    values, correct = generator.random(60).round(1), generator.random(60) < 0.6
    drawn, draws = [], np.random.default_rng(4)
    for _ in range(30):
        rows = draws.integers(0, 60, size=60)
        drawn.append(stats.kendalltau(values[rows], correct[rows]).statistic)
    found = accuracy_by(values, correct, resamples=30, seed=4).rank_correlation
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-9)


def test_bins_of_equal_mass():
    generator = np.random.default_rng(1)
    values, correct = generator.random(100), generator.random(100) < 0.7
    found = accuracy_by(values, correct, bins=4, resamples=2)
    order = np.argsort(values)
    assert [part.count for part in found.bins] == [25] * 4
    for index, part in enumerate(found.bins):
        rows = order[25 * index : 25 * (index + 1)]
        hits = int(correct[rows].sum())
        assert (part.low, part.high) == (values[rows].min(), values[rows].max())
        assert part.mean == pytest.approx(values[rows].mean())
        interval = stats.binomtest(hits, 25).proportion_ci(method="wilson")
        assert (part.accuracy.value, part.accuracy.low, part.accuracy.high) == pytest.approx(
            (hits / 25, interval.low, interval.high), abs=1e-9
        )


def test_few_numbers_are_their_own_bins_and_cuts_begin_one():
    values = np.array([3, 1, 1, 2, 3, 1])
    correct = np.array([True, False, True, True, True, False])
    found = accuracy_by(values, correct, bins=3, resamples=2)
    assert [(part.low, part.high, part.count) for part in found.bins] == [(1, 1, 3), (2, 2, 1), (3, 3, 2)]
    cut = accuracy_by(values, correct, bins=[2.0, 9.0], resamples=2)
    assert [(part.low, part.high, part.count) for part in cut.bins] == [(1, 1, 3), (2, 3, 3)]
    assert [part.accuracy.value for part in cut.bins] == pytest.approx([1 / 3, 1])


def test_missing_numbers_are_counted_and_left_out():
    values = np.array([np.nan, 1.0, np.inf, 2.0])
    found = accuracy_by(values, np.array([True, False, True, True]), resamples=20)
    assert (found.missing, sum(part.count for part in found.bins)) == (2, 2)
    assert found.rank_correlation.value == pytest.approx(1)
    nothing = accuracy_by(values[:1], np.array([True]), resamples=3)
    assert (nothing.bins, nothing.missing) == ((), 1)
    one = accuracy_by(np.array([5]), np.array([True]), resamples=3)
    assert one.bins[0].accuracy.value == 1
    assert math.isnan(one.rank_correlation.value)
    json.dumps([found.to_dict(), nothing.to_dict(), one.to_dict()], allow_nan=False)


def test_bad_arguments_are_refused():
    values, correct = np.arange(3.0), np.array([True, False, True])
    with raises(DataError, "values-shape"):
        accuracy_by(values[:2], correct)
    with raises(DataError, "bins-range"):
        accuracy_by(values, correct, bins=0)
    with raises(DataError, "bins-not-ascending"):
        accuracy_by(values, correct, bins=[2, 1])
    with raises(DataError, "resamples-range"):
        accuracy_by(values, correct, resamples=0)
