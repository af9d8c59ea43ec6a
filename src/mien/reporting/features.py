"""The network's features of the faces on a map, and the nearest training faces of each worst mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import ModelError, Notice, needs_extra
from mien.base.labels import class_colours
from mien.base.progress import track
from mien.data.dataset import Dataset
from mien.evaluation.error_analysis import Indices, worst_mistakes
from mien.inference.predictor import Predictor
from mien.page.blocks import Block, CaptionedChart, ChartRow, Column, FaceRow, FaceTile, Section, Table, Text
from mien.page.charts.svg import COLOURS, Chart, legend_above, make_chart, shorten
from mien.page.rendering import data_address
from mien.reporting.context import ReportContext, Skipped, draw_sorted
from mien.reporting.errors import WORST, mistake_tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAPPED = 1000
"""Faces on the map: t-SNE needs seconds for so many, minutes for ten times as many."""

NEIGHBOURS = 5


def features_section(context: ReportContext) -> Section | Skipped:
    """Compute the features of the model and show them; needs the faces and a model."""
    if reason := context.no_new_predictions:
        return Skipped(reason)
    if not context.features:
        return Skipped(Notice("Feature map skipped, as requested.", code="features-not-wanted"))
    assert context.model is not None
    assert context.faces is not None
    assert context.all_faces is not None
    try:
        features = extract_features(context.model, context.faces.images, context.all_faces)
    except ModelError as error:
        return Skipped(Notice(f"Feature map skipped. {error}", code=error.code))
    return show_features(context, features)


def show_features(context: ReportContext, features: Features) -> Section:
    """A map by t-SNE, and the nearest training faces of the worst mistakes; needs the faces."""
    blocks: list[Block] = []
    if len(context.predictions) >= 4:
        blocks += _map(context, features.of_samples)
    if features.training is not None and len(features.training):
        blocks += _nearest(context, features, features.training)
    if not blocks:
        blocks.append(Text("There are too few faces for a map."))
    return Section("features", "Feature map", tuple(blocks))


def _map(context: ReportContext, features: npt.NDArray[Any]) -> list[Block]:
    chosen = draw_sorted(len(features), MAPPED)
    points = project_features(features[chosen])
    labels, wrong = context.predictions.labels[chosen], (~context.correct[chosen]).astype(np.int64)
    colours = list(class_colours(context.classes).values())
    by_class = scatter_chart("features-class", points, labels, context.classes, colours)
    by_error = scatter_chart("features-error", points, wrong, ("correct", "wrong"), ("#9aa3b2", COLOURS[5]))
    predictions = context.predictions
    rows = [
        (int(predictions.sample_ids[at]), context.classes[predictions.labels[at]], bool(context.correct[at]), *xy)
        for at, xy in zip(chosen, points.tolist(), strict=True)
    ]
    columns = (
        *(Column(name, "text") for name in ("sample", "true class", "correct")), Column("t-SNE 1"), Column("t-SNE 2"),
    )  # fmt: skip
    return [
        ChartRow(
            (
                CaptionedChart(by_class, f"t-SNE of the features of {len(chosen):,} faces, by true class."),
                CaptionedChart(by_error, "The same map, by correct and wrong predictions."),
            )
        ),
        Table("feature-map", columns, rows, shown=0),
    ]


def _nearest(context: ReportContext, features: Features, training: Dataset) -> list[Block]:
    worst = worst_mistakes(context.predictions.labels, context.predictions.probabilities, WORST)
    if not len(worst):
        return []
    neighbours = min(NEIGHBOURS, len(training))
    indices, cosines = nearest_training(features.of_samples[worst], features.of_training, neighbours)
    tiles, agreeing = [], 0
    rows: list[tuple[Any, ...]] = []
    for at, near, similar in zip(worst, indices, cosines, strict=True):
        agreeing += bool(2 * (training.labels[near] == context.predicted[at]).sum() > len(near))
        names = [context.classes[training.labels[index]] for index in near]
        like = tuple(
            FaceTile(data_address(training.images[index]), f"{name} {cosine:.2f}")
            for index, name, cosine in zip(near, names, similar, strict=True)
        )
        title = "Nearest training faces, with the cosine similarity of features:"
        tiles.append(mistake_tile(context, int(at), like, title))
        rows.append(
            (context.file_of(int(at)), int(context.predictions.sample_ids[at]), ", ".join(names), float(similar[0]))
        )
    texts = ("file", "sample", "nearest training faces")
    columns = (*(Column(name, "text") for name in texts), Column("cosine"))
    caution = (
        "The neighbours are found by the network's own features, so they mostly agree with its predictions. They show "
        "how the network represents a face. They are not the cause of a mistake."
    )
    return [
        Text(_nearest_words(features, training, agreeing, len(rows))),
        Text(caution, soft=True),
        FaceRow("", tuple(tiles)),
        Table("nearest-training-faces", columns, rows, shown=0),
    ]


def _nearest_words(features: Features, training: Dataset, agreeing: int, worst: int) -> str:
    words = (
        f"For {agreeing} of the {worst} worst mistakes, most of the {min(NEIGHBOURS, len(training))} nearest training "
        f"faces have the predicted class. Click a face to see them."
    )
    if len(training) < features.training_count:
        words += f" Searched: {len(training):,} of {features.training_count:,} training faces, drawn at random."
    return words


FEATURE_BATCH = 256

SEARCHED = 30_000
"""Most training faces whose features are computed: FER2013's are fewer, and take about twenty seconds."""

SHARED_FROM = 1000
"""Points of a map from which on several threads are worth their waiting for one another."""

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


def extract_features(model: Predictor, images: npt.NDArray[np.uint8], all_faces: Dataset) -> Features:
    """Compute the features of samples and of training faces, at most :data:`SEARCHED` drawn at random.

    Args:
        model: the model.
        images: uint8 (N, S, S[, 3]), the samples; none of the test split.
        all_faces: the faces of all splits, under the classes of the model.

    Raises:
        ModelError: the model file has no feature output.
    """
    of_samples = _in_batches(model, images, "features")
    if not (all_faces.split == "train").any():
        return Features(of_samples, np.empty((0, of_samples.shape[1])), None)
    training = all_faces.of_split("train")
    searched = training.subset(draw_sorted(len(training), SEARCHED))
    of_training = _in_batches(model, searched.images, "features of training")
    return Features(of_samples, of_training, searched, len(training))


def project_features(features: npt.NDArray[Any]) -> Floats:
    """t-SNE (van der Maaten & Hinton 2008) of features, (N, D) -> float64 (N, 2); N at least 4.

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
        return np.asarray(tsne.fit_transform(reduced), dtype=np.float64)


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


def _unit(values: npt.NDArray[Any]) -> Floats:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0), dtype=np.float64)


def scatter_chart(
    name: str,
    points: npt.NDArray[np.float64],
    kinds: npt.NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str],
) -> Chart:
    """Points (N, 2) in the colour of their kind (N,); the points are one raster image inside the SVG."""

    def draw(axes: Axes) -> None:
        for kind, (label, colour) in enumerate(zip(names, colours, strict=True)):
            mine = points[kinds == kind]
            if len(mine):
                across, up = mine.T
                axes.scatter(
                    across, up, s=5, color=colour, alpha=0.6, linewidth=0, label=shorten(label), rasterized=True
                )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        legend_above(axes, 4, markerscale=2, handletextpad=0.1)

    return make_chart(name, draw, height_inches=4.2)
