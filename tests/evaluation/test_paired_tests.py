"""Oracles: scipy's binomial and chi-square tests, scikit-learn on the rows that each resample drew."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from mien.base.errors import DataError
from mien.evaluation.paired_tests import bootstrap_p_value, match_samples, mcnemar_test, shared_samples
from mien.evaluation.predictions import Predictions
from mien.reporting.comparison import compare_predictions
from support import make_predictions, raises


def make_pair(seed: int = 0, rows: int = 200, classes: int = 4, skill: tuple[float, float] = (1.0, 1.5)):
    """Predictions of two models, of which the second has more skill."""
    labels, names = np.random.default_rng(seed).integers(0, classes, rows), [f"class {n}" for n in range(classes)]
    given = (labels, names, np.arange(rows) + 50, "test", "sha256:0")
    return [make_predictions(*given, seed=10 * seed + at, skill=each) for at, each in enumerate(skill)]


def figures(predictions, rows):
    labels, probabilities = predictions.labels[rows], predictions.probabilities[rows]
    predicted = probabilities.argmax(axis=1)
    recall, macro_f1 = sk.recall_score(labels, predicted, average=None), sk.f1_score(labels, predicted, average="macro")
    return [sk.accuracy_score(labels, predicted), macro_f1, sk.log_loss(labels, probabilities), *recall]


def test_differences_equal_scikit_learns_on_the_drawn_samples():
    first, second = make_pair()
    found, generator = compare_predictions(first, second, resamples=40), np.random.default_rng(0)
    drawn = []
    for _ in range(40):
        rows = generator.integers(0, 200, size=200)
        drawn.append(np.subtract(figures(second, rows), figures(first, rows)))
    everything = np.arange(200)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    for index, each in enumerate((found.accuracy, found.macro_f1, found.log_loss, *found.recall)):
        of_first, of_second = figures(first, everything)[index], figures(second, everything)[index]
        assert (each.first, each.second) == pytest.approx((of_first, of_second), abs=1e-9)
        assert (each.difference.value, each.difference.low, each.difference.high) == pytest.approx(
            (of_second - of_first, low[index], high[index]), abs=1e-9
        )
        if index in {1, 2}:
            assert each.p_value == bootstrap_p_value(np.array(drawn)[:, index].round(12), 200)
    assert found.accuracy.p_value == found.mcnemar.p_value, "one p-value of accuracy"
    json.dumps(found.to_dict(), allow_nan=False)


def test_samples_that_one_model_gets_right_are_listed():
    first, second = make_pair(1)
    found = compare_predictions(first, second, resamples=2)
    right = [each.probabilities.argmax(axis=1) == each.labels for each in (first, second)]
    assert found.only_first.tolist() == [50 + row for row in range(200) if right[0][row] and not right[1][row]]
    assert found.only_second.tolist() == [50 + row for row in range(200) if right[1][row] and not right[0][row]]
    assert found.both_wrong.tolist() == [50 + row for row in range(200) if not right[1][row] and not right[0][row]]
    assert (found.mcnemar.only_first, found.mcnemar.only_second) == (len(found.only_first), len(found.only_second))
    first, second = make_pair(2)
    order = np.random.default_rng(2).permutation(200)
    names = ("sample_ids", "labels", "probabilities")
    shuffled = replace(second, **{name: getattr(second, name)[order] for name in names})
    expected = compare_predictions(first, second, resamples=5).to_dict()
    assert compare_predictions(first, shuffled, resamples=5).to_dict() == expected


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_scipys_tests(only_first, only_second):
    first = np.arange(only_first + only_second) < only_first
    found, total = mcnemar_test(first, ~first), only_first + only_second
    if total == 0:
        assert (found.method, found.p_value) == ("exact binomial", 1)
    elif total < 25:
        assert found.method == "exact binomial"
        assert found.p_value == pytest.approx(stats.binomtest(only_first, total).pvalue, abs=1e-9)
        assert math.isnan(found.statistic)
    else:
        assert found.method == "chi-square"
        statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / total
        assert found.statistic == pytest.approx(statistic, abs=1e-9)
        assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 1), abs=1e-9)


def test_bootstrap_p_values_are_bounded_by_resamples_and_units():
    assert (bootstrap_p_value(np.zeros(99), 50), bootstrap_p_value(np.ones(99), 50)) == (1, pytest.approx(2 / 100))
    assert bootstrap_p_value(np.ones(99), 3) == 1 / 4, "the least p-value of a sign-flip test of three"
    assert bootstrap_p_value(np.array([1.0] * 90 + [-1.0] * 9 + [np.nan]), 50) == pytest.approx(20 / 100)
    assert math.isnan(bootstrap_p_value(np.array([np.nan]), 50))
    same, better = make_pair(3)
    assert compare_predictions(same, same, resamples=50).accuracy.p_value == 1
    better = compare_predictions(*make_pair(3, rows=1000, skill=(0.5, 2.0)), resamples=200)
    assert better.macro_f1.p_value == better.log_loss.p_value == pytest.approx(2 / 201)
    assert better.mcnemar.p_value < 1e-6
    assert better.accuracy.difference.low > 0 > better.log_loss.difference.high


def test_a_recalls_p_value_uses_the_samples_of_the_class():
    """Oracle: scipy's binomial test on the rows of a class that one gets and the other does not."""
    first, second = make_pair(6, rows=150)
    right = [each.probabilities.argmax(axis=1) == each.labels for each in (first, second)]
    found = compare_predictions(first, second, resamples=20)
    for label, each in enumerate(found.recall):
        won, lost = (int((a & ~b & (first.labels == label)).sum()) for a, b in (right, right[::-1]))
        assert 0 < won + lost < 25
        assert each.p_value == pytest.approx(stats.binomtest(won, won + lost).pvalue)
    assert len({each.p_value for each in found.recall}) > 1
    # Every resample that holds it agrees; one toss of a coin has a p-value of 1.
    probabilities = np.array([[0.9, 0.1]] * 5)
    first = Predictions(np.arange(5), np.array([0, 0, 0, 0, 1]), probabilities, ("a", "b"), "test", "")
    second = replace(first, probabilities=np.where(np.arange(5)[:, None] == 4, probabilities[:, ::-1], probabilities))
    rare = compare_predictions(first, second, resamples=200).recall[1]
    assert (rare.first, rare.second, rare.p_value) == (0, 1, 1)
    first, second = make_pair(4, rows=1, classes=2)
    found, absent = compare_predictions(first, second, resamples=5), 1 - int(first.labels[0])
    assert np.isnan([found.recall[absent].difference.value, found.recall[absent].p_value]).all()
    assert found.recall[1 - absent].p_value <= 1
    json.dumps(found.to_dict(), allow_nan=False)


