"""Oracles: scipy's Wilson interval, the rows that each resample drew, numpy's percentiles."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mien.base.errors import DataError
from mien.evaluation.intervals import (
    percentile_interval,
    proportion,
    proportion_among,
    resampled_weights,
    share_difference,
    share_interval,
    wilson_interval,
)
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from support import raises


@given(st.integers(1, 5000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_wilson_matches_scipy(case):
    hits, rows = case
    expected = stats.binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    found = proportion(hits, rows)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.value == pytest.approx(hits / rows, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_handles_no_hits_all_hits_and_no_trials():
    assert (wilson_interval(0, 5)[0], wilson_interval(3, 3)[1]) == (0, 1)
    nothing = proportion(0, 0)
    assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high)))


def test_a_difference_of_shares_has_newcombes_interval_and_nearly_scipys_p():
    """Oracles: row (a) of Newcombe's table II, 56 of 70 against 48 of 80; scipy's chi-square test."""
    hits, inside = np.repeat([True, False, True, False], [56, 14, 48, 32]), np.arange(150) < 70
    found, p = share_difference(hits, inside)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert p == pytest.approx(stats.chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue, abs=2e-3)
    assert share_difference(hits, ~inside)[1] == pytest.approx(p)
    twice = share_difference(np.tile(hits, 2), np.tile(inside, 2), np.tile(np.arange(150), 2))
    assert (twice[0].low, twice[1]) == pytest.approx((found.low, p))


def test_resamples_equal_numpys_in_any_chunks():
    """Oracle: numpy's generator, resample by resample."""
    generator = np.random.default_rng(0)
    expected = [np.bincount(generator.integers(0, 500_000, 500_000), minlength=500_000) for _ in range(5)]
    chunks = list(resampled_weights(500_000, 5))
    assert [len(chunk) for chunk in chunks] == [4, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), expected)


def test_percentiles_leave_undefined_resamples_out():
    found = percentile_interval(2.0, np.array([1.0, np.nan, 2.0, 3.0]))
    assert (found.low, found.high) == pytest.approx((1.05, 2.95))
    assert math.isnan(percentile_interval(2.0, np.array([np.nan])).low)
    assert math.isnan(percentile_interval(2.0, np.array([np.nan, 2.0, 2.0])).low)
    assert math.isnan(percentile_interval(2.0, np.array([2.0, 2.0])).low)
    assert math.isnan(percentile_interval(math.nan, np.array([1.0])).high)


def test_constant_resamples_give_wilsons_interval():
    """Half of each group is right: no resample differs, but other groups may."""
    hits, groups = np.arange(60) % 2 == 0, np.arange(60) // 2
    found = share_interval(hits, np.full(9, 0.5), groups)
    assert found == proportion_among(hits, groups=groups)
    assert found.low < 0.5 < found.high


def test_groups_are_kept_in_the_file_and_by_subsets(tmp_path):
    labels, groups = np.array([0, 1, 0, 1]), np.array([5, 5, 7, 7])
    predictions = Predictions(np.arange(4), labels, np.full((4, 2), 0.5), ("a", "b"), "test", "", groups=groups)
    write_predictions(tmp_path / "p.npz", predictions)
    assert read_predictions(tmp_path / "p.npz").subset(np.array([2, 0])).groups.tolist() == [7, 5]
    with raises(DataError, "groups-shape"):
        replace(predictions, groups=np.arange(3))
