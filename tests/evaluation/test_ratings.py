"""Values that a model predicts beside classes, against people's ratings: types, and what has no correlation."""

import math

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.metrics import concordance
from mien.evaluation.predictions import Predictions, RatedValues
from support import raises


def rated(values, ratings=None):
    values = np.asarray(values)[:, np.newaxis]
    return RatedValues(("valence",), values, values if ratings is None else np.asarray(ratings)[:, np.newaxis])


def measure_ratings(values, resamples=100):
    """The metrics of values beside classes, as in an evaluation."""
    count = len(values.values)
    arrays = (np.arange(count), np.zeros(count, int), np.tile([1.0, 0.0], (count, 1)))
    evaluation = evaluate_predictions(Predictions(*arrays, ("a", "b"), "x", "", rated=values), resamples)
    return {name: each for name, each in evaluation.headline.items() if name.startswith("valence")}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_ratings_in_half_precision_equal_double_precision(dtype):
    """Oracle: the same numbers as float64."""
    y = np.linspace(-1, 1, 500).astype(dtype)
    x = (y + dtype(0.01) * np.resize([1, -2], 500).astype(dtype)).astype(dtype)
    short, whole = measure_ratings(rated(x, y)), measure_ratings(rated(x.astype(float), y.astype(float)))
    assert short == whole
    assert short["valence_rmse"].low <= short["valence_rmse"].value <= short["valence_rmse"].high
    assert short["valence_ccc"].value == pytest.approx(concordance(x.astype(float), y.astype(float)))


@pytest.mark.parametrize("value", [0.1, 0.3, -0.7])
@pytest.mark.parametrize("count", [3, 10])
def test_equal_ratings_have_no_concordance(value, count):
    found = measure_ratings(rated(np.full(count, value)), resamples=20)
    assert math.isnan(found["valence_ccc"].value)
    assert found["valence_rmse"].value == 0


def test_ratings_may_be_nan_but_values_may_not():
    found = measure_ratings(rated([0.5, 0.1, 0.4, 0.9], [np.nan, 0.2, 0.5, 0.7]))
    by_hand = measure_ratings(rated([0.1, 0.4, 0.9], [0.2, 0.5, 0.7]))
    assert [each.value for each in found.values()] == pytest.approx([each.value for each in by_hand.values()])
    assert not measure_ratings(rated([0.5, 0.5], [np.nan, 0.5])), "one rating has no concordance"
    with raises(DataError, "values-type"):
        rated([np.nan, 0.5], [0.5, 0.5])
