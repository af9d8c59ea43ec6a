"""Annotators' votes on samples, and what a model predicts of them. docs/predictions.md has the arrays of the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.votes import vote_probabilities
from mien.errors import DataError
from mien.evaluation.prediction_checks import check_probabilities


@dataclass(frozen=True, eq=False)
class VotePredictions:
    """The votes on N samples, and the probabilities of the output that learned from votes.

    Integers and floats of any width are accepted. The fields hold float64.

    Attributes:
        counts: float64 (N, V), how many annotators chose each class: at least 0; all 0 for a sample without votes.
        classes: V unique class names.
        probabilities: float64 (N, V), each row sums to 1; None where the model has no output that learned from votes.
        output: name of that output; ``""`` without one.

    Raises:
        DataError: an array of another shape or type.
    """

    counts: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64] | None = None
    output: str = ""

    def __post_init__(self) -> None:
        arrays = {"vote_counts": np.asarray(self.counts)}
        if self.probabilities is not None:
            arrays["vote_probabilities"] = np.asarray(self.probabilities)
        shape = (len(arrays["vote_counts"]), len(self.classes))
        for name, array in arrays.items():
            if array.dtype.kind not in "iuf" or array.shape != shape:
                raise DataError(
                    f"'{name}' must be numbers of shape {shape}: one row per sample, one column per class of the "
                    f"votes; found {array.dtype} {array.shape}.",
                    code=f"{name.replace('_', '-')}-shape",
                )
        # The dataclass is frozen; only the constructor converts the types.
        object.__setattr__(self, "counts", arrays["vote_counts"].astype(np.float64))
        if self.probabilities is not None:
            object.__setattr__(self, "probabilities", arrays["vote_probabilities"].astype(np.float64))

    def check(self, sample_ids: npt.NDArray[np.int64]) -> None:
        """Check that this is about the samples, int64 (N,). Raises :class:`DataError`."""
        if len(set(self.classes)) < len(self.classes) or len(self.classes) < 2:
            raise DataError(
                f"'vote_classes' must be two unique names or more; found {', '.join(self.classes)}.",
                code="vote-classes",
            )
        if len(self.counts) != len(sample_ids):
            raise DataError(
                f"'vote_counts' needs one row per sample; found {len(self.counts)} for {len(sample_ids)} samples.",
                code="vote-counts-shape",
            )
        usable = np.isfinite(self.counts).all(axis=1) & (self.counts >= 0).all(axis=1)
        if not usable.all():
            first = int(np.argmin(usable))
            shown = ", ".join(f"{each:g}" for each in self.counts[first])
            raise DataError(
                f"'vote_counts' must be 0 or more; sample {sample_ids[first]} (entry {first}) has [{shown}]. "
                f"Wrong samples: {(~usable).sum()}.",
                code="vote-counts-range",
            )
        if self.probabilities is not None:
            check_probabilities(sample_ids, self.probabilities, "vote_probabilities")

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether a sample has votes, bool (N,)."""
        return np.asarray(self.counts.any(axis=1))

    @property
    def distributions(self) -> npt.NDArray[np.float64]:
        """Each sample's votes as fractions, float64 (N, V); rows sum to 1, to 0 without votes."""
        return vote_probabilities(self.counts)

    def subset(self, chosen: npt.NDArray[Any]) -> VotePredictions:
        """The chosen samples, bool (N,) or indices (K,), in that order."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return replace(self, counts=self.counts[chosen], probabilities=probabilities)

    def to_arrays(self, precision: type[np.floating[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The optional arrays of a predictions file; ``precision`` is that of probabilities."""
        arrays: dict[str, npt.NDArray[Any]] = {"vote_counts": self.counts, "vote_classes": np.array(self.classes)}
        if self.probabilities is not None:
            arrays |= {"vote_probabilities": self.probabilities.astype(precision), "vote_output": np.array(self.output)}
        return arrays
