"""The audit of a data set: copies, label errors, bad images, the label-noise ceiling."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mien.base.arrays import Bools, Floats, Ints, Pixels
from mien.base.errors import DataError, Notice
from mien.base.labels import NOT_A_FACE_CLASS
from mien.base.preprocess import grey_stack
from mien.base.progress import busy
from mien.checks.copies import CopyCounts, count_copies, suggest_changes
from mien.checks.image_quality import QualityIssue, by_chunk, outlier_scores, quality_issues, tones
from mien.checks.label_errors import LabelIssues, check_evidence, rank_label_issues
from mien.data.clean import BLANK_BELOW, Change
from mien.data.dataset import SPLITS, Dataset
from mien.data.image_store import convert
from mien.data.splits import group_identical
from mien.data.votes import vote_probabilities
from mien.evaluation.metrics import proportion_among
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.vote_metrics import VoteCeiling, vote_ceiling
from mien.near_copies.finder import NearCopies, contrast, find_near_copies
from mien.pipeline.measured_split import check_fingerprint, match_faces

WEAK_BELOW = 0.5
"""A model with a lower accuracy is too weak to review labels: most labels that it contradicts are right."""


@dataclass(frozen=True, eq=False)
class LabelReview:
    """Labels that predictions of a model contradict, and the share that most voters do too; None without votes."""

    indices: Ints
    predictions: Predictions
    issues: LabelIssues
    flagged_confirmed: Estimate | None


@dataclass(frozen=True, eq=False)
class AuditFindings:
    """Everything that an audit of N faces found.

    Attributes:
        near_counts: counts of identical images and near-copies together.
        outliers: float64 (N,), how unusual each image is; higher is more unusual.
        ceilings: highest expected accuracy on the annotators' majority, for each split with votes.
        label_review: review of the labels by a model's predictions; None if no predictions were given.
        not_checked: sentences about what could not be checked and what it would need.
    """

    faces: Dataset
    near: NearCopies
    identical_counts: CopyCounts
    near_counts: CopyCounts
    quality_issues: Mapping[str, QualityIssue]
    outliers: Floats
    ceilings: Mapping[str, VoteCeiling]
    label_review: LabelReview | None
    changes: tuple[Change, ...]
    not_checked: tuple[Notice, ...]


def find_copies(dataset: Dataset) -> NearCopies:
    """Find identical images and near-copies, which cross-validation keeps together; needs the extra ``audit``."""
    from threadpoolctl import threadpool_limits

    images = _grey(dataset.images)
    with threadpool_limits(1):  # more threads only slow down many small products
        with busy("counting copies"):
            identical = group_identical(images)
        return find_near_copies(images, identical)


def _grey(images: Pixels) -> Pixels:
    return images if images.ndim == 3 else convert(images, grey_stack, images.shape[1:3])


def audit_faces(dataset: Dataset, copies: NearCopies, predictions: Predictions | None = None) -> AuditFindings:
    """Run all checks of an audit on all splits of a data set; without predictions, labels are not reviewed."""
    from threadpoolctl import threadpool_limits

    if predictions is not None:
        dataset = _with_classes_of(predictions, dataset)
    groups = copies.groups
    with threadpool_limits(1):
        images = _grey(dataset.images)
        few_tones, deviation = by_chunk(tones, images), contrast(images)
        review = None if predictions is None else _review_labels(dataset, predictions, groups)
        doubtful, suggested = np.zeros(len(dataset), dtype=np.bool_), dataset.labels.copy()
        if review is not None:
            doubtful[review.indices], suggested[review.indices] = review.issues.sure, review.issues.suggested
        blank, not_a_face = deviation < BLANK_BELOW, _most_saw_no_face(dataset)
        return AuditFindings(
            faces=dataset,
            near=copies,
            identical_counts=count_copies(copies.identical, dataset.labels, dataset.split),
            near_counts=count_copies(groups, dataset.labels, dataset.split),
            quality_issues=quality_issues(images, deviation, few_tones),
            outliers=outlier_scores(images, [-few_tones]),
            ceilings=_ceilings(dataset),
            label_review=review,
            changes=tuple(suggest_changes(dataset, blank, not_a_face, copies.identical, groups, doubtful, suggested)),
            not_checked=tuple(_not_checked(dataset, review)),
        )


def check_audit(dataset: Dataset, predictions: Predictions | None) -> None:
    """Raise DataError, before the slow search, for data or predictions that an audit cannot use: fewer than two
    classes, or predictions of other data, of train or test, or without samples of a class.
    """
    present = [name for name, count in zip(dataset.classes, dataset.counts(), strict=True) if count]
    if len(present) < 2:
        raise DataError(f"An audit needs at least two classes; all samples are '{present[0]}'.", code="too-few-classes")
    if predictions is None:
        return
    if predictions.split == "train":
        raise DataError("Predictions of train cannot check labels that were learned.", code="not-auditable")
    if predictions.split == "test" or np.isin(dataset.rows[dataset.split == "test"], predictions.sample_ids).any():
        raise DataError("Only mien evaluate may use the test split. Give other predictions.", code="not-auditable")
    renamed = _with_classes_of(predictions, dataset)
    predicted = np.isin(renamed.rows, predictions.sample_ids)
    of_train = predicted & (renamed.split == "train")
    evidence, what = (of_train, "train row") if of_train.any() else (predicted, "row")
    check_evidence(renamed.labels[evidence], len(renamed.classes), what)


def _with_classes_of(predictions: Predictions, dataset: Dataset) -> Dataset:
    """Return the faces with classes in the predictions' order. Raises DataError if they do not match."""
    if set(predictions.classes) != set(dataset.classes):
        classes = ", ".join(predictions.classes)
        raise DataError(f"The predictions have other classes than the data: {classes}.", code="classes-differ")
    check_fingerprint(dataset, predictions)
    renamed = dataset.with_classes(predictions.classes)
    match_faces(renamed, predictions)
    return renamed


