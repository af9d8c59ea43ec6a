"""Edges that mutants of the code showed untested. Oracles: counted by hand, or the docstring's own words."""

import math
from dataclasses import astuple, replace

import numpy as np

from mien.evaluation.corruptions import _fill
from mien.evaluation.curves import precision_recall_points
from mien.evaluation.estimates import evaluate_predictions, evaluate_subsets
from mien.evaluation.named_metrics import resample
from mien.evaluation.seed_variance import spread


def test_two_seeds_have_a_deviation(scored):
    runs = [scored(np.arange(40) % 3, ("a", "b", "c"), seed=seed) for seed in range(2)]
    (found,) = spread(resample(runs, ["accuracy"], 5))
    first, second = found.values
    assert math.isclose(found.deviation, abs(first - second) / math.sqrt(2))


def test_without_a_positive_a_curve_has_no_points():
    assert [len(each) for each in precision_recall_points(np.zeros(4, bool), np.arange(4.0))] == [0, 0, 0]


def test_an_empty_subset_has_no_accuracy(scored):
    predictions = scored(np.arange(12) % 3, ("a", "b", "c"))
    (none,) = evaluate_subsets(predictions, {"none": np.zeros(12, bool)}, 5, 0)
    assert astuple(none)[:2] == ("none", 0)
    assert math.isnan(none.accuracy.value)


def test_metrics_json_says_how_many_groups_were_drawn(scored):
    evaluation = evaluate_predictions(scored(np.arange(12) % 3, ("a", "b", "c")), 5)
    assert "groups" not in evaluation.to_dict()["intervals"]
    assert replace(evaluation, groups=3).to_dict()["intervals"]["groups"] == 3


def test_what_covers_a_corner_keeps_its_size():
    images = np.zeros((1, 10, 10), np.uint8)
    images[0, 0, 0] = 200
    for centre in (0.0, 1.0):
        covered = _fill(images, np.array([centre]), np.array([centre]), 0.4, 0.4)
        assert (covered[0] == 2).sum() == 16
