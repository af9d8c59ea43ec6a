"""What ``mien evaluate`` measures: a model on a split, or a predictions file of any model. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mien.base.errors import DataError, arg, nearest
from mien.base.labels import LabelScheme
from mien.data.dataset import Dataset
from mien.evaluation.estimates import break_down, group_values
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import BreakDown
from mien.inference.predictor import Predictor
from mien.pipeline.measured_split import MeasuredSplit
from mien.pipeline.split_predictions import predict_split, votes_of, with_model_classes
from mien.pipeline.trained_on import digests_of


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure.

    Attributes:
        split: train, validation, test or all; of a predictions file its own.
        by: a column of the data to group metrics by; None for none.
        tta: test-time augmentation: how many views of each face are averaged; see :mod:`mien.inference.tta`.
        scheme: merges the predicted classes; None leaves them.
    """

    split: str = "validation"
    by: str | None = None
    tta: int = 1
    scheme: LabelScheme | None = None


def check_options(options: EvaluateOptions, predictor: Predictor) -> None:
    """Check that the model has the classes that the scheme merges. Raises :class:`DataError`."""
    if options.scheme is not None:
        options.scheme.mapping(predictor.classes, "the model")


def predict_to_evaluate(predictor: Predictor, faces: Dataset, options: EvaluateOptions) -> Predictions:
    """The model's predictions for each face of a split. For the test split, this uses it.

    Args:
        predictor: the model.
        faces: all of the data, at the model's size.
        options: checked by :func:`check_options`.

    Raises:
        DataError: as :func:`predict_split`; an unknown or unusable column; a scheme that drops every face.
    """
    # Everything is checked before the first prediction: later errors would use the test split for nothing.
    votes_of(predictor, with_model_classes(predictor, faces).of_split(options.split))
    digests_of(predictor)
    column = _column(predictor, faces, options)
    if column is not None:
        group_values(column)
    return predict_split(predictor, faces, options.split, options.tta)


def merging_description(predictions: Predictions, merged: Predictions, scheme: LabelScheme | None) -> str:
    """In words, what merging the predicted classes did; empty without a scheme."""
    if scheme is None:
        return ""
    return f"merged after the prediction by '{scheme.name}': {len(merged):,} of {len(predictions):,} samples"


def break_down_by(split: MeasuredSplit, column: str) -> BreakDown:
    """Metrics for each value of a column of the data, which :func:`predict_to_evaluate` has checked."""
    assert split.faces is not None
    return BreakDown(column, tuple(break_down(split.predictions, split.faces.columns[column])))


def _column(predictor: Predictor, faces: Dataset, options: EvaluateOptions) -> Any:
    """The column to group by, of the measured samples; None without a name.

    Raises:
        DataError: no such column, or one with several values per face; a scheme that drops every face.
    """
    faces = with_model_classes(predictor, faces.of_split(options.split)).with_scheme(options.scheme)
    by = options.by
    if by is None:
        return None
    if by == "split":
        raise DataError(
            f"An evaluation has one split, here '{options.split}'; choose another with {arg('split')}.", code="by-split"
        )
    if by not in faces.columns:
        known = nearest(by, faces.columns) if faces.columns else " It has only images and labels."
        raise DataError(f"The data has no column '{by}'." + known, code="column-missing")
    if faces.columns[by].ndim != 1:
        raise DataError(
            f"The column '{by}' has {faces.columns[by].shape[1]} values per face; {arg('by')} needs one.",
            code="column-shape",
        )
    return faces.columns[by]
