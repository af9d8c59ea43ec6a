"""Oracles: scipy's Wilson interval, and bins counted by a loop."""

import json

import numpy as np
import pytest
from scipy import stats

from mien.evaluation.accuracy_by import accuracy_by


def test_bins_of_equal_mass():
    generator = np.random.default_rng(1)
    values, correct = generator.random(100), generator.random(100) < 0.7
    found = accuracy_by(values, correct, bins=4)
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


def test_few_numbers_are_their_own_bins():
    values = np.array([3, 1, 1, 2, 3, 1])
    correct = np.array([True, False, True, True, True, False])
    found = accuracy_by(values, correct, bins=3)
    assert [(part.low, part.high, part.count) for part in found.bins] == [(1, 1, 3), (2, 2, 1), (3, 3, 2)]


def test_missing_numbers_are_counted_and_left_out():
    values = np.array([np.nan, 1.0, np.inf, 2.0])
    found = accuracy_by(values, np.array([True, False, True, True]))
    assert (found.missing, sum(part.count for part in found.bins)) == (2, 2)
    nothing = accuracy_by(values[:1], np.array([True]))
    assert (nothing.bins, nothing.missing) == ((), 1)
    one = accuracy_by(np.array([5]), np.array([True]))
    assert one.bins[0].accuracy.value == 1
    json.dumps([found.to_dict(), nothing.to_dict(), one.to_dict()], allow_nan=False)
