"""Oracle: each sample three times, in a group of its own, is known no better than once; scipy's permutation test."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mien.base.errors import DataError
from mien.evaluation.calibration import calibrate
from mien.evaluation.curves import roc_curves
from mien.evaluation.estimates import evaluate_answers, evaluate_predictions
from mien.evaluation.metrics import (
    percentile_interval,
    proportion,
    proportion_among,
    resampled_weights,
    share_difference,
    share_interval,
    wilson_interval,
)
from mien.evaluation.named_metrics import resample
from mien.evaluation.paired_tests import compare_repeats, mcnemar_test
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import measure_robustness, read_robustness, write_robustness
from mien.reporting.comparison import compare_predictions
from support import make_predictions, raises

COUNT = 90
GROUPS = np.arange(COUNT).repeat(3)
LABELS = np.arange(COUNT) % 3


TWO = [make_predictions(LABELS, "abc", split="test", seed=seed) for seed in (0, 1)]
CHANCES = TWO[0].probabilities


def thrice(values):
    return values.repeat(3, axis=0)


def width(estimate):
    return estimate.high - estimate.low


def same(found, expected):
    """The same numbers at every place of two results, except numbers of samples, which are three times as many."""
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for name in found:
            if name not in {"count", "size_counts"}:
                same(found[name], expected[name])
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(found, float):
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    else:
        assert found == expected


def test_robustness_resamples_whole_groups(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (COUNT, 8, 8)).astype(np.uint8)
    labels = (np.random.default_rng(2).random(COUNT) < 0.5).astype(np.int64)

    def predict(faces):
        light = faces[:, 1, 2] >= 100
        return np.stack([~light, light], axis=1).astype(float)

    alone = measure_robustness(predict, images, labels, corruptions=("darkness",))
    found = measure_robustness(predict, thrice(images), thrice(labels), corruptions=("darkness",), groups=GROUPS)
    same(found.clean_accuracy.to_dict(), alone.clean_accuracy.to_dict())
    same(found.mean_accuracy.to_dict(), alone.mean_accuracy.to_dict())
    assert found.groups == COUNT
    assert "groups" not in alone.to_dict()
    images, labels = np.zeros((4, 48, 48), np.uint8), np.arange(4) % 2
    found = measure_robustness(lambda faces: np.eye(2)[[0] * len(faces)], images, labels, groups=np.zeros(4, np.int64))
    write_robustness(tmp_path, found)
    again = read_robustness(tmp_path)
    assert again.clean_accuracy == Estimate(0.5, *wilson_interval(0.5, 1))
    assert (again.mean_accuracy.value, math.isnan(again.mean_accuracy.low)) == (0.5, True)


def test_comparisons_curves_and_calibration_resample_whole_groups():
    times = {"labels": LABELS.repeat(3), "sample_ids": np.arange(3 * COUNT), "groups": GROUPS}
    three = [replace(each, probabilities=thrice(each.probabilities), **times) for each in TWO]
    alone, found = (compare_predictions(*pair, resamples=50).to_dict() for pair in (TWO, three))
    for name in ("accuracy", "macro_f1", "log_loss", "recall"):
        same(found[name], alone[name])
    for name in ("statistic", "p_value"):
        same(found["mcnemar"][name], alone["mcnemar"][name])
    assert found["mcnemar"]["method"] == f"{alone['mcnemar']['method']} over groups"
    same(evaluate_answers(three[0], 50).right.to_dict(), evaluate_answers(TWO[0], 50).right.to_dict())
    alone = roc_curves(LABELS, CHANCES, 50).to_dict()
    same(roc_curves(thrice(LABELS), thrice(CHANCES), 50, groups=GROUPS).to_dict(), alone)
    alone = calibrate(LABELS, CHANCES, resamples=50)
    found = calibrate(thrice(LABELS), thrice(CHANCES), GROUPS, resamples=50)
    same(found.to_dict(), alone.to_dict())
    flattering = calibrate(thrice(LABELS), thrice(CHANCES), copies=GROUPS, resamples=50)
    assert flattering.fold_temperatures == pytest.approx(found.fold_temperatures)
    assert width(flattering.after.brier) < 0.75 * width(found.after.brier)


def test_resamples_of_one_group_give_no_interval():
    """Oracle: Wilson's interval of one sample; nothing else is known."""
    pair = [replace(each, groups=np.zeros(COUNT, np.int64)) for each in TWO]
    found, compared = evaluate_predictions(pair[0]), compare_predictions(*pair)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(wilson_interval(pair[0].accuracy, 1))
    repeated = compare_repeats(*(resample([each], ["precision.a"]) * 2 for each in pair))[0]
    area = roc_curves(LABELS, CHANCES, 9, pair[0].groups).macro.area
    known = (calibrate(LABELS, CHANCES, pair[0].groups).before.brier, area)
    for each in (found.log_loss, found.macro_f1, *known, compared.accuracy.difference, repeated.difference):
        assert (math.isnan(each.value), math.isnan(each.low), math.isnan(each.high)) == (False, True, True)
    assert np.isnan([compared.macro_f1.p_value, compared.log_loss.p_value, repeated.p_value]).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
