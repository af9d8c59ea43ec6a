"""What an audit found, for its page, its table and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.errors import Notice
from mien.checks.copies import CopyCounts
from mien.checks.label_errors import LabelIssues
from mien.checks.outliers import Outliers
from mien.checks.vote_evidence import Votes
from mien.data.clean import Change
from mien.data.dataset import Dataset
from mien.evaluation.intervals import proportion_among
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, SubsetMetrics
from mien.evaluation.vote_metrics import VoteCeiling
from mien.near_copies.finder import NearCopies


@dataclass(frozen=True, eq=False)
class QualityIssue:
    """A kind of bad image.

    Attributes:
        mask: bool (N,), the samples that have the issue.
        meaning: what the issue is, in a few words.
        severity: float (N,), the lower the worse; ranks the samples.
    """

    mask: npt.NDArray[np.bool_]
    meaning: str
    severity: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelReview:
    """What the predictions of a model say about the labels.

    Attributes:
        indices: int64 (M,), the predicted samples as indices into the faces.
        predictions: of M samples.
        of_train: bool (M,), which samples are of train.
        issues: doubtful labels among these samples.
        flagged_confirmed: fraction of flagged labels that most voters contradict; None without votes.
        subsets: metrics on all samples and without copies. Samples seen before are only excluded for one model on
            validation; out of fold there are none.
    """

    indices: npt.NDArray[np.int64]
    predictions: Predictions
    of_train: npt.NDArray[np.bool_]
    issues: LabelIssues
    flagged_confirmed: Estimate | None
    subsets: tuple[SubsetMetrics, ...]


@dataclass(frozen=True, eq=False)
class AuditFindings:
    """Everything that an audit of N faces found.

    Attributes:
        faces: the faces.
        identical: int64 (N,), group ids: identical images share one.
        near: near-copies.
        identical_counts: counts of identical images.
        near_counts: counts of identical images and near-copies together.
        light: brightness, contrast and sharpness of each image, by name: float64 (N,).
        quality_issues: by name.
        outliers: how unusual each image is.
        votes: None if the data has none.
        ceilings: of the accuracy on the majority of annotators, for each split with votes.
        label_review: of a model's predictions; None without.
        changes: suggested drops and new labels.
        notes: what a reader should know, one sentence each.
        not_checked: what could not be checked and what it needs, one sentence each.
    """

    faces: Dataset
    identical: npt.NDArray[np.int64]
    near: NearCopies
    identical_counts: CopyCounts
    near_counts: CopyCounts
    light: Mapping[str, npt.NDArray[np.float64]]
    quality_issues: Mapping[str, QualityIssue]
    outliers: Outliers
    votes: Votes | None
    ceilings: Mapping[str, VoteCeiling]
    label_review: LabelReview | None
    changes: tuple[Change, ...]
    notes: tuple[Notice, ...]
    not_checked: tuple[Notice, ...]

    def class_balance(self) -> dict[str, dict[str, Estimate]]:
        """Fraction of each class in each split that has faces, with its interval."""
        faces, groups = self.faces, self.faces.groups
        return {
            split: {
                name: proportion_among(faces.labels == label, faces.split == split, groups)
                for label, name in enumerate(faces.classes)
            }
            for split in faces.counts_by_split()
        }

    def change_counts(self) -> dict[str, dict[str, int]]:
        """Number of changes by kind and split, ``{"drop copy": {"train": 12}}``."""
        counts: dict[str, dict[str, int]] = {}
        for change in self.changes:
            of_kind = counts.setdefault(f"{'drop' if change.to is None else 'relabel'} {change.kind}", {})
            of_kind[change.split] = of_kind.get(change.split, 0) + 1
        return dict(sorted(counts.items()))
