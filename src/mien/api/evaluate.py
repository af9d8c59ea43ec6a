"""``mien.evaluate``: compute metrics of a model or a predictions file."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from mien.api.inputs import Data, Model, data_name, for_labels, read, run_of
from mien.base.errors import MienWarning, Notice
from mien.base.labels import LabelScheme, parse_scheme
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import ReadResult
from mien.evaluation.estimates import LEAST_COMPARED, break_down, group_gaps
from mien.evaluation.named_metrics import Metric, find_metrics
from mien.evaluation.predictions import read_predictions
from mien.evaluation.results import BreakDown
from mien.inference.find_model import is_shipped_run
from mien.inference.predictor import Predictor
from mien.page.wording import counted
from mien.pipeline.evaluate import EvaluateOptions, EvaluationResult, check_options, predict_to_evaluate
from mien.pipeline.measured_split import MeasuredSplit, holds_test
from mien.pipeline.split_predictions import temperature_description


def evaluate(
    model: Model,
    data: Data,
    split: Literal["train", "validation", "test", "all"] = "validation",
    *,
    tta: int = 1,
    classes: str | None = None,
    by: str | None = None,
    metrics: Sequence[Metric] = (),
) -> EvaluationResult:
    """Evaluate a model on one split of labelled faces.

    Each use of the test split is recorded in the ledger of the model's run folder.

    Args:
        model: a loaded model, a run folder, a ``.onnx`` file, or a name in :func:`list_models`.
        data: labelled faces.
        split: split to use; ``all`` is for a model that was not trained on any of the data.
        tta: number of averaged views of each face: 1, 2 (mirrored) or 10 (also corners).
        classes: label scheme that merges classes; samples of dropped classes are left out.
        by: column of the data to break metrics down by.
        metrics: further metrics: names (``"kappa"``, ``"mcc"``, ``"top2_accuracy"``, ...), your own functions of labels
            int64 (N,) and probabilities float64 (N, C), or ``"file.py:function"``.

    Raises:
        DataError: no such split, column, scheme or metric, labels that are not classes of the model, or a metric that
            raises or returns no number.
    """
    options = EvaluateOptions(split, by, tta, parse_scheme(classes or "all"), find_metrics(metrics))
    predictor = for_labels(model)
    check_options(options, predictor)
    read_data = read(data, *predictor.manifest.input.stored_as)
    result = evaluate_read(predictor, read_data, options, {"data": data_name(data)})
    for each in result.notices:
        warnings.warn(MienWarning(str(each), code=each.code), stacklevel=2)
    return result


def evaluate_read(
    model: Predictor, data: ReadResult, options: EvaluateOptions, use: Mapping[str, Any]
) -> EvaluationResult:
    """Evaluate as :func:`evaluate` does, but with a loaded model and loaded data.

    Args:
        model: model checked by :func:`mien.pipeline.evaluate.check_options`.
        data: data loaded at the model's size.
        options: evaluation options.
        use: information about the data that the ledger records when the test split is used.
    """
    faces = _without_dropped(model, data.faces, options)
    predictions = predict_to_evaluate(model, faces, options)
    run = run_with_ledger(model)
    if run is not None and holds_test(predictions, faces.of_split(options.split)):
        # Record the use before computing metrics, because the split was used even if a later step fails.
        merged = predictions.with_scheme(options.scheme)
        facts = {"data_fingerprint": data.fingerprint, **use, "accuracy": merged.accuracy}
        facts |= {"note": merged.note} if merged.note else {}
        facts |= {"classes": options.scheme.name} if options.scheme is not None else {}
        run.note_test_use(facts)
    split = MeasuredSplit.resolve(predictions, faces, model, uncleaned=data.uncleaned)
    # Fingerprint the data before classes are dropped, because a report loads it in the same way.
    fingerprint = data.faces.fingerprint_for_predictions(options.split)
    split = replace(split, predictions=replace(split.predictions, data_fingerprint=fingerprint))
    return _measure(
        split,
        options,
        run=run_of(model),
        name=model.manifest.full_name,
        temperature_note=temperature_description(model, faces, options.split),
    )


def _without_dropped(model: Predictor, faces: Dataset, options: EvaluateOptions) -> Dataset:
    """Remove faces whose class is unknown to the model and dropped by the scheme, such as contempt with ``seven``."""
    if options.scheme is None:
        return faces
    merged = {name for group in options.scheme.groups.values() for name in group}
    kept = [name for name in faces.classes if name in model.classes or name in merged]
    if len(kept) == len(faces.classes):
        return faces
    left = faces.with_scheme(LabelScheme(options.scheme.name, {name: (name,) for name in kept}))
    # A model that was trained on the data was trained on these faces, and its temperature fitted.
    return left.with_fingerprints(faces.fingerprint, faces.fingerprint_without_test)


def _measure(split: MeasuredSplit, options: EvaluateOptions, **about: Any) -> EvaluationResult:
    merged, by = split.with_scheme(options.scheme), None
    if options.by is not None:
        assert merged.faces is not None
        values = merged.faces.columns[options.by]
        gaps = group_gaps(merged.predictions, values)
        by = BreakDown(options.by, tuple(break_down(merged.predictions, values)), gaps)
    evaluation = replace(merged.evaluate(options.metrics), by=by)
    notices = [] if evaluation.trained_on_notice is None else [evaluation.trained_on_notice]
    parts = () if evaluation.by is None else evaluation.by.parts
    if small := [f"{part.value} ({part.count:,})" for part in parts if part.count < LEAST_COMPARED]:
        names = f"{', '.join(small[:3])}{', ...' if len(small) > 3 else ''}"
        words = (
            f"{options.by}: values with fewer than {LEAST_COMPARED} samples, not compared ({len(small):,}): {names}."
        )
        notices.append(Notice(words, code="groups-small"))
    if by is not None and (lost := len(merged.predictions) - sum(part.count for part in parts)):
        words = f"{options.by}: left out {counted(lost, 'sample')} without a value."
        notices.append(Notice(words, code="values-missing"))
    words = ""
    if options.scheme is not None:
        counts = f"{len(merged.predictions):,} of {len(split.predictions):,} samples"
        words = f"merged after the prediction by '{options.scheme.name}': {counts}"
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
    known = predictions.temperature is not None
    return _measure(
        MeasuredSplit(predictions),
        EvaluateOptions(predictions.split, scheme=parse_scheme(classes or "all"), metrics=find_metrics(metrics)),
        temperature_note=f"at temperature {predictions.temperature:.3g}" if known else "",
    )
