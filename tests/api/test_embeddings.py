"""Oracles: scikit-learn's PCA; which faces the model predicts rightly."""

import numpy as np
import pytest

import mien
from mien.api.plots import pca
from mien.base.labels import colour_of


def points(chart):
    """Number of points of each group, by the name in the legend."""
    return {each.get_label(): len(each.get_offsets()) for each in chart.figure.axes[0].collections}


def test_pca_equals_scikit_learns():
    decomposition = pytest.importorskip("sklearn.decomposition")
    features = np.random.default_rng(0).normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    expected = decomposition.PCA(2).fit_transform(features)
    assert np.abs(pca(features)) == pytest.approx(np.abs(expected), abs=1e-9)
    assert np.array_equal(pca(features), pca(features))


def test_embeddings_are_coloured_by_class_or_mistake(tiny_run, faces):
    part = faces.of_split("validation")
    chart = mien.plot_embeddings(tiny_run.path, faces)
    assert points(chart) == {name: int((part.labels == at).sum()) for at, name in enumerate(faces.classes)}
    happy = chart.figure.axes[0].collections[faces.classes.index("happy")]
    from matplotlib.colors import to_rgba

    assert tuple(happy.get_facecolor()[0])[:3] == to_rgba(colour_of("happy", 3))[:3]
    correct = mien.load(tiny_run.path).for_labels().probabilities(part.images).argmax(axis=1) == part.labels
    found = points(mien.plot_embeddings(tiny_run.path, faces, color_by="mistake"))
    assert found == {"correct": correct.sum(), "mistake": (~correct).sum()}


def test_tsne_separates_what_is_far_apart(tiny_run, faces, monkeypatch):
    pytest.importorskip("sklearn")
    assert sum(points(mien.plot_embeddings(tiny_run.path, faces, method="tsne", max_faces=30)).values()) == 30
