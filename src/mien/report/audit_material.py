"""What an audit found, for its page, its table and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.audit.copies import CopyCounts
from mien.audit.label_errors import LabelDoubts
from mien.audit.near_copies import NearCopies
from mien.audit.outliers import Outliers
from mien.audit.ranking import RankingWorth
from mien.audit.votes import Votes
from mien.data.clean import Change
from mien.data.faceset import FaceSet
from mien.evaluation.intervals import share_of
from mien.evaluation.results import Estimate, Part, json_ready
from mien.evaluation.scores import Scores


@dataclass(frozen=True, eq=False)
class Fault:
    """A fault of pictures: which rows have it, bool (N,), and what it means in words; ``order`` ranks them, float (N,).

    The least of ``order`` are the worst.
    """

    mask: npt.NDArray[np.bool_]
    meaning: str
    order: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Telling:
    """How well a classifier tells two splits apart, or classes by what should not matter: 0.5 is not at all."""

    what: str
    rows: int
    auc: Estimate


@dataclass(frozen=True)
class Ceiling:
    """How right one can be, estimated in one way, and what that takes for granted."""

    what: str
    rows: int
    accuracy: Estimate
    takes_for_granted: str


@dataclass(frozen=True, eq=False)
class Judged:
    """What a model's probabilities add.

    Attributes:
        places: int64 (M,), positions in the faces of the rows that the scores are of.
        scores: M rows.
        of_train: bool (M,), which of them are of train.
        doubts: about the labels of these rows.
        worth: of the ranking by doubt, against the votes; None without votes.
        worth_of_flagged: share of the flagged rows that most voters call something else; None without votes.
        parts: accuracy on all rows, and without the rows that copies spoil; rows seen before are left out only of
            scores that one model gave to validation, since out of fold there are none.
    """

    places: npt.NDArray[np.int64]
    scores: Scores
    of_train: npt.NDArray[np.bool_]
    doubts: LabelDoubts
    worth: RankingWorth | None
    worth_of_flagged: Estimate | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class AuditMaterial:
    """Everything that an audit of N faces found.

    Attributes:
        faces: the faces.
        identical: int64 (N,), identical pictures share a number.
        near: near-copies.
        identical_counts: of copies by identical pixels.
        near_counts: of copies by identical pixels and near-copies together.
        light: brightness, contrast and sharpness of each picture, by name: float64 (N,).
        faults: by name.
        outliers: how unusual each picture is.
        votes: FER+'s votes; None where the data has none.
        outlier_worth: of the ranking of outliers, against the votes for "no face"; None without votes.
        splits_apart: two-sample tests between splits.
        shortcuts: classes told by light, or by the border, alone.
        ceilings: of accuracy.
        judged: what a model's probabilities add; None without.
        changes: what to drop or relabel.
        notes: what a reader should know, a sentence each.
        left_out: what cannot be said here and what it would take, a sentence each.
    """

    faces: FaceSet
    identical: npt.NDArray[np.int64]
    near: NearCopies
    identical_counts: CopyCounts
    near_counts: CopyCounts
    light: Mapping[str, npt.NDArray[np.float64]]
    faults: Mapping[str, Fault]
    outliers: Outliers
    votes: Votes | None
    outlier_worth: RankingWorth | None
    splits_apart: tuple[Telling, ...]
    shortcuts: tuple[Telling, ...]
    ceilings: tuple[Ceiling, ...]
    judged: Judged | None
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    def shares(self) -> dict[str, dict[str, Estimate]]:
        """Share of each class in each split that has faces, with its interval."""
        return {
            split: {name: share_of(count, sum(counts)) for name, count in zip(self.faces.classes, counts, strict=True)}
            for split, counts in self.faces.counts_by_split().items()
        }

    def change_counts(self) -> dict[str, dict[str, int]]:
        """Number of changes by what is done and split, ``{"drop copy": {"train": 12}}``."""
        counts: dict[str, dict[str, int]] = {}
        for change in self.changes:
            of_kind = counts.setdefault(f"{'drop' if change.to is None else 'relabel'} {change.kind}", {})
            of_kind[change.split] = of_kind.get(change.split, 0) + 1
        return dict(sorted(counts.items()))

    def to_dict(self) -> dict[str, Any]:
        """Every count, JSON-ready, NaN as None; rows are named by the tables of the page, not here."""
        counts = self.faces.counts_by_split()
        judged = self.judged
        content = {
            "faces": len(self.faces),
            "classes": self.faces.classes,
            "data_fingerprint": self.faces.fingerprint,
            "counts": {split: dict(zip(self.faces.classes, of, strict=True)) for split, of in counts.items()},
            "shares": self.shares(),
            "identical": self.identical_counts,
            "identical_or_near": self.near_counts,
            "near_pairs": {
                "found": len(self.near.first),
                "compared": self.near.compared,
                "without_contrast": self.near.left_out,
            },
            "faults": {name: int(fault.mask.sum()) for name, fault in self.faults.items()},
            "outlier_ranking": self.outlier_worth,
            "splits_apart": self.splits_apart,
            "shortcuts": self.shortcuts,
            "ceilings": self.ceilings,
            "labels": None
            if judged is None
            else {
                "rows": len(judged.scores),
                "split": judged.scores.split,
                "evidence": int(judged.doubts.evidence.sum()),
                "flagged": int(judged.doubts.flagged.sum()),
                "sure": int(judged.doubts.sure.sum()),
                "ranking": judged.worth,
                "flagged_and_outvoted": judged.worth_of_flagged,
            },
            "scores": None if judged is None else judged.parts,
            "changes": self.change_counts(),
            "notes": self.notes,
            "left_out": self.left_out,
        }
        return dict(json_ready(content))