def _most_saw_no_face(dataset: Dataset) -> Bools:
    """Return whether more than half of an image's voters saw no face, bool (N,)."""
    if dataset.votes is None or NOT_A_FACE_CLASS not in dataset.vote_classes:
        return np.zeros(len(dataset), dtype=np.bool_)
    return np.asarray(vote_probabilities(dataset.votes)[:, dataset.vote_classes.index(NOT_A_FACE_CLASS)] > 0.5)


def _review_labels(dataset: Dataset, predictions: Predictions, groups: Ints) -> LabelReview:
    reviewed = dataset.subset(indices := dataset.places(predictions.sample_ids))
    if reviewed.groups is not None:
        predictions = replace(predictions, groups=reviewed.groups)
    with busy("looking for wrong labels"):
        of_train = np.asarray(reviewed.split == "train")
        issues = rank_label_issues(predictions.labels, predictions.probabilities, groups[indices], of_train)
    confirmed = None
    if reviewed.votes is not None:
        shares = vote_probabilities(reviewed.votes)
        index_of = {name: index for index, name in enumerate(dataset.classes)}
        class_of = np.array([index_of.get(name, -1) for name in dataset.vote_classes])
        usable = shares.any(axis=1) & np.isin(predictions.labels, class_of)
        outvoted = (shares.max(axis=1) > 0.5) & (class_of[shares.argmax(axis=1)] != predictions.labels)
        if usable.any():
            confirmed = proportion_among(outvoted, issues.flagged & usable, predictions.groups)
    return LabelReview(indices, predictions, issues, confirmed)


def _ceilings(dataset: Dataset) -> dict[str, VoteCeiling]:
    found = {}
    for split in dataset.counts_by_split():
        part = dataset.of_split(split)
        ceiling = None if part.votes is None else vote_ceiling(part.votes, part.vote_classes, part.groups)
        if ceiling is not None:
            found[split] = ceiling
    return found


def _not_checked(dataset: Dataset, review: LabelReview | None) -> Iterator[Notice]:
    voted = 0 if dataset.votes is None else int(dataset.votes.any(axis=1).sum())
    if not voted:
        yield Notice("Votes not used: the data has none. They confirm doubtful labels.", code="votes-not-used")
    elif voted < len(dataset):
        yield Notice(f"Samples without votes, not checked by votes: {len(dataset) - voted:,}.", code="votes-missing")
    if review is None:
        words = "Labels not reviewed: give predictions, or a recipe that makes them, such as quick (hours on FER2013)."
        yield Notice(words, code="labels-not-reviewed")
    elif review.predictions.accuracy < WEAK_BELOW:
        words = f"The model is weak (accuracy {review.predictions.accuracy:.1%}): most labels it flags are correct."
        yield Notice(words, code="labels-weak-model")
    if review is not None and len(review.indices) < len(dataset):
        words = f"Labels partly reviewed: the predictions cover {len(review.indices):,} of {len(dataset):,} samples."
        yield Notice(words, code="labels-partly-reviewed")
    if absent := [name for name in SPLITS if not (dataset.split == name).any()]:
        yield Notice(f"Leakage partly checked: the data has no split {' and no '.join(absent)}.", code="split-absent")
