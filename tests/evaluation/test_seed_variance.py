"""Oracles: scikit-learn's metrics, numpy's and scipy's statistics, and a simulation of coverage."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from mien.base.errors import DataError
from mien.evaluation.named_metrics import Resampled, resample
from mien.evaluation.paired_tests import aligned, compare_repeats, holm, spread
from support import raises


def test_spread_is_mean_and_sample_deviation_over_runs(make_predictions):
    runs = [make_predictions(seed) for seed in (1, 2, 3)]
    values = [sk.accuracy_score(each.labels, each.probabilities.argmax(1)) for each in runs]
    found, error = spread(resample(aligned(runs), metrics := ["accuracy", "calibration_error"], 50), metrics)
    assert (found.values, found.mean) == (pytest.approx(values), pytest.approx(np.mean(values)))
    assert (found.deviation, found.runs) == (pytest.approx(np.std(values, ddof=1)), 3)
    assert found.interval.low < found.mean < found.interval.high
    assert math.isnan(error.interval.low), "chance only raises it"
    (alone,) = spread(resample(runs[:1], ["accuracy"], 50), ["accuracy"])
    assert math.isnan(alone.deviation)
    # Oracle: worked by hand, 3 x .01, 2 x .03, and .04 raised to the previous one. NaN has no part in it.
    assert holm([0.01, 0.04, math.nan, 0.03]) == pytest.approx([0.03, 0.06, math.nan, 0.06], nan_ok=True)
    assert (holm([0.5, 0.9, 0.001]), holm([])) == (pytest.approx([1.0, 1.0, 0.003]), [])
    first = make_predictions(1)
    one, two = aligned([first, first.subset(np.arange(150, 49, -1))])
    assert list(one.sample_ids) == list(two.sample_ids) == list(range(50, 151))
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    other = replace(first, labels=(first.labels + 1) % 5)
    with raises(DataError, "data-differs"):
        aligned([first, other])


def test_one_pair_is_the_paired_bootstrap_of_compare(make_predictions):
    from mien.reporting.comparison import compare_predictions

    runs = [make_predictions(1, right=0.6), make_predictions(2, right=0.7)]
    first, second = resample(runs, ["macro_f1"], 200)
    (found,) = compare_repeats([first], [second])
    oracle = compare_predictions(*runs, resamples=200).macro_f1
    assert (found.difference, found.p_value) == (oracle.difference, oracle.p_value)
    assert (found.baseline, found.value) == (oracle.first, oracle.second)


@cache
def drawn(count, seed):
    """How often each of 200 resamples draws each row; the same for all cases of a test."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=200).astype(np.uint8)


def runs_of(rows, seed=0):
    """Runs whose figure is the mean of their own rows' values: (S, N) -> S runs with 200 shared resamples."""
    count = rows.shape[1]
    weights = drawn(count, seed) / count
    return [Resampled(np.array([each.mean()]), (weights @ each)[:, None], count) for each in rows]


def test_intervals_without_sampling_or_training_variance_are_students_and_normal():
    before, after = np.array([0.50, 0.52, 0.57, 0.49]), np.array([0.45, 0.50, 0.51, 0.47])
    constant = [np.repeat(each[:, None], 50, axis=1) for each in (before, after)]
    (found,) = compare_repeats(runs_of(constant[0]), runs_of(constant[1]))
    oracle = stats.ttest_rel(after, before)
    low, high = oracle.confidence_interval(0.95)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-9)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=1e-9)
    rows = np.random.default_rng(3).normal(0.2, 1.0, 400)
    baseline, other = np.zeros((3, 400)), np.tile(rows, (3, 1))
    (found,) = compare_repeats(runs_of(baseline), runs_of(other))
    deviation = rows.std() / 20
    assert found.difference.value == pytest.approx(rows.mean())
    # 200 resamples know a deviation to 5 %.
    assert found.difference.high - found.difference.value == pytest.approx(1.96 * deviation, rel=0.12)
    # Two seeds: Student's t with one degree of freedom reaches beyond 1.
    (found,) = compare_repeats(runs_of(np.zeros((2, 10))), runs_of(np.repeat([[0.0], [0.9]], 10, axis=1)))
    assert found.difference.low < -1
    assert found.difference.high > 1
    assert (found.bounded().difference.low, found.bounded().difference.high) == (-1, 1)
    assert found.bounded().p_value == found.p_value


@pytest.mark.parametrize(
    ("of_faces", "of_runs", "of_both", "most"),
    [(1.0, 0.0, 0.0, 1.0), (0.0, 0.01, 0.0, 1.0), (1.0, 0.003, 1.0, 0.985), (0.1, 0.0003, 0.15, 0.99)],
)
def test_intervals_cover_what_they_promise(of_faces, of_runs, of_both, most):
    generator = np.random.default_rng(5)
    covered, trials = 0, 400
    for trial in range(trials):
        rows = generator.normal(0, of_faces**0.5, 300) + generator.normal(0, of_runs**0.5, (3, 1))
        rows = rows + generator.normal(0, of_both**0.5, (3, 300))
        (found,) = compare_repeats(runs_of(np.zeros((3, 300)), trial), runs_of(rows, trial))
        covered += found.difference.low <= 0 <= found.difference.high
    # 95 % promised: of 400 trials fewer than 367 are seen once in 1,000 times. Counting what a run makes of a face
    # twice covers more than ``most`` where that is all there is.
    assert 367 <= covered <= most * trials


@pytest.mark.parametrize(("gain", "p_value"), [(0.1, math.nan), (0.3, math.nan), (0.0, 1.0)])
def test_differences_without_variance_have_no_interval(gain, p_value):
    """Three runs gain the same on each face: without a variance there is no interval, and no p-value but that of 0."""
    before, after = np.full((3, 50), 0.5), np.full((3, 50), 0.5 + gain)
    (found,) = compare_repeats(runs_of(before), runs_of(after))
    assert math.isnan(found.difference.low)
    assert found.p_value == pytest.approx(p_value, nan_ok=True)
