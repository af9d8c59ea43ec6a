"""``mien.evaluate`` and ``mien.robustness``: compute metrics of a model or a predictions file. Without torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

import numpy as np

from mien.api.inputs import Data, Model, Source, data_name, for_labels, read, run_of
from mien.base.errors import DataError, Notice, nearest
from mien.base.labels import LabelScheme, parse_scheme
from mien.base.run_folder import RunFolder, is_shipped_run
from mien.data.dataset import ALL, Dataset
from mien.data.read import ReadResult
from mien.data.synthetic import check_seed
from mien.evaluation.estimates import MIN_COMPARED, break_down, group_values
from mien.evaluation.named_metrics import Metric, NamedMetric, find_metrics
from mien.evaluation.predictions import read_predictions
from mien.evaluation.robustness import RobustnessResult, measure_robustness
from mien.inference.onnx_classifier import check_tta
from mien.inference.predictor import Predictor, load
from mien.page.wording import counted
from mien.pipeline.evaluate import EvaluationResult, ModelTable, ensemble_of, model_table
from mien.pipeline.measured_split import MeasuredSplit, digests_of, holds_test, trained_samples
from mien.pipeline.split_predictions import predict_split, temperature_description, votes_of, with_model_classes

Split: TypeAlias = Literal["train", "validation", "test", "all"]


class _Options(TypedDict, total=False):
    tta: int
    classes: str | None
    by: str | None
    metrics: Sequence[Metric]
    provider: str | None


@overload  # a str is also a sequence of str; the first overload applies
def evaluate(  # type: ignore[overload-overlap]
    model: Model, data: Data, split: Split = "validation", **options: Unpack[_Options]
) -> EvaluationResult: ...
@overload
def evaluate(
    model: Sequence[Model],
    data: Data,
    split: Split = "validation",
    *,
    ensemble: Literal[True],
    **options: Unpack[_Options],
) -> EvaluationResult: ...
@overload
def evaluate(
    model: Sequence[Model],
    data: Data,
    split: Split = "validation",
    *,
    ensemble: Literal[False] = False,
    **options: Unpack[_Options],
) -> ModelTable: ...


def evaluate(
    model: Model | Sequence[Model],
    data: Data,
    split: Split = "validation",
    *,
    tta: int = 1,
    classes: str | None = None,
    by: str | None = None,
    metrics: Sequence[Metric] = (),
    ensemble: bool = False,
    provider: str | None = None,
) -> EvaluationResult | ModelTable:
    """Evaluate a model, or several, on one split of labelled faces.

    Each use of the test split is recorded in the ledger of the model's run folder.

    Args:
        model: a loaded model, a run folder, a ``.onnx`` file, or a name in :func:`list_models`; or a list of these.
        data: labelled faces.
        split: train, validation, test, or all, which is for a model that was not trained on any of the data.
        tta: test-time augmentation: average over 1, 2 (also mirrored), 5 (also corners) or 10 (both) views of a face.
        classes: label scheme that merges classes; samples of dropped classes are left out.
        by: also compute metrics for each value of this column.
        metrics: further metrics: names (``"kappa"``, ``"mcc"``, ``"top2_accuracy"``, ...), your own functions of labels
            int64 (N,) and probabilities float64 (N, C), or ``"file.py:function"``.
        ensemble: evaluate several models as one, by the mean of their probabilities.
        provider: execution provider of ONNX Runtime with which models are loaded.

    Returns:
        All metrics of one model or ensemble; for several models a table with a row each.

    Raises:
        DataError: no such split, column, scheme or metric, labels that are not classes of the model, models of
            different classes, or a metric that raises or returns no number.
    """
    scheme, chosen = parse_scheme(classes or "all"), find_metrics(metrics)
    check_tta(tta)
    several = isinstance(model, Sequence) and not isinstance(model, str)
    models: list[Model] = [*model] if several else [model]  # type: ignore[list-item, misc]
    if not models or (ensemble and len(models) < 2):
        words = f"An ensemble needs two models or more; found {len(models)}." if ensemble else "There is no model."
        raise DataError(words, code="options")
    if by is not None and len(models) > 1 and not ensemble:
        raise DataError(f"--by is for one model, or an ensemble; found {len(models)} models.", code="options")
    loaded = [each if isinstance(each, Predictor) else load(each, provider=provider) for each in models]
    predictors = [each.for_labels() for each in loaded]
    for predictor in predictors:
        if scheme is not None:  # the model has its classes
            scheme.mapping(predictor.classes, "the model")
        if (scheme is None or ensemble) and {*predictor.classes} != {*predictors[0].classes}:
            found = "; ".join(", ".join(each.classes) for each in (predictors[0], predictor))
            found += "" if ensemble else ". See --classes"
            raise DataError(f"Models have different classes: {found}.", code="classes-differ")
    splits, origin = [], ""
    for number, predictor in enumerate(predictors):
        given = read(data, *predictor.manifest.input.size_and_channels, again=number > 0)
        origin = given.split_origin
        use = {"data": data_name(data), **(data.files if isinstance(data, Source) else {})}
        splits.append(_predict(predictor, given, split, tta, scheme, by, use))
    names = _names(models, predictors)
    result: EvaluationResult | ModelTable
    if ensemble:
        mean = replace(splits[0], predictions=ensemble_of([each.predictions for each in splits]), model=None)
        result = _measure(mean, scheme, chosen, by, name=f"ensemble of {', '.join(names)}", split_origin=origin)
    else:
        results = [
            _measure(
                measured,
                scheme,
                chosen,
                by,
                run=run_of(predictor),
                name=name if len(models) > 1 else predictor.manifest.full_name,
                temperature_note=temperature_description(predictor, measured.data, split),
                split_origin=origin,
            )
            for name, predictor, measured in zip(names, predictors, splits, strict=True)
            if measured.data is not None
        ]
        result = model_table(results, chosen) if several else results[0]
    for each in result.notices:
        each.warn()
    return result


def _names(models: Sequence[Model], predictors: Sequence[Predictor]) -> list[str]:
    """Return a name for each model; of those with one name, what was given, or their file."""
    paths = [str(each) if isinstance(each, str | os.PathLike) else "" for each in models]
    names = [Path(path).name or each.manifest.full_name for path, each in zip(paths, predictors, strict=True)]
    files = [path or str(each.path) for path, each in zip(paths, predictors, strict=True)]
    return [name if names.count(name) == 1 else file for name, file in zip(names, files, strict=True)]


def _predict(
    model: Predictor,
    data: ReadResult,
    split: str,
    tta: int,
    scheme: LabelScheme | None,
    by: str | None,
    use: Mapping[str, Any],
) -> MeasuredSplit:
    """Predict a split of data that was loaded at the model's size; ``use`` describes the data in the ledger."""
    faces = data.faces if scheme is None else _without_dropped(model, data.faces, scheme)
    # Check everything before the first prediction, because an error later would waste a use of the test split.
    chosen = with_model_classes(model, faces.of_split(split))
    votes_of(model, chosen)
    digests_of(model)
    merged = chosen.with_scheme(scheme)
    if by is not None:
        _check_column(by, merged, split)
    predictions = predict_split(model, faces, split, tta)
    run = run_with_ledger(model)
    if run is not None and holds_test(predictions, chosen):
        # Record the use before computing metrics, because the split was used even if a later step fails.
        shown = predictions.with_scheme(scheme)
        facts = {"data_fingerprint": data.fingerprint, **use, "accuracy": shown.accuracy}
        facts |= {"note": shown.note} if shown.note else {}
        facts |= {"classes": scheme.name} if scheme is not None else {}
        run.note_test_use(facts)
    measured = MeasuredSplit.resolve(predictions, faces, model, uncleaned=data.uncleaned)
    # Fingerprint the data before classes are dropped, because a report loads it in the same way.
    fingerprint = data.faces.fingerprint_for_predictions(split)
    return replace(measured, predictions=replace(measured.predictions, data_fingerprint=fingerprint))


