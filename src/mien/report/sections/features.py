"""What the network makes of faces: its features on a map, and the nearest training faces of each worst mistake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.audit.votes import ANSWERS
from mien.data.faceset import FaceSet
from mien.errors import needs_extra
from mien.evaluation.failures import Indices, worst_mistakes
from mien.labels import canonical_class
from mien.report.blocks import Block, Column, Face, Faces, Pair, Plot, Section, Table, Text
from mien.report.material import Material
from mien.report.pictures import data_address
from mien.report.plots_attention import scatter_plot
from mien.report.sections.failures import WORST, mistake
from mien.report.svg import COLOURS

MAPPED = 1000
"""Faces on the map: t-SNE takes seconds for so many, minutes for ten times as many."""

SEARCHED = 10_000
"""Training faces whose features are made: seven seconds of them."""

_ALIKE_PX = 12

NEIGHBOURS = 5

_CLASS_COLOURS = (*COLOURS, "#7f7f7f", "#8c6d31", "#17becf", "#bcbd22")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Features:
    """What the network's last layer sees.

    Attributes:
        of_rows: float (N, D), of the rows of the scores.
        of_training: float (M, D), of the training faces that are searched.
        training: these M faces; None where there is no training split.
        training_count: how many the training split has.
    """

    of_rows: npt.NDArray[Any]
    of_training: npt.NDArray[Any]
    training: FaceSet | None
    training_count: int = 0


def features_section(material: Material, features: Features) -> Section:
    """Maps by PCA and t-SNE, and the nearest training faces of the worst mistakes; needs the faces."""
    blocks: list[Block] = []
    if len(material.scores) >= 4:
        blocks += _maps(material, features.of_rows)
    if features.training is not None and len(features.training):
        blocks += _nearest(material, features, features.training)
    if not blocks:
        blocks.append(Text("There are too few faces for a map."))
    return Section("features", "How does it see the faces?", tuple(blocks))


def two_dimensions(features: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """PCA and t-SNE (van der Maaten & Hinton 2008) of features, (N, D) -> two float64 (N, 2); N at least 4.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with needs_extra("report", "A map of features"):
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    values = np.asarray(features, dtype=np.float64)
    parts = min(30, *values.shape)
    reduced = PCA(parts, svd_solver="full").fit_transform(values)
    if parts < 2:
        reduced = np.pad(reduced, ((0, 0), (0, 2 - parts)))
    perplexity = min(30.0, (len(values) - 1) / 3)
    spread = TSNE(
        2, perplexity=perplexity, init=reduced[:, :2] / max(reduced[:, 0].std(), 1e-12) * 1e-4, random_state=0
    )
    return reduced[:, :2], np.asarray(spread.fit_transform(reduced), dtype=np.float64)


def nearest_training(of_rows: npt.NDArray[Any], of_training: npt.NDArray[Any], count: int) -> tuple[Indices, Floats]:
    """The nearest training faces by the cosine of their features.

    Args:
        of_rows: float (K, D).
        of_training: float (M, D), M at least 1.
        count: neighbours of each, at most M.

    Returns:
        Places int64 (K, count), the most alike first, and their cosines float64 (K, count).
    """
    rows, training = (_unit(np.asarray(each, dtype=np.float64)) for each in (of_rows, of_training))
    cosines = rows @ training.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return order.astype(np.int64), np.take_along_axis(cosines, order, axis=1)


def look_alikes(images: npt.NDArray[np.uint8], training: npt.NDArray[np.uint8], count: int) -> Indices:
    """The training faces that look most like one of some faces: by the cosine of their pixels less their mean.

    Pixels are those of the faces at 12 x 12, which leaves pose and light. Identical faces are always found.

    Args:
        images: uint8 (K, S, S).
        training: uint8 (M, S, S).
        count: how many at most.

    Returns:
        Places int64, ascending; all M where ``count`` suffices, the first ``count`` where K is 0.
    """
    if len(training) <= count or not len(images):
        return np.arange(min(len(training), count), dtype=np.int64)
    cosines = _small(training) @ _small(images).T
    return np.sort(np.argsort(-cosines.max(axis=1), kind="stable")[:count]).astype(np.int64)


def blame(votes: npt.NDArray[Any] | None, classes: tuple[str, ...], read: int) -> str:
    """Whose mistake a mistake is likely to be: the ``"label"``'s, where most people voted for the class that was read;
    else ``"network"``.
    """
    if votes is not None:
        top = canonical_class(ANSWERS[int(np.argmax(votes))])
        if 2 * votes.max() > votes.sum() and top == classes[read]:
            return "label"
    return "network"


