"""Oracles: faces made alike by hand; scikit-learn's neighbours; points that must stay apart; votes read by hand."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from mien.labels import FERPLUS_CLASSES
from mien.report.feature_vectors import most_similar_images, nearest_training, project_features
from mien.report.sections.features import blame


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
    for points in project_features(features):
        assert points.shape == (60, 2)
        centres = points[:30].mean(axis=0), points[30:].mean(axis=0)
        spread = max(points[:30].std(), points[30:].std())
        assert np.linalg.norm(centres[0] - centres[1]) > spread
    assert all(points.shape == (4, 2) for points in project_features(np.arange(4.0)[:, None]))


def test_whose_mistake_it_is():
    classes = ("angry", "fear", "happy")
    votes = np.array([0, 0, 0, 0, 0, 0, 6, 0, 0, 4])
    assert blame(votes, FERPLUS_CLASSES, classes, 1) == "label"
    assert blame(votes, FERPLUS_CLASSES, classes, 0) == "network"
    assert blame(None, FERPLUS_CLASSES, classes, 1) == blame(0 * votes, FERPLUS_CLASSES, classes, 1) == ""


def test_look_alikes_are_the_same_face_in_other_light(faces):
    """Of 200 faces: two copies of the first, one of them darker, one of the second with noise; then whatever else."""
    images = np.asarray(faces.images[:2])
    training = np.asarray(faces.images[200:400]).copy()
    training[17], training[60] = images[0], images[0] // 2 + 20
    noise = np.random.default_rng(0).integers(0, 40, images[1].shape)
    training[33] = np.clip(images[1].astype(int) + noise, 0, 255)
    assert most_similar_images(images, training, 3).tolist() == [17, 33, 60]
    found = most_similar_images(images, training, 50)
    assert {17, 33, 60} < set(found.tolist())
    assert (np.diff(found) > 0).all()
    assert most_similar_images(images, training, 200).tolist() == list(range(200))
    assert most_similar_images(images[:0], training, 4).tolist() == [0, 1, 2, 3]


def test_a_face_of_fewer_pixels_has_look_alikes_too():
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    assert most_similar_images(images[5:6], images, 1).tolist() == [5]