def _without_dropped(model: Predictor, faces: Dataset, scheme: LabelScheme) -> Dataset:
    """Remove faces whose class is unknown to the model and dropped by the scheme, such as contempt with ``seven``."""
    merged = {name for group in scheme.groups.values() for name in group}
    kept = [name for name in faces.classes if name in model.classes or name in merged]
    if len(kept) == len(faces.classes):
        return faces
    left = faces.with_scheme(LabelScheme(scheme.name, {name: (name,) for name in kept}))
    # A model that was trained on the data was trained on these faces, and its temperature fitted.
    return left.with_fingerprints(faces.fingerprint, faces.fingerprint_without_test)


def _check_column(by: str, faces: Dataset, split: str) -> None:
    """Raise a DataError for no such column, several values per face, or values that make no groups."""
    if by == "split":
        raise DataError(f"An evaluation has one split, here '{split}'; choose another with --split.", code="columns")
    if by not in faces.columns:
        known = nearest(by, faces.columns) if faces.columns else " It has only images and labels."
        raise DataError(f"The data has no column '{by}'." + known, code="columns")
    if faces.columns[by].ndim != 1:
        words = f"The column '{by}' has {faces.columns[by].shape[1]} values per face; --by needs one."
        raise DataError(words, code="columns")
    group_values(faces.columns[by])


