"""Inputs for the sections of a report: predictions, and optionally data and model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import Notice
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.splits import group_identical, near_copy_groups
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation
from mien.evaluation.robustness import NAME as ROBUSTNESS_NAME
from mien.evaluation.robustness import RobustnessResult
from mien.inference.predictor import Predictor

NOT_MEASURED: Notice = Notice(
    f"Robustness section skipped: there is no {ROBUSTNESS_NAME} in the run folder or beside the report. Make it, in "
    "minutes, with: mien robustness MODEL --data PATH --out RUN.",
    code="robustness-not-measured",
)


@dataclass(frozen=True, eq=False)
class ReportContext:
    """All inputs that sections may use. None means unknown; sections that need it are skipped.

    Attributes:
        faces: faces of the N samples, in the same order.
        class_counts: C counts for each split; may be empty.
        history: one mapping per epoch, as from ``RunFolder.read_history``; may be empty.
        best_epoch: epoch whose weights were kept.
        robustness: result of ``mien robustness``, or the reason why it is not shown.
        run: run folder of the model, for gradients and the texts for a paper.
        parameters: number of parameters of the model.
        is_training_data: whether ``class_counts`` are those of the data that the run was trained on.
        is_test: whether the samples are of the test split. The model must not predict a test split again.
        explain: whether to compute attention maps.
    """

    predictions: Predictions
    evaluation: Evaluation
    faces: Dataset | None = None
    class_counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    robustness: RobustnessResult | Notice = NOT_MEASURED
    model: Predictor | None = None
    run: RunFolder | None = None
    parameters: int = 0
    is_training_data: bool = False
    is_test: bool = False
    explain: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self.predictions.classes

    @property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """Groups such as people, int64 (N,): resampled as a whole, never divided by folds; None without groups."""
        return self.predictions.groups

    @property
    def no_new_predictions(self) -> Notice | None:
        """Reason why the model cannot predict these faces again; None if this is possible."""
        skipped = "Sections that need new predictions skipped"
        if self.is_test:
            return Notice(f"{skipped}: only mien evaluate may use the test split.", code="new-predictions-of-test")
        given = {"--data PATH": self.faces, "--model MODEL": self.model}
        if missing := [option for option, value in given.items() if value is None]:
            code = "-or-".join(option[2:].split()[0] for option in missing)
            return Notice(f"{skipped}. Give {' and '.join(missing)}.", code=f"new-predictions-without-{code}")
        return None

    @cached_property
    def identical(self) -> npt.NDArray[np.int64] | None:
        """Group of each sample, int64 (N,); identical images are in the same group. None without faces."""
        return None if self.faces is None else group_identical(np.asarray(self.faces.images))

    @cached_property
    def near_copies(self) -> npt.NDArray[np.int64] | None:
        """Group of each sample, int64 (N,); near-copies are in the same group. None without faces."""
        return None if self.faces is None else near_copy_groups(np.asarray(self.faces.images))
