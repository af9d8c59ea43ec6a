"""Findings of an audit, for its page, its table and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.errors import Notice
from mien.checks.copies import CopyCounts
from mien.checks.label_errors import LabelIssues
from mien.data.clean import Change
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate
from mien.evaluation.vote_metrics import VoteCeiling
from mien.near_copies.finder import NearCopies


@dataclass(frozen=True, eq=False)
class QualityIssue:
    """A kind of corrupted image.

    Attributes:
        mask: bool (N,), the samples that have the issue.
        severity: float (N,), lower is worse; ranks the samples.
    """

    mask: npt.NDArray[np.bool_]
    meaning: str
    severity: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelReview:
    """Labels that the predictions of a model contradict.

    Attributes:
        indices: int64 (M,), the predicted samples as indices into the faces.
        predictions: a model's predictions on M samples.
        issues: doubtful labels among these samples.
        flagged_confirmed: fraction of flagged labels that most voters contradict; None without votes.
    """

    indices: npt.NDArray[np.int64]
    predictions: Predictions
    issues: LabelIssues
    flagged_confirmed: Estimate | None


@dataclass(frozen=True, eq=False)
class AuditFindings:
    """Everything that an audit of N faces found.

    Attributes:
        identical: int64 (N,), group of each face; identical images share a group.
        near: pairs and groups of near-copies.
        identical_counts: counts of identical images.
        near_counts: counts of identical images and near-copies together.
        quality_issues: image issues by name.
        outliers: float64 (N,), how unusual each image is; higher is more unusual.
        ceilings: highest expected accuracy on the annotators' majority, for each split with votes.
        label_review: review of the labels by a model's predictions; None if no predictions were given.
        changes: samples that should be dropped or get another label.
        not_checked: sentences about what could not be checked and what it would need.
    """

    faces: Dataset
    identical: npt.NDArray[np.int64]
    near: NearCopies
    identical_counts: CopyCounts
    near_counts: CopyCounts
    quality_issues: Mapping[str, QualityIssue]
    outliers: npt.NDArray[np.float64]
    ceilings: Mapping[str, VoteCeiling]
    label_review: LabelReview | None
    changes: tuple[Change, ...]
    not_checked: tuple[Notice, ...]