def _maps(material: Material, features: npt.NDArray[Any]) -> list[Block]:
    count = len(features)
    chosen = np.arange(count)
    if count > MAPPED:
        chosen = np.sort(np.random.default_rng(0).choice(count, MAPPED, replace=False))
    pca, spread = two_dimensions(features[chosen])
    labels, wrong = material.scores.labels[chosen], (~material.correct[chosen]).astype(np.int64)
    colours = [_CLASS_COLOURS[index % len(_CLASS_COLOURS)] for index in range(len(material.classes))]
    blocks: list[Block] = []
    for name, title, points in (("tsne", "t-SNE", spread), ("pca", "PCA", pca)):
        by_class = scatter_plot(f"features-{name}-class", points, labels, material.classes, colours)
        by_error = scatter_plot(f"features-{name}-error", points, wrong, ("right", "wrong"), ("#9aa3b2", COLOURS[5]))
        blocks.append(
            Pair(
                (
                    Plot(by_class, f"{title} of {len(chosen):,} faces' features, by true class."),
                    Plot(by_error, "The same, by whether it was read rightly."),
                )
            )
        )
    rows = [
        (int(material.scores.rows[at]), material.classes[material.scores.labels[at]], bool(material.correct[at]), *xy)
        for at, xy in zip(chosen, np.hstack([pca, spread]).tolist(), strict=True)
    ]
    names = ("row", "true class", "right")
    columns = (
        *(Column(name, "text") for name in names),
        *(Column(name) for name in ("PCA 1", "PCA 2", "t-SNE 1", "t-SNE 2")),
    )
    blocks.append(Table("feature-map", columns, rows, shown=0))
    return blocks


def _nearest(material: Material, features: Features, training: FaceSet) -> list[Block]:
    assert material.faces is not None
    worst = worst_mistakes(material.scores.labels, material.scores.probabilities, WORST)
    if not len(worst):
        return []
    places, cosines = nearest_training(features.of_rows[worst], features.of_training, min(NEIGHBOURS, len(training)))
    votes = material.votes
    cards, rows, among = [], [], 0
    for at, near, alike in zip(worst, places, cosines, strict=True):
        read = int(material.predictions[at])
        whose = blame(None if votes is None else votes[at], material.classes, read)
        among += bool(2 * (training.labels[near] == read).sum() > len(near))
        like = tuple(
            Face(data_address(training.images[place]), f"{material.classes[training.labels[place]]} {cosine:.2f}")
            for place, cosine in zip(near, alike, strict=True)
        )
        card = mistake(material, int(at), like, "Nearest training faces, with the cosine of their features:")
        cards.append(Face(card.picture, f"{card.words} ({whose}?)", card.detail, card.like, card.like_title))
        names = ", ".join(material.classes[training.labels[place]] for place in near)
        rows.append((int(material.scores.rows[at]), whose, names, float(alike[0])))
    of_label = sum(row[1] == "label" for row in rows)
    said = (
        f"The network sees {among} of the {len(rows)} worst mistakes among training faces of the class that it read: "
    )
    said += f"most of the {places.shape[1]} nearest bear it. A click shows them."
    if votes is not None:
        said += f" {of_label} may be the label's mistake: most people voted for what was read."
    columns = (
        Column("row", "text"), Column("whose", "text"), Column("nearest training faces", "text"), Column("cosine"),
    )  # fmt: skip
    if len(training) < features.training_count:
        said += (
            f" Searched were the {len(training):,} of {features.training_count:,} training faces whose pixels are most "
            f"like those of a mistake."
        )
    caution = (
        "The neighbours are by the network's own features, so they mostly agree with what it read: they show how it "
        "sees a face, and are no cause of the mistake."
    )
    return [
        Text(said),
        Text(caution, soft=True),
        Faces("", tuple(cards)),
        Table("nearest-training-faces", columns, rows, shown=0),
    ]


def _small(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Faces uint8 (N, S, S) as float32 (N, 144): means of pixels at 12 x 12 places, less their mean, of length 1."""
    side = images.shape[-1]
    edges = np.linspace(0, side, _ALIKE_PX + 1).astype(np.int64)
    matrix = np.zeros((_ALIKE_PX, side), dtype=np.float32)
    for line, first, last in zip(matrix, edges[:-1], np.maximum(edges[1:], edges[:-1] + 1), strict=True):
        line[first:last] = 1 / (last - first)
    parts = [matrix @ images[at : at + 512].astype(np.float32) @ matrix.T for at in range(0, len(images), 512)]
    small = np.concatenate(parts).reshape(len(images), -1)
    return _unit(small - small.mean(axis=1, keepdims=True)).astype(np.float32)


def _unit(values: npt.NDArray[Any]) -> Floats:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0), dtype=np.float64)
