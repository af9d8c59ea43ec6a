"""The full report of a model's predictions, with all sections that the given data and model allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mien.data.dataset import Dataset
from mien.errors import DataError
from mien.evaluation.predictions import Predictions
from mien.inference.predictor import Predictor
from mien.page.blocks import Section
from mien.page.page import Page, WrittenPage
from mien.page.sections import confusion_section, evaluation_lead, metrics_section, training_section
from mien.page.votes import votes_section
from mien.pipeline.find_files import find_robustness
from mien.pipeline.matching import check_model, holds_test
from mien.pipeline.measured_split import MeasuredSplit
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
    lambda context: metrics_section(context.evaluation),
    lambda context: confusion_section(context.evaluation, cell_faces(context)),
    curves_section,
    lambda context: training_section(context.history, context.best_epoch, context.class_counts, context.classes),
    calibration_section,
    lambda context: None if context.evaluation.votes is None else votes_section(context.evaluation.votes),
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
        uncleaned: the data before a list of changes was applied; see ``MeasuredSplit``.
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
    members = [] if model is None or faces is None else [(model, faces)]
    split = MeasuredSplit.resolve(predictions, faces, members, uncleaned=uncleaned)
    predictions, chosen = split.predictions, split.faces
    is_test = holds_test(predictions, chosen)
    temperature = None if model is None or chosen is None else check_model(model, chosen, predictions)
    history = run.read_history() if run is not None else []
    context = ReportContext(
        predictions=predictions,
        evaluation=split.evaluate(resamples),
        faces=chosen,
        class_counts=split.class_counts,
        history=history,
        best_epoch=model.manifest.epoch if model is not None and history else None,
        predict=None if model is None or is_test else model.probabilities,
        robustness=find_robustness(robustness, predictions, model_name),
        resamples=resamples,
        level=level,
        model=model,
        run=run,
        all_faces=split.all_faces,
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
