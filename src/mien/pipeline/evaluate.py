"""What ``mien evaluate`` measures: models on a split, or a predictions file of any model. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mien.data.dataset import Dataset
from mien.data.read import ReadResult
from mien.errors import DataError, Notice, nearest
from mien.evaluation.estimates import break_down, evaluate_predictions, evaluate_subsets, group_values
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Evaluation, SubsetMetrics
from mien.evaluation.temperature import apply_temperature
from mien.evaluation.threshold import DEFAULT_THRESHOLD, ThresholdResult, measure_threshold
from mien.evaluation.vote_metrics import VoteEvaluation, evaluate_votes
from mien.inference.predictor import Predictor
from mien.labels import LabelScheme, check_threshold
from mien.pipeline.ensemble import Member, check_members, predict_ensemble, temperatures_description
from mien.pipeline.leakage import leakage_reference
from mien.pipeline.split_predictions import (
    fitted_on,
    other_votes_notice,
    predict_split,
    votes_of,
    with_model_classes,
)
from mien.pipeline.trained_on import digests_of, leakage_masks, trained_on_notice


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure.

    Attributes:
        split: train, validation or test; of a predictions file its own.
        by: a column of the data to group metrics by; None for none.
        views: test-time augmentation: how many views of each face are averaged; see :mod:`mien.inference.tta`.
        scheme: merges the predicted classes; None leaves them.
        threshold: between two classes, 0..1; None takes :data:`~mien.evaluation.threshold.DEFAULT_THRESHOLD`.
    """

    split: str = "validation"
    by: str | None = None
    views: int = 1
    scheme: LabelScheme | None = None
    threshold: float | None = None

    @property
    def threshold_or_default(self) -> float:
        """The threshold for two classes, 0..1."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True)
class EvaluatedSplit:
    """The metrics of one split and all that belongs to them.

    Attributes:
        options: what was measured.
        unmerged: the predictions before a label scheme merged them.
        predictions: the same under the scheme's classes.
        evaluation: their metrics.
        threshold: for two classes.
        parts: metrics by the column ``options.by``.
        subsets: metrics without leaked samples; empty for a predictions file.
        class_counts: faces of each class in each split of the data; empty for a predictions file.
        temperature_note: in words, how the models' temperatures were used; empty if unknown.
        votes: metrics by annotators' votes; None without votes, and where a label scheme merged classes.
        trained_on: samples of validation or test that a model was trained on, although no identical image is in an
            earlier split of the data.
        other_votes: what to know where votes are for a class that the model's output does not have; else None.
    """

    options: EvaluateOptions
    unmerged: Predictions
    predictions: Predictions
    evaluation: Evaluation
    threshold: ThresholdResult | None
    parts: Sequence[SubsetMetrics] = ()
    subsets: Sequence[SubsetMetrics] = ()
    class_counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    temperature_note: str = ""
    votes: VoteEvaluation | None = None
    trained_on: int = 0
    other_votes: Notice | None = None

    @property
    def merged(self) -> str:
        """In words, what merging classes did; empty if nothing was merged."""
        scheme = self.options.scheme
        return "" if scheme is None else merging_description(self.unmerged, self.predictions, scheme)

    @property
    def notices(self) -> Sequence[Notice]:
        """What to know: a model was trained on samples of the split, or could not be measured by the votes."""
        found = (trained_on_notice(self.trained_on, len(self.predictions)), self.other_votes)
        return [each for each in found if each is not None]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        content = self.evaluation.to_dict()
        if self.trained_on:
            content["trained_on"] = self.trained_on
        if self.predictions.note:
            content["note"] = self.predictions.note
        if self.threshold is not None:
            content["threshold"] = self.threshold.to_dict()
        if self.subsets:
            content["subsets"] = [part.to_dict() for part in self.subsets]
        if self.votes is not None:
            content["votes"] = self.votes.to_dict()
        if self.options.by is not None:
            content["by"] = {"column": self.options.by, "parts": [part.to_dict() for part in self.parts]}
        return content


def evaluate_predictions_only(predictions: Predictions, options: EvaluateOptions) -> EvaluatedSplit:
    """Evaluate predictions without their data. Of the options, scheme and threshold count.

    Raises:
        DataError: the scheme does not fit the classes, or a threshold is given without two classes.
    """
    merged = predictions.with_scheme(options.scheme)
    threshold = None
    if options.threshold is not None or len(merged.classes) == 2:
        validation = merged if merged.split == "validation" else None
        threshold = measure_threshold(merged, options.threshold_or_default, validation)
    known = predictions.temperature is not None
    note = f"at temperature {predictions.temperature:.3g}" if known else ""
    return EvaluatedSplit(
        options,
        predictions,
        merged,
        evaluate_predictions(merged),
        threshold,
        temperature_note=note,
        votes=evaluate_votes(merged),
    )


def check_options(options: EvaluateOptions, predictor: Predictor) -> None:
    """Check that the model has the classes that scheme and threshold need. Raises :class:`DataError`."""
    classes = predictor.classes
    if options.scheme is not None:
        options.scheme.mapping(classes, "the model")
        classes = options.scheme.classes
    if options.threshold is not None:
        check_threshold(options.threshold, classes)


def predict_with_models(
    predictors: Sequence[Predictor], results: Sequence[ReadResult], options: EvaluateOptions
) -> Predictions:
    """The mean of the models' predictions for each face of a split. For the test split, this uses it.

    Args:
        predictors: at least one.
        results: the data, read at the size of each model.
        options: checked by :func:`check_options`.

    Raises:
        DataError: as :func:`mien.pipeline.ensemble.predict_ensemble`; an unknown or unusable column; a scheme that
            drops every face.
    """
    members = _members(predictors, results)
    # Everything is checked before the first prediction: later errors would use the test split for nothing.
    check_members(members)
    for predictor, faces in members:
        votes_of(predictor, faces.of_split(options.split))
        digests_of(predictor)
    column = _column(*members[0], options)
    if column is not None:
        group_values(column)
    return predict_ensemble(members, options.split, options.views)


def evaluate_models(
    predictors: Sequence[Predictor],
    results: Sequence[ReadResult],
    options: EvaluateOptions,
    predictions: Predictions,
    trained: Sequence[Predictor] | None = None,
) -> EvaluatedSplit:
    """Evaluate the ``predictions`` of :func:`predict_with_models`, which has the other arguments.

    ``trained`` are the models whose run folders say what was trained on, where these are others than ``predictors``.
    They have the input and the classes of the first of these.
    """
    predictor, result, split, scheme = predictors[0], results[0], options.split, options.scheme
    column = _column(predictor, result.faces, options)
    merged = predictions.with_scheme(scheme)
    threshold = None
    if len(merged.classes) == 2 and predictions.note:
        validation = merged if split == "validation" else None
        threshold = measure_threshold(merged, options.threshold_or_default, validation)
    elif len(merged.classes) == 2:
        threshold = measure_model_threshold(predictor, result.faces, predictions, scheme, options.threshold_or_default)
    reference = leakage_reference(predictors, result.faces, result.uncleaned)
    known = with_model_classes(predictor, result.faces)
    members = [(each, with_model_classes(each, faces)) for each, faces in _members(predictors, results)]
    members = members if trained is None else [(each, known) for each in trained]
    masks, trained_on = leakage_masks(members, with_model_classes(predictor, reference), merged)
    return EvaluatedSplit(
        options,
        predictions,
        merged,
        evaluate_predictions(merged),
        threshold,
        parts=[] if column is None else break_down(merged, column),
        subsets=evaluate_subsets(merged, masks),
        class_counts=known.with_scheme(scheme).counts_by_split(),
        temperature_note=temperatures_description(_members(predictors, results), split),
        votes=evaluate_votes(merged, masks),
        trained_on=trained_on,
        other_votes=other_votes_notice(predictors, predictions),
    )


def measure_model_threshold(
    predictor: Predictor, faces: Dataset, predictions: Predictions, scheme: LabelScheme | None, threshold: float
) -> ThresholdResult:
    """Measure a threshold between two classes, and the best one on validation, as ``mien predict`` applies it.

    Args:
        predictor: the model.
        faces: all of the data, as it was read. Validation is predicted if there is one.
        predictions: of :func:`~mien.pipeline.split_predictions.predict_split`, not merged.
        scheme: merges the model's classes into two; None if it has only two.
        threshold: 0..1.

    Raises:
        DataError: not two classes, or a threshold outside 0..1.
    """
    validation = None
    if predictions.split == "validation":
        validation = predictions
    elif (faces.split == "validation").any():
        validation = predict_split(predictor, faces, "validation")
    used, used_validation = (
        None if each is None else _at_model_temperature(predictor, faces, each).with_scheme(scheme)
        for each in (predictions, validation)
    )
    assert used is not None
    return replace(measure_threshold(used, threshold, used_validation), in_use=True)


def merging_description(predictions: Predictions, merged: Predictions, scheme: LabelScheme) -> str:
    """In words, what merging the predicted classes did, and which samples it dropped."""
    dropped = predictions.labels[~np.isin(predictions.sample_ids, merged.sample_ids)]
    counts = np.bincount(dropped, minlength=len(predictions.classes))
    names = [f"{count:,} {name}" for name, count in zip(predictions.classes, counts.tolist(), strict=True) if count]
    dropped_words = f"; dropped: {', '.join(names)}" if names else ""
    return (
        f"merged after the prediction by '{scheme.name}': {len(merged):,} of {len(predictions):,} samples"
        f"{dropped_words}"
    )


def _at_model_temperature(predictor: Predictor, faces: Dataset, predictions: Predictions) -> Predictions:
    """With the model's temperature, also where ``predict_split`` left it out."""
    if not fitted_on(predictor, faces, predictions.split):
        return predictions
    temperature = predictor.manifest.temperature
    probabilities = apply_temperature(predictions.probabilities, temperature)
    return replace(predictions, probabilities=probabilities, temperature=temperature)


def _members(predictors: Sequence[Predictor], results: Sequence[ReadResult]) -> list[Member]:
    return [(each, result.faces) for each, result in zip(predictors, results, strict=True)]


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
            f"An evaluation has one split, here '{options.split}'; choose another with --split.", code="by-split"
        )
    if by not in faces.columns:
        known = nearest(by, faces.columns) if faces.columns else " It has only images and labels."
        raise DataError(f"The data has no column '{by}'." + known, code="column-missing")
    if faces.columns[by].ndim != 1:
        raise DataError(
            f"The column '{by}' has {faces.columns[by].shape[1]} values per face; --by needs one.", code="column-shape"
        )
    return faces.columns[by]
