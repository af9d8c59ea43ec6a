"""Oracles: scikit-learn's neighbours; points that must stay apart; votes read by hand."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from mien.report.sections.features import blame, nearest_training, two_dimensions


def test_nearest_are_scikit_learns_by_cosine():
    generator = np.random.default_rng(0)
    rows, training = generator.normal(size=(6, 5)), generator.normal(size=(50, 5))
    places, cosines = nearest_training(rows, training, 4)
    distance, expected = NearestNeighbors(n_neighbors=4, metric="cosine").fit(training).kneighbors(rows)
    assert places.tolist() == expected.tolist()
    assert np.allclose(cosines, 1 - distance, atol=1e-12)
    assert nearest_training(np.zeros((1, 5)), training, 2)[1].tolist() == [[0.0, 0.0]]


def test_two_clusters_stay_apart_in_both_maps():
    features = np.random.default_rng(0).normal(size=(60, 8)) + np.repeat([[0.0], [30.0]], 30, axis=0)
    for points in two_dimensions(features):
        assert points.shape == (60, 2)
        centres = points[:30].mean(axis=0), points[30:].mean(axis=0)
        spread = max(points[:30].std(), points[30:].std())
        assert np.linalg.norm(centres[0] - centres[1]) > spread
    assert all(points.shape == (4, 2) for points in two_dimensions(np.arange(4.0)[:, None]))


def test_whose_mistake_it_is():
    classes = ("angry", "fear", "happy")
    votes = np.array([0, 0, 0, 0, 0, 0, 6, 0, 0, 4])
    assert blame(votes, classes, 1) == "label"
    assert blame(votes, classes, 0) == "network"
    assert blame(None, classes, 1) == "network"
