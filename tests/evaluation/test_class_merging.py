"""Oracles: scipy.cluster.hierarchy, LabelScheme's own merging, scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn import metrics as sk

from mien.base.labels import LabelScheme, parse_scheme
from mien.evaluation import error_analysis as merging
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from support import random_case


@settings(deadline=None)
@given(st.integers(0, 100_000), st.integers(2, 9))
def test_the_dendrogram_is_scipys(seed, classes):
    distance = np.random.default_rng(seed).random((classes, classes))
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0)
    expected = hierarchy.linkage(squareform(distance), "average")
    found = merging.average_linkage(distance)
    np.testing.assert_allclose(found.merges, expected, rtol=1e-9)
    np.testing.assert_array_equal(found.order, hierarchy.leaves_list(expected))
    for count in range(1, classes + 1):
        of_class = hierarchy.fcluster(expected, count, "maxclust")
        assert found.groups(count) == tuple(
            sorted(tuple(np.flatnonzero(of_class == number).tolist()) for number in set(of_class))
        )


def test_distance_by_hand():
    # 2 of 10 are taken for class 1, 3 of 5 for class 0: 1 - (.2 + .6) / 2. Class 2 has no row.
    found = merging.confusion_distance(np.array([[8, 2, 0], [3, 2, 0], [0, 0, 0]]))
    np.testing.assert_allclose(found, [[0, 0.6, 1], [0.6, 0, 1], [1, 1, 0]], rtol=1e-12)


def test_schemes_follow_the_dendrogram():
    labels, probabilities = random_case(2, classes=5)
    found = merging.merged_schemes(labels, probabilities)
    names = [f"class {index}" for index in range(5)]
    assert [len(scheme.groups) for scheme in found.schemes] == [2, 3, 4, 5]
    for scheme in found.schemes:
        assert scheme.groups == found.dendrogram.groups(len(scheme.groups))
        own = LabelScheme("own", {str(group): tuple(names[each] for each in group) for group in scheme.groups})
        truth = own.merge_labels(labels, names)
        predictions = own.merge_probabilities(probabilities, names).argmax(axis=1)
        assert scheme.accuracy.value == pytest.approx(sk.accuracy_score(truth, predictions), abs=1e-9)
        assert scheme.macro_f1 == pytest.approx(sk.f1_score(truth, predictions, average="macro"), abs=1e-9)
        assert scheme.chance == np.bincount(truth).max() / 300
    of_all = evaluate_predictions(Predictions(np.arange(300), labels, probabilities, tuple(names), "test", ""))
    assert found.schemes[-1].accuracy.to_dict() == pytest.approx(of_all.accuracy.to_dict(), abs=1e-9)
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_classes_that_are_confused_join_first():
    labels = np.repeat([0, 1, 2, 3], 50)
    predictions = np.where(np.arange(200) % 3 == 0, np.array([2, 3, 0, 1])[labels], labels)
    assert merging.merged_schemes(labels, np.eye(4)[predictions]).schemes[0].groups == ((0, 2), (1, 3))


def test_a_scheme_can_be_trained_with():
    scheme = merging.scheme_of(((0, 2), (1,), (3,)), ("angry", "disgust", "fear", "happy"))
    assert scheme.groups == {"angry+fear": ("angry", "fear"), "disgust": ("disgust",), "happy": ("happy",)}
    assert parse_scheme(scheme.name) == scheme


def test_two_classes_an_absent_one_and_one_row():
    two = merging.merged_schemes(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
    assert two.dendrogram.merges.tolist() == [[0, 1, 0.5, 2]]
    assert [scheme.groups for scheme in two.schemes] == [((0,), (1,))]
    one = merging.merged_schemes(np.array([1]), np.full((1, 4), 0.25))
    assert [len(scheme.groups) for scheme in one.schemes] == [2, 3, 4]
    json.dumps([two.to_dict(), one.to_dict()], allow_nan=False)
