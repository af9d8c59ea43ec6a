"""Values that a model predicts beside classes, against people's ratings: types, and what has no correlation."""

import math

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.evaluation.estimates import measure_ratings
from mien.evaluation.predictions import RatedValues
from support import raises


def rated(values, ratings=None):
    values = np.asarray(values)[:, np.newaxis]
    return RatedValues(("valence",), values, values if ratings is None else np.asarray(ratings)[:, np.newaxis])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_floats_are_measured_as_long_ones(dtype):
    """Oracle: the same numbers as float64."""
    y = np.linspace(-1, 1, 500).astype(dtype)
    x = (y + dtype(0.01) * np.resize([1, -2], 500).astype(dtype)).astype(dtype)
    short, whole = measure_ratings(rated(x, y)), measure_ratings(rated(x.astype(float), y.astype(float)))
    assert short == whole
    assert short["valence_rmse"].low <= short["valence_rmse"].value <= short["valence_rmse"].high


@pytest.mark.parametrize("value", [0.1, 0.3, -0.7])
@pytest.mark.parametrize("count", [3, 10])
def test_equal_ratings_have_no_concordance(value, count):
    found = measure_ratings(rated(np.full(count, value)), resamples=20)
    assert math.isnan(found["valence_ccc"].value)
    assert found["valence_rmse"].value == 0


def test_a_rating_may_lack_and_a_value_may_not():
    rated([0.5, 0.5], [np.nan, 0.5])
    with raises(DataError, "values-type"):
        rated([np.nan, 0.5], [0.5, 0.5])
