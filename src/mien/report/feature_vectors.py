"""The network's features of evaluated and training faces, and the neighbours that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.errors import needs_extra
from mien.evaluation.error_analysis import Indices
from mien.inference.predictor import Predictor
from mien.preprocess import grey_stack
from mien.progress import track

FEATURE_BATCH = 256

SEARCHED = 10_000
"""Most training faces whose features are computed: about seven seconds of work."""

SHARED_FROM = 1000
"""Points of a map from which on several threads are worth their waiting for one another."""

_SIMILAR_PX = 12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Features:
    """Outputs of the network's last layer before the classifier.

    Attributes:
        of_samples: float (N, D), of the evaluated samples.
        of_training: float (M, D), of the searched training faces.
        training: these M faces; None without a training split.
        training_count: number of all training faces.
    """

    of_samples: npt.NDArray[Any]
    of_training: npt.NDArray[Any]
    training: Dataset | None
    training_count: int = 0


def extract_features(
    model: Predictor, images: npt.NDArray[np.uint8], mistakes: Indices, all_faces: Dataset
) -> Features:
    """Compute the features of samples and of training faces.

    Of more than :data:`SEARCHED` training faces, those whose pixels are most similar to one of the worst mistakes are
    taken: all faces of FER2013 would take longer than the rest of the report.

    Args:
        model: the model.
        images: uint8 (N, S, S[, 3]), the samples; none of the test split.
        mistakes: indices of the worst mistakes among the samples.
        all_faces: the faces of all splits, under the classes of the model.

    Raises:
        ModelError: the model file has no feature output.
    """
    of_samples = _in_batches(model, images, "features")
    if not (all_faces.split == "train").any():
        return Features(of_samples, np.empty((0, of_samples.shape[1])), None)
    training = all_faces.of_split("train")
    searched = training.subset(most_similar_images(images[mistakes], training.images, SEARCHED))
    of_training = _in_batches(model, searched.images, "features of training")
    return Features(of_samples, of_training, searched, len(training))


def most_similar_images(images: npt.NDArray[np.uint8], training: npt.NDArray[np.uint8], count: int) -> Indices:
    """Find training images that are most similar to any of some images, by the cosine of their centred pixels.

    The images are compared at 12 x 12 pixels, which keeps pose and light. Identical images are always found.

    Args:
        images: uint8 (K, S, S[, 3]).
        training: uint8 (M, S, S[, 3]).
        count: how many at most.

    Returns:
        Indices int64, ascending; all M if ``count`` is at least M, the first ``count`` if K is 0.
    """
    if len(training) <= count or not len(images):
        return np.arange(min(len(training), count), dtype=np.int64)
    cosines = _thumbnails(training) @ _thumbnails(images).T
    return np.sort(np.argsort(-cosines.max(axis=1), kind="stable")[:count]).astype(np.int64)


def project_features(features: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """PCA and t-SNE (van der Maaten & Hinton 2008) of features, (N, D) -> two float64 (N, 2); N at least 4.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with needs_extra("report", "A map of features"):
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    values = np.asarray(features, dtype=np.float64)
    parts = min(30, *values.shape)
    reduced = PCA(parts, svd_solver="full").fit_transform(values)
    if parts < 2:
        reduced = np.pad(reduced, ((0, 0), (0, 2 - parts)))
    perplexity = min(30.0, (len(values) - 1) / 3)
    start = reduced[:, :2] / max(reduced[:, 0].std(), 1e-12) * 1e-4
    tsne = TSNE(2, perplexity=perplexity, init=start, random_state=0)
    # Threads that share a few points wait for one another most of the time, on a busy machine tenfold.
    with threadpool_limits(1 if len(values) < SHARED_FROM else None):
        return reduced[:, :2], np.asarray(tsne.fit_transform(reduced), dtype=np.float64)


def nearest_training(of_samples: npt.NDArray[Any], of_training: npt.NDArray[Any], count: int) -> tuple[Indices, Floats]:
    """The nearest training faces by the cosine of their features.

    Args:
        of_samples: float (K, D).
        of_training: float (M, D), M at least 1.
        count: neighbours of each sample, at most M.

    Returns:
        Indices int64 (K, count), the most similar first, and their cosines float64 (K, count).
    """
    samples, training = (_unit(np.asarray(each, dtype=np.float64)) for each in (of_samples, of_training))
    cosines = samples @ training.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return order.astype(np.int64), np.take_along_axis(cosines, order, axis=1)


def _in_batches(model: Predictor, images: npt.NDArray[np.uint8], what: str) -> npt.NDArray[np.float32]:
    starts = range(0, len(images), FEATURE_BATCH)
    batches = track(starts, total=len(starts), what=what, unit="batches")
    return np.concatenate([model.features(images[first : first + FEATURE_BATCH]) for first in batches])


def _thumbnails(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Faces uint8 (N, S, S[, 3]) as float32 (N, 144): mean grey of a 12 x 12 grid, centred, of length 1."""
    side = images.shape[1]
    edges = np.linspace(0, side, _SIMILAR_PX + 1).astype(np.int64)
    matrix = np.zeros((_SIMILAR_PX, side), dtype=np.float32)
    for line, first, last in zip(matrix, edges[:-1], np.maximum(edges[1:], edges[:-1] + 1), strict=True):
        line[first:last] = 1 / (last - first)
    greys = (grey_stack(np.asarray(images[at : at + 512])) for at in range(0, len(images), 512))
    parts = [matrix @ grey.astype(np.float32) @ matrix.T for grey in greys]
    small = np.concatenate(parts).reshape(len(images), -1)
    return _unit(small - small.mean(axis=1, keepdims=True)).astype(np.float32)


def _unit(values: npt.NDArray[Any]) -> Floats:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0), dtype=np.float64)
