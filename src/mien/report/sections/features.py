"""The network's features of the faces on a map, and the nearest training faces of each worst mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.colours import class_colours
from mien.data.dataset import Dataset
from mien.errors import ModelError, Notice
from mien.evaluation.error_analysis import worst_mistakes
from mien.evaluation.ferplus import majority
from mien.page.blocks import Block, CaptionedChart, ChartRow, Column, FaceRow, FaceTile, Section, Table, Text
from mien.page.charts.svg import COLOURS
from mien.page.images import data_address
from mien.report.attention_charts import scatter_chart
from mien.report.context import ReportContext, Skipped
from mien.report.feature_vectors import Features, extract_features, nearest_training, project_features
from mien.report.sections.errors import WORST, mistake_tile

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
    worst = worst_mistakes(context.predictions.labels, context.predictions.probabilities, WORST)
    try:
        features = extract_features(context.model, context.faces.images, worst, context.all_faces)
    except ModelError as error:
        return Skipped(Notice(f"Feature map skipped. {error}", code=error.code))
    return show_features(context, features)


def show_features(context: ReportContext, features: Features) -> Section:
    """Maps by PCA and t-SNE, and the nearest training faces of the worst mistakes; needs the faces."""
    blocks: list[Block] = []
    if len(context.predictions) >= 4:
        blocks += _maps(context, features.of_samples)
    if features.training is not None and len(features.training):
        blocks += _nearest(context, features, features.training)
    if not blocks:
        blocks.append(Text("There are too few faces for a map."))
    return Section("features", "Feature map", tuple(blocks))


def blame(votes: npt.NDArray[Any] | None, answers: tuple[str, ...], classes: tuple[str, ...], predicted: int) -> str:
    """What a mistake is likely due to: ``"label"`` if the majority is the predicted class, else ``"network"``.

    ``""`` where nobody voted.

    Args:
        votes: of the face (V,), for each of ``answers``; None if unknown.
        answers: V class names.
        classes: C class names.
        predicted: index of the predicted class.
    """
    if votes is None or not votes.any():
        return ""
    best = int(majority(votes[np.newaxis], answers)[0])
    return "label" if best >= 0 and answers[best] == classes[predicted] else "network"


def _maps(context: ReportContext, features: npt.NDArray[Any]) -> list[Block]:
    count = len(features)
    chosen = np.arange(count)
    if count > MAPPED:
        chosen = np.sort(np.random.default_rng(0).choice(count, MAPPED, replace=False))
    pca, tsne = project_features(features[chosen])
    labels, wrong = context.predictions.labels[chosen], (~context.correct[chosen]).astype(np.int64)
    colours = list(class_colours(context.classes).values())
    blocks: list[Block] = []
    for name, title, points in (("tsne", "t-SNE", tsne), ("pca", "PCA", pca)):
        by_class = scatter_chart(f"features-{name}-class", points, labels, context.classes, colours)
        kinds, kind_colours = ("correct", "wrong"), ("#9aa3b2", COLOURS[5])
        by_error = scatter_chart(f"features-{name}-error", points, wrong, kinds, kind_colours)
        blocks.append(
            ChartRow(
                (
                    CaptionedChart(by_class, f"{title} of the features of {len(chosen):,} faces, by true class."),
                    CaptionedChart(by_error, "The same map, by correct and wrong predictions."),
                )
            )
        )
    predictions = context.predictions
    rows = [
        (int(predictions.sample_ids[at]), context.classes[predictions.labels[at]], bool(context.correct[at]), *xy)
        for at, xy in zip(chosen, np.hstack([pca, tsne]).tolist(), strict=True)
    ]
    columns = (
        *(Column(name, "text") for name in ("sample", "true class", "correct")),
        *(Column(name) for name in ("PCA 1", "PCA 2", "t-SNE 1", "t-SNE 2")),
    )
    blocks.append(Table("feature-map", columns, rows, shown=0))
    return blocks


def _nearest(context: ReportContext, features: Features, training: Dataset) -> list[Block]:
    worst = worst_mistakes(context.predictions.labels, context.predictions.probabilities, WORST)
    if not len(worst):
        return []
    neighbours = min(NEIGHBOURS, len(training))
    indices, cosines = nearest_training(features.of_samples[worst], features.of_training, neighbours)
    votes = context.votes
    tiles, agreeing = [], 0
    rows: list[tuple[Any, ...]] = []
    for at, near, similar in zip(worst, indices, cosines, strict=True):
        predicted = int(context.predicted[at])
        cause = blame(None if votes is None else votes[at], context.vote_classes, context.classes, predicted)
        agreeing += bool(2 * (training.labels[near] == predicted).sum() > len(near))
        names = [context.classes[training.labels[index]] for index in near]
        like = tuple(
            FaceTile(data_address(training.images[index]), f"{name} {cosine:.2f}")
            for index, name, cosine in zip(near, names, similar, strict=True)
        )
        tile = mistake_tile(context, int(at), like, "Nearest training faces, with the cosine similarity of features:")
        caption = f"{tile.caption} ({cause}?)" if cause else tile.caption
        tiles.append(FaceTile(tile.image, caption, tile.detail, tile.like, tile.like_title))
        rows.append((int(context.predictions.sample_ids[at]), cause, ", ".join(names), float(similar[0])))
    columns: tuple[Column, ...] = (
        Column("sample", "text"), Column("cause", "text"), Column("nearest training faces", "text"), Column("cosine"),
    )  # fmt: skip
    if votes is None:
        columns, rows = (columns[0], *columns[2:]), [(row[0], *row[2:]) for row in rows]
    caution = (
        "The neighbours are found by the network's own features, so they mostly agree with its predictions. They show "
        "how the network represents a face. They are not the cause of a mistake."
    )
    return [
        Text(_nearest_words(features, training, agreeing, rows, has_votes=votes is not None)),
        Text(caution, soft=True),
        FaceRow("", tuple(tiles)),
        Table("nearest-training-faces", columns, rows, shown=0),
    ]


def _nearest_words(
    features: Features, training: Dataset, agreeing: int, rows: list[tuple[Any, ...]], *, has_votes: bool
) -> str:
    words = (
        f"For {agreeing} of the {len(rows)} worst mistakes, most of the {min(NEIGHBOURS, len(training))} nearest "
        f"training faces have the predicted class. Click a face to see them."
    )
    if has_votes:
        of_label = sum(row[1] == "label" for row in rows)
        words += f" {of_label} may be label errors: most people voted for the predicted class."
    if len(training) < features.training_count:
        words += (
            f" Searched: {len(training):,} of {features.training_count:,} training faces, those whose pixels are most "
            f"similar to a mistake."
        )
    return words
