"""``mien.plot_embeddings``: a scatter plot of a model's features."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.api.inputs import Data, Model, for_labels, read
from mien.base.errors import DataError, needs_extra
from mien.base.labels import colour_of
from mien.page.chart import COLOURS, INK, Chart
from mien.page.plots import embedding_chart
from mien.pipeline.split_predictions import with_model_classes

Floats = npt.NDArray[np.float64]
MIN_FACES = 4
"""Fewer points make no picture, and t-SNE needs some."""


def plot_embeddings(
    model: Model,
    data: Data,
    *,
    method: Literal["pca", "tsne"] = "pca",
    color_by: Literal["class", "mistake"] = "class",
    split: str = "validation",
    max_faces: int = 3000,
    seed: int = 0,
) -> Chart:
    """Plot the embeddings of faces, ``Predictor.features``, in two dimensions.

    Args:
        model: a loaded model or its name or path.
        data: labelled faces.
        method: ``"pca"``, principal components; ``"tsne"``, t-SNE of scikit-learn (van der Maaten & Hinton 2008), which
            needs the extra ``sklearn``. Distances between clusters of t-SNE mean nothing.
        color_by: ``"class"``: the label; ``"mistake"``: whether the prediction is the label.
        split: train or validation. Only :func:`mien.evaluate` may use the test split.
        max_faces: at most so many faces, chosen at random.
        seed: seed of the choice and of t-SNE.

    Raises:
        DataError: no such method or colour (``option-unknown``), the test split (``split-test``), or fewer than 4 faces
            (``no-faces``).
        ModelError: the model file has no features (``features-missing``).
        MissingExtraError: matplotlib or scikit-learn is not installed.
    """
    for name, value, known in (("method", method, ("pca", "tsne")), ("color_by", color_by, ("class", "mistake"))):
        if value not in known:
            raise DataError(f"{name} is {' or '.join(known)}; found {value!r}.", code="option-unknown")
    if split not in {"train", "validation"}:
        raise DataError(f"split is train or validation; found {split!r}.", code="split-test")
    predictor = for_labels(model)
    faces = read(data, *predictor.manifest.input.size_and_channels).faces.of_split(split)
    faces = with_model_classes(predictor, faces)
    if len(faces) < MIN_FACES:
        raise DataError(f"Embeddings need {MIN_FACES} faces of {split}; found {len(faces)}.", code="no-faces")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(faces))[:max_faces])
    images, labels = np.asarray(faces.images)[chosen], faces.labels[chosen]
    features = predictor.features(images).astype(np.float64)
    points = pca(features) if method == "pca" else tsne(features, seed)
    if color_by == "class":
        groups = {
            name: (colour_of(name, index), np.flatnonzero(labels == index))
            for index, name in enumerate(faces.classes)
            if (labels == index).any()
        }
    else:
        correct = predictor.probabilities(images).argmax(axis=1) == labels
        groups = {"correct": (INK, np.flatnonzero(correct)), "mistake": (COLOURS[5], np.flatnonzero(~correct))}
    return embedding_chart(points, groups, {"pca": "principal component", "tsne": "t-SNE"}[method])


def pca(features: Floats) -> Floats:
    """Project features (N, D) onto their first two principal components: (N, 2)."""
    centred = features - features.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # Without a fixed sign, the picture could be mirrored on another machine.
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    return np.asarray(centred @ axes.T)


def tsne(features: Floats, seed: int) -> Floats:
    """Embed features (N, D) by t-SNE: (N, 2)."""
    with needs_extra("sklearn", "t-SNE"):
        from sklearn.manifold import TSNE
    perplexity = min(30.0, (len(features) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features))
