"""What a full report is made from: scores, and whatever else is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.data.splits import group_identical
from mien.evaluation.results import Evaluation, Part
from mien.evaluation.robustness_file import Measurement
from mien.evaluation.scores import Scores

VOTE_ANSWERS = 10
"""Columns of FER+'s votes."""

Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that sections may use; what is None is not known, and its sections are left out.

    Attributes:
        scores: N rows.
        evaluation: of the scores.
        faces: the N faces of the rows, in their order.
        class_counts: for each split, C counts; may be empty.
        history: one mapping an epoch, as ``RunFolder.read_history``; may be empty.
        best_epoch: the epoch that was measured.
        predict: the model: faces uint8 (n, S, S) -> probabilities (n, C).
        robustness: what ``mien robustness`` measured.
        resamples: bootstrap resamples behind each interval.
        level: promised coverage of prediction sets, above 0 and below 1.
        subsets: the score on all rows and without those that copies spoil; may be empty.
    """

    scores: Scores
    evaluation: Evaluation
    faces: FaceSet | None = None
    class_counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    predict: Predict | None = None
    robustness: Measurement | None = None
    resamples: int = 1000
    level: float = 0.9
    subsets: Sequence[Part] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """C class names."""
        return self.scores.classes

    @cached_property
    def predictions(self) -> npt.NDArray[np.int64]:
        """Predicted class of each row, int64 (N,)."""
        return np.asarray(self.scores.probabilities.argmax(axis=1), dtype=np.int64)

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether each row is right, bool (N,)."""
        return np.asarray(self.predictions == self.scores.labels)

    @cached_property
    def confidence(self) -> npt.NDArray[np.float64]:
        """Largest probability of each row, float64 (N,)."""
        return np.asarray(self.scores.probabilities.max(axis=1), dtype=np.float64)

    @cached_property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """Which rows are identical images, int64 (N,); None where the faces are not at hand."""
        return None if self.faces is None else group_identical(np.asarray(self.faces.images))

    @cached_property
    def votes(self) -> npt.NDArray[Any] | None:
        """FER+'s ten counts of votes, numbers (N, 10); None where the data has no such ``ferplus_votes``."""
        votes = None if self.faces is None else self.faces.columns.get("ferplus_votes")
        if votes is None or votes.ndim != 2 or votes.shape[1] != VOTE_ANSWERS or votes.dtype.kind not in "iuf":
            return None
        return votes
