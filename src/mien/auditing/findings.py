"""What an audit found, for its page, its table and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.checks.copies import CopyCounts
from mien.checks.label_errors import LabelIssues
from mien.checks.outliers import Outliers
from mien.checks.ranking import RankingWorth, ranking_worth
from mien.checks.vote_evidence import Votes
from mien.data.clean import Change
from mien.data.dataset import Dataset
from mien.errors import Notice
from mien.evaluation.intervals import proportion_among
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, SubsetMetrics, json_ready
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


@dataclass(frozen=True)
class SeparabilityTest:
    """How well a simple classifier separates two splits, or classes by features without expression: AUC 0.5 is chance.

    Attributes:
        name: what is separated, or by which features.
        samples: number of samples.
        auc: area under the ROC curve, for several classes the one-vs-rest mean.
    """

    name: str
    samples: int
    auc: Estimate


@dataclass(frozen=True)
class CeilingEstimate:
    """One estimate of the label-noise ceiling: the accuracy that labels of this noise allow.

    Attributes:
        name: how it is estimated.
        samples: number of samples.
        accuracy: the estimate.
        assumption: what the estimate assumes, in a sentence or two.
    """

    name: str
    samples: int
    accuracy: Estimate
    assumption: str


@dataclass(frozen=True)
class ConfirmedRanking(RankingWorth):
    """How a ranking fares against votes.

    Attributes:
        confirmed: fraction of all ranked samples that the votes confirm, which is what a random ranking finds.
    """

    confirmed: Estimate

    @classmethod
    def of(
        cls,
        suspicion: npt.NDArray[np.float64],
        evidence: npt.NDArray[np.bool_],
        known: npt.NDArray[np.bool_],
        groups: npt.NDArray[np.int64] | None,
    ) -> ConfirmedRanking:
        """Measure a ranking on the samples whose evidence is known. All are (N,).

        Raises:
            MissingExtraError: scikit-learn is not installed.
        """
        worth = ranking_worth(suspicion[known], evidence[known])
        return cls(**vars(worth), confirmed=proportion_among(evidence, known, groups))


@dataclass(frozen=True, eq=False)
class LabelReview:
    """What the predictions of a model say about the labels.

    Attributes:
        indices: int64 (M,), the predicted samples as indices into the faces.
        predictions: of M samples.
        of_train: bool (M,), which samples are of train.
        issues: doubtful labels among these samples.
        ranking: quality of the ranking by suspicion, measured against votes; None without votes.
        flagged_confirmed: fraction of flagged labels that most voters contradict; None without votes.
        subsets: metrics on all samples and without copies. Samples seen before are only excluded for one model on
            validation; out of fold there are none.
    """

    indices: npt.NDArray[np.int64]
    predictions: Predictions
    of_train: npt.NDArray[np.bool_]
    issues: LabelIssues
    ranking: ConfirmedRanking | None
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
        outlier_ranking: quality of the ranking of outliers, measured against votes for "not-a-face"; None without
            such votes.
        split_tests: separability of the splits.
        shortcut_tests: separability of the classes by light, or by the image border.
        ceilings: estimates of the label-noise ceiling.
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
    outlier_ranking: ConfirmedRanking | None
    split_tests: tuple[SeparabilityTest, ...]
    shortcut_tests: tuple[SeparabilityTest, ...]
    ceilings: tuple[CeilingEstimate, ...]
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

    def to_dict(self) -> dict[str, Any]:
        """All counts, JSON-ready, NaN as None. Samples are only listed in the tables of the page."""
        counts = self.faces.counts_by_split()
        review = self.label_review
        content = {
            "faces": len(self.faces),
            "classes": self.faces.classes,
            "data_fingerprint": self.faces.fingerprint,
            "counts": {split: dict(zip(self.faces.classes, of, strict=True)) for split, of in counts.items()},
            "class_balance": self.class_balance(),
            "identical": self.identical_counts,
            "identical_or_near": self.near_counts,
            "near_pairs": {
                "found": len(self.near.first),
                "compared": self.near.compared,
                "without_contrast": self.near.left_out,
            },
            "quality_issues": {name: int(issue.mask.sum()) for name, issue in self.quality_issues.items()},
            "outlier_ranking": self.outlier_ranking,
            "split_tests": self.split_tests,
            "shortcut_tests": self.shortcut_tests,
            "ceilings": self.ceilings,
            "labels": None
            if review is None
            else {
                "samples": len(review.predictions),
                "split": review.predictions.split,
                "evidence": int(review.issues.evidence.sum()),
                "flagged": int(review.issues.flagged.sum()),
                "sure": int(review.issues.sure.sum()),
                "ranking": review.ranking,
                "flagged_confirmed": review.flagged_confirmed,
            },
            "metrics": None if review is None else review.subsets,
            "changes": self.change_counts(),
            "notes": self.notes,
            "not_checked": self.not_checked,
        }
        return dict(json_ready(content))