def test_predictions_that_do_not_match_are_refused():
    first, second = make_pair(5, rows=4)
    cases = (
        ("classes-differ", "class 3 and a, b, c, d", replace(second, classes=("a", "b", "c", "d"))),
        ("data-differs", "sha256:0... and sha256:1...", replace(second, data_fingerprint="sha256:1")),
        ("data-differs", "4 (test) and 4 (test); 2 are", replace(second, sample_ids=second.sample_ids + 1)),
        ("data-differs", "labels of 4", replace(second, labels=(second.labels + 1) % 4)),
    )
    for code, values, other in cases:
        with raises(DataError, code, values):
            compare_predictions(first, other)
    # Nobody knows the data of one of them: that is no contradiction.
    assert len(match_samples(first, replace(second, data_fingerprint=""))[1]) == 4


def test_shared_samples_are_those_of_all_predictions():
    """Oracle: sets of row numbers; then the comparison of the same rows picked by hand."""
    first, second = make_pair()
    order = np.random.default_rng(0).permutation(200)
    fewer = [first.subset(np.arange(0, 150)), second.subset(order[order >= 30]), second.subset(order[order % 2 == 0])]
    kept = shared_samples(fewer)
    assert all(set(each.sample_ids.tolist()) == set(range(30 + 50, 150 + 50, 2)) for each in kept)
    by_hand = [each.subset(np.arange(30, 150, 2)) for each in (first, second)]
    found = compare_predictions(kept[0], kept[1], resamples=20).to_dict()
    assert found == compare_predictions(*by_hand, resamples=20).to_dict()
    with raises(DataError, "data-differs"):
        shared_samples([first.subset(np.arange(10)), second.subset(np.arange(10, 20))])
