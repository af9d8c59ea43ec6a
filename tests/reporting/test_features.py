"""Oracles: scikit-learn's neighbours; points that must stay apart."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from mien.reporting.features import nearest_training, project_features


def test_nearest_are_scikit_learns_by_cosine():
    generator = np.random.default_rng(0)
    rows, training = generator.normal(size=(6, 5)), generator.normal(size=(50, 5))
    places, cosines = nearest_training(rows, training, 4)
    distance, expected = NearestNeighbors(n_neighbors=4, metric="cosine").fit(training).kneighbors(rows)
    assert places.tolist() == expected.tolist()
    assert np.allclose(cosines, 1 - distance, atol=1e-12)
    assert nearest_training(np.zeros((1, 5)), training, 2)[1].tolist() == [[0.0, 0.0]]


def test_two_clusters_stay_apart():
    features = np.random.default_rng(0).normal(size=(60, 8)) + np.repeat([[0.0], [30.0]], 30, axis=0)
    points = project_features(features)
    assert points.shape == (60, 2)
    centres = points[:30].mean(axis=0), points[30:].mean(axis=0)
    assert np.linalg.norm(centres[0] - centres[1]) > max(points[:30].std(), points[30:].std())
    assert project_features(np.arange(4.0)[:, None]).shape == (4, 2)
