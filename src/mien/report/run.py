"""The full report of a model's predictions, with all sections that the given data and model allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mien.data.dataset import Dataset
from mien.errors import DataError
from mien.evaluation.estimates import evaluate_predictions, evaluate_subsets
from mien.evaluation.predictions import Predictions
from mien.evaluation.vote_metrics import evaluate_votes
from mien.inference.predictor import Predictor
from mien.page.blocks import Section
from mien.page.page import Page, WrittenPage
from mien.page.sections import confusion_section, evaluation_lead, metrics_section, training_section
from mien.page.votes import votes_section
from mien.pipeline.find_files import find_robustness
from mien.pipeline.leakage import leakage_reference
from mien.pipeline.matching import (
    check_fingerprint,
    check_model,
    faces_of_predictions,
    holds_test,
    match_faces,
)
from mien.pipeline.split_predictions import votes_of, with_model_classes
from mien.pipeline.trained_on import leakage_masks, trained_on_notice
from mien.report.context import ReportContext, Skipped
from mien.report.sections.attention import attention_section
from mien.report.sections.calibration import calibration_section
from mien.report.sections.conditions import conditions_section
from mien.report.sections.curves import curves_section
from mien.report.sections.errors import cell_faces, merging_section, pairs_section, worst_section
from mien.report.sections.features import features_section
from mien.report.sections.robustness import robustness_section
from mien.run_folder import RunFolder

SECTIONS: tuple[Callable[[ReportContext], Section | Skipped | None], ...] = (
    lambda context: metrics_section(context.evaluation, context.subsets, context.trained_on),
    lambda context: confusion_section(context.evaluation, cell_faces(context)),
    curves_section,
    lambda context: training_section(context.history, context.best_epoch, context.class_counts, context.classes),
    calibration_section,
    lambda context: None if context.vote_evaluation is None else votes_section(context.vote_evaluation),
    pairs_section,
    worst_section,
    merging_section,
    conditions_section,
    robustness_section,
    attention_section,
    features_section,
)
"""The report's sections in order. One that does not apply is None; one that lacks something says so as Skipped."""


def write_report(
    out: Path,
    predictions: Predictions,
    *,
    title: str,
    faces: Dataset | None = None,
    uncleaned: Dataset | None = None,
    model: Predictor | None = None,
    run: RunFolder | None = None,
    robustness: Sequence[Path] = (),
    model_name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    resamples: int = 1000,
    level: float = 0.9,
    explain: bool = True,
    features: bool = True,
) -> WrittenPage:
    """Write ``report.html`` with its charts and tables into a folder.

    Args:
        out: the folder.
        predictions: of N samples, from any model.
        title: title of the page.
        faces: the data that the predictions are of: all splits, at the image size of the model if there is one. Its
            classes may differ if a label scheme leads to those of the predictions.
        uncleaned: the data before a list of changes was applied; see :func:`mien.pipeline.leakage.leakage_reference`.
        model: the model, for sections that need new predictions.
        run: the run folder of the model, for its training history and for gradients.
        robustness: files or folders in which a ``robustness.json`` may be. The first of this model and split is used.
        model_name: path or name of the model, as for ``mien robustness``; None if unknown.
        metadata: how the page was made, such as model, data and command.
        resamples: bootstrap resamples for each interval.
        level: target coverage of prediction sets, above 0 and below 1.
        explain: add attention maps, if faces and model are given.
        features: add the feature map and the nearest training faces, if faces and model are given.

    Raises:
        DataError: the predictions are not of these faces or this model; ``level`` out of range. Nothing is written
            then, and after any other error.
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    if model is not None and model.classes != predictions.classes:
        raise DataError(
            f"The predictions have the classes {', '.join(predictions.classes)}, the model has "
            f"{', '.join(model.classes)}. Give the model that made the predictions, or none.",
            code="classes-differ",
        )
    everything = chosen = seen = None
    if faces is not None:
        check_fingerprint(faces, predictions)
        seen = leakage_reference([] if model is None else [model], faces, uncleaned)
        if model is None:
            everything = faces_of_predictions(faces, predictions)
        else:
            everything, seen = with_model_classes(model, faces), with_model_classes(model, seen)
        chosen = match_faces(everything, predictions)
        if chosen.groups is not None:
            predictions = replace(predictions, groups=chosen.groups)
        if predictions.votes is None:
            predictions = replace(predictions, votes=votes_of(None, chosen))
    members = [] if model is None or everything is None else [(model, everything)]
    masks, trained_on = ({}, 0) if seen is None else leakage_masks(members, seen, predictions)
    is_test = holds_test(predictions, chosen)
    temperature = None if model is None or chosen is None else check_model(model, chosen, predictions)
    history = run.read_history() if run is not None else []
    context = ReportContext(
        predictions=predictions,
        evaluation=evaluate_predictions(predictions, resamples),
        faces=chosen,
        class_counts={} if everything is None else everything.counts_by_split(),
        history=history,
        best_epoch=model.manifest.epoch if model is not None and history else None,
        predict=None if model is None or is_test else model.probabilities,
        robustness=find_robustness(robustness, predictions, model_name),
        resamples=resamples,
        level=level,
        subsets=evaluate_subsets(predictions, masks, resamples),
        trained_on=trained_on_notice(trained_on, len(predictions)),
        vote_evaluation=evaluate_votes(predictions, masks, resamples),
        model=model,
        run=run,
        all_faces=everything,
        is_test=is_test,
        explain=explain,
        features=features,
    )
    metadata = dict(metadata or {})
    metadata |= _temperature_metadata(model, predictions.temperature if temperature is None else temperature)
    return report_page(context, title, metadata).write(out)


def report_page(context: ReportContext, title: str, metadata: Mapping[str, str]) -> Page:
    """The report as a page; nothing is written yet. Raises as :func:`write_report`."""
    built = [section(context) for section in SECTIONS]
    return Page(
        title,
        evaluation_lead(context.evaluation),
        [each for each in built if isinstance(each, Section)],
        metadata,
        list(dict.fromkeys(each.reason for each in built if isinstance(each, Skipped))),
        classes=context.classes,
    )


def _temperature_metadata(model: Predictor | None, temperature: float | None) -> dict[str, str]:
    if temperature is None:
        return {}
    if model is None:
        return {"probabilities": f"at temperature {temperature:.3g}"}
    in_use = model.manifest.temperature
    if temperature == in_use:
        return {"probabilities": f"at the temperature of the model, {in_use:.3g}"}
    return {"probabilities": f"at temperature {temperature:.3g}; the model itself uses {in_use:.3g}"}