def test_mcnemar_over_groups_is_scipys_permutation_test(groups):
    """Each group has so many samples that only the first, and only the second, model predicts correctly."""
    first = np.concatenate([[True] * one + [False] * other for one, other in groups]).astype(bool)
    numbers = np.concatenate([[at] * (one + other) for at, (one, other) in enumerate(groups)]).astype(np.int64)
    found = mcnemar_test(first, ~first, numbers)
    assert found.method == "exact sign-flip over groups"
    counts = np.array(groups, dtype=float).T
    expected = stats.permutation_test(
        tuple(counts), lambda one, other, axis: (one - other).sum(axis=axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert found.p_value == pytest.approx(min(expected.pvalue, 1), abs=1e-12)


@pytest.mark.parametrize(("method", "sizes"), [
    ("chi-square", np.random.default_rng(5).integers(-4, 6, 90)),
    ("exact sign-flip", np.array([100] * 4 + [1] * 22)),
], ids=["many", "four large ones"])  # fmt: skip
def test_mcnemar_over_many_groups_approximates_the_exact_test(method, sizes):
    first = np.repeat(sizes < 0, np.abs(sizes))
    found = mcnemar_test(first, ~first, np.repeat(np.arange(len(sizes)), np.abs(sizes)))
    assert found.method == f"{method} over groups"
    signs = np.random.default_rng(6).choice([-1, 1], (100_000, len(sizes)))
    assert found.p_value == pytest.approx((np.abs(signs @ sizes) >= abs(sizes.sum())).mean(), abs=0.01)


def test_proportions_count_groups_by_their_design_effect():
    hits = np.random.default_rng(3).random(40) < 0.7
    alone = proportion(hits.sum(), 40).to_dict()
    same(proportion_among(hits, groups=np.arange(40)[::-1].copy()).to_dict(), alone)
    same(proportion_among(thrice(hits), groups=np.arange(40).repeat(3)).to_dict(), alone)
    one = proportion_among(hits, groups=np.arange(40) // 40)
    assert (one.low, one.high) == pytest.approx([float(end) for end in wilson_interval(hits.mean(), 1)])
    # Without an error five groups of three are worth five samples. Groups that are all alike are worth their samples.
    same(proportion_among(np.ones(15, dtype=bool), groups=np.arange(5).repeat(3)).to_dict(), proportion(5, 5).to_dict())
    same(proportion_among(np.arange(40) % 2 == 0, groups=np.arange(40) // 2).to_dict(), proportion(20, 40).to_dict())
    assert math.isnan(proportion_among(hits, np.zeros(40, dtype=bool), np.arange(40)).value)
    # Each group has one hit, so the fraction varies less between groups than of independent samples.
    groups = np.arange(30).repeat(3)
    same(proportion_among(np.arange(90) % 3 == 0, groups=groups).to_dict(), proportion(30, 90).to_dict())
    assert (wilson_interval(0, 5)[0], wilson_interval(3, 3)[1]) == (0, 1)
    nothing = proportion(0, 0)
    assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high)))


@pytest.mark.parametrize("hits", [0, 1, 4])
def test_few_groups_with_a_hit_count_as_single_samples(hits):
    groups = np.arange(20).repeat(3)
    found = proportion_among((np.arange(60) % 3 == 0) & (groups < hits), groups=groups)
    same([found.low, found.high], [float(end) for end in wilson_interval(hits / 3, 20)])


@given(st.integers(1, 5000).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_wilson_matches_scipy(case):
    hits, rows = case
    expected, found = stats.binomtest(hits, rows).proportion_ci(0.95, method="wilson"), proportion(hits, rows)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.value == pytest.approx(hits / rows, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_resamples_equal_numpys_in_any_chunks():
    """Oracle: numpy's generator, resample by resample."""
    generator = np.random.default_rng(0)
    expected = [np.bincount(generator.integers(0, 500_000, 500_000), minlength=500_000) for _ in range(5)]
    chunks = list(resampled_weights(500_000, 5))
    assert [len(chunk) for chunk in chunks] == [4, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    # Oracles: row (a) of Newcombe's table II, 56 of 70 against 48 of 80; scipy's chi-square test.
    hits, inside = np.repeat([True, False, True, False], [56, 14, 48, 32]), np.arange(150) < 70
    found, p = share_difference(hits, inside)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert p == pytest.approx(stats.chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue, abs=2e-3)
    assert share_difference(hits, ~inside)[1] == pytest.approx(p)
    twice = share_difference(np.tile(hits, 2), np.tile(inside, 2), np.tile(np.arange(150), 2))
    assert (twice[0].low, twice[1]) == pytest.approx((found.low, p))


def test_intervals_of_constant_and_undefined_resamples():
    """Half of each group is right: no resample differs, but other groups may."""
    hits, groups = np.arange(60) % 2 == 0, np.arange(60) // 2
    found = share_interval(hits, np.full(9, 0.5), groups)
    assert found == proportion_among(hits, groups=groups)
    assert found.low < 0.5 < found.high
    found = percentile_interval(2.0, np.array([1.0, np.nan, 2.0, 3.0]))
    assert (found.low, found.high) == pytest.approx((1.05, 2.95))
    assert math.isnan(percentile_interval(2.0, np.array([np.nan])).low)
    assert math.isnan(percentile_interval(2.0, np.array([np.nan, 2.0, 2.0])).low)
    assert math.isnan(percentile_interval(2.0, np.array([2.0, 2.0])).low)
    assert math.isnan(percentile_interval(math.nan, np.array([1.0])).high)


def test_groups_are_kept_in_the_file_and_by_subsets(tmp_path):
    labels, groups = np.array([0, 1, 0, 1]), np.array([5, 5, 7, 7])
    predictions = Predictions(np.arange(4), labels, np.full((4, 2), 0.5), ("a", "b"), "test", "", groups=groups)
    write_predictions(tmp_path / "p.npz", predictions)
    assert read_predictions(tmp_path / "p.npz").subset(np.array([2, 0])).groups.tolist() == [7, 5]
    with raises(DataError, "predictions", "'groups'"):
        replace(predictions, groups=np.arange(3))