def _measure(
    split: MeasuredSplit, scheme: LabelScheme | None, metrics: Sequence[NamedMetric], by: str | None, **about: Any
) -> EvaluationResult:
    merged, notices = split.with_scheme(scheme), list[Notice]()
    evaluation = merged.evaluate(metrics)
    if evaluation.trained_on_notice is not None:
        notices.append(evaluation.trained_on_notice)
    if by is not None and merged.faces is not None:
        found = break_down(by, merged.predictions, merged.faces.columns[by])
        evaluation = replace(evaluation, by=found)
        if small := [f"{part.value} ({part.count:,})" for part in found.parts if part.count < MIN_COMPARED]:
            names = f"{', '.join(small[:3])}{', ...' if len(small) > 3 else ''}"
            words = f"{by}: values with fewer than {MIN_COMPARED} samples, not compared ({len(small):,}): {names}."
            notices.append(Notice(words, code="groups-small"))
        if lost := len(merged.predictions) - sum(part.count for part in found.parts):
            words = f"{by}: left out {counted(lost, 'sample')} without a value."
            notices.append(Notice(words, code="values-missing"))
    words = ""
    if scheme is not None:
        counts = f"{len(merged.predictions):,} of {len(split.predictions):,} samples"
        words = f"merged after the prediction by '{scheme.name}': {counts}"
    return EvaluationResult(evaluation, merged, merged=words, notices=notices, **about)


def run_with_ledger(model: Predictor) -> RunFolder | None:
    """Return the run folder that records uses of the test split; None for built-in models and single files."""
    run = run_of(model)
    return None if run is None or is_shipped_run(run) else run


def evaluate_file(
    path: str | os.PathLike[str], *, classes: str | None = None, metrics: Sequence[Metric] = ()
) -> EvaluationResult:
    """Evaluate a predictions file; model and images are not needed. See docs/predictions.md and :func:`evaluate`."""
    predictions = read_predictions(path)
    note = "" if predictions.temperature is None else f"at temperature {predictions.temperature:.3g}"
    scheme, chosen = parse_scheme(classes or "all"), find_metrics(metrics)
    return _measure(MeasuredSplit(predictions), scheme, chosen, None, temperature_note=note)


def robustness(
    model: Model, data: Data, split: str = "validation", *, limit: int | None = None, seed: int = 0
) -> RobustnessResult:
    """Measure a model on images with noise, blur, bad light, occlusion and more, at five strengths each.

    Args:
        model: a loaded model, a run folder, a ``.onnx`` file, or a name in :func:`list_models`.
        data: labelled faces.
        split: the split: validation or train. Only :func:`mien.evaluate` uses test.
        limit: use at most so many randomly chosen samples.
        seed: random seed of the corruptions and of the choice.

    Raises:
        DataError: ``split`` is test or does not exist, ``limit`` is below 1 (``options``), or ``seed`` is negative.
    """
    check_seed(seed)
    if limit is not None and (limit < 1 or limit % 1):
        raise DataError(f"limit must be a whole number, 1 or more; found {limit}.", code="options")
    predictor = for_labels(model)
    result = read(data, *predictor.manifest.input.size_and_channels)
    faces = with_model_classes(predictor, result.faces).of_split(split)
    if split == ALL or (faces.split == "test").any():
        raise DataError("split must be validation or train. Only mien evaluate uses the test split.", code="options")
    if limit is not None and limit < len(faces):
        faces = faces.subset(np.sort(np.random.default_rng(seed).choice(len(faces), limit, replace=False)))
    fingerprint = result.faces.fingerprint_for_predictions(split)
    measured = measure_robustness(predictor.probabilities, faces.images, faces.labels, seed=seed, groups=faces.groups)
    name = predictor.manifest.full_name if isinstance(model, Predictor) else str(model)
    trained_on = int(trained_samples(predictor, result.faces, split, faces.rows).sum())
    return replace(
        measured, model=name, data=data_name(data), split=split, data_fingerprint=fingerprint, trained_on=trained_on
    )
