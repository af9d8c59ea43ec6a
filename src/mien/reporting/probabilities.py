"""Sections about probabilities: ROC and precision-recall curves, calibration."""

from typing import Any

import numpy as np

from mien.evaluation.calibration import Calibration, accuracy_against_coverage, calibrate
from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.page.blocks import Block, CaptionedChart, Column, Row, Section, Table, Text, columns_of
from mien.page.charts.curves import coverage_chart, precision_recall_chart, reliability_chart, roc_chart
from mien.page.wording import decimal
from mien.reporting.context import ReportContext


def curves_section(context: ReportContext) -> Section:
    """Build the section of one-vs-rest ROC and precision-recall curves."""
    labels, probabilities = context.predictions.labels, context.predictions.probabilities
    roc = roc_curves(labels, probabilities, groups=context.groups)
    recall = precision_recall_curves(labels, probabilities)
    support = context.evaluation.confusion.sum(axis=1) / context.evaluation.samples
    areas = ([curve.area for curve in roc.per_class], [curve.area.value for curve in recall], support.tolist())
    rows: list[tuple[Any, ...]] = list(zip(context.classes, *areas, strict=True))
    rows += [("macro average", roc.macro.area, None, None), ("micro average", roc.micro.area, None, None)]
    columns = columns_of({"class": "text", "AUC": "decimal", "average precision": "decimal", "prevalence": "percent"})
    of_recall = CaptionedChart(
        precision_recall_chart(recall, context.classes),
        "Precision-recall curve of each class, with its average precision. Grey: other classes. Chance: prevalence.",
    )
    if any(len(curve.across) for curve in roc.per_class):
        caption = (
            "ROC curve of each class against the rest, with its AUC. Macro: mean over classes. Micro: all decisions "
            "pooled. Dotted: chance."
        )
        first: Block = Row((CaptionedChart(roc_chart(roc, context.classes), caption), of_recall))
    else:
        first = Row((Text("All samples are of one class, so there are no ROC curves."), of_recall))
    table = Table("areas", columns, rows, "AUC and average precision of each class.")
    return Section("curves", "ROC and precision-recall curves", (first, table))


def calibration_section(context: ReportContext) -> Section:
    """Build the section about calibration. No sample is scaled by a temperature fitted on it."""
    predictions = context.predictions
    calibration = calibrate(predictions.labels, predictions.probabilities, context.groups, copies=context.near_copies)
    # With one sample, or only copies, there is no other fold for the fit.
    fitted = not np.isnan(calibration.after.calibration_error)
    after = {"after temperature scaling": calibration.after.reliability} if fitted else {}
    reliability = reliability_chart({"as given" if fitted else "predictions": calibration.before.reliability, **after})
    charts = (
        CaptionedChart(
            reliability,
            "Reliability diagram: accuracy of the predictions by confidence, with 95% intervals. Below the dotted line "
            "the model is overconfident.",
        ),
        CaptionedChart(
            coverage_chart(*accuracy_against_coverage(context.confidence, context.correct)),
            "Accuracy if the model abstains on the faces with the lowest confidence.",
        ),
    )
    words = _temperature_words(context, calibration, fitted)
    names = {"calibration_error": "calibration error (15 bins)", "brier": "Brier score", "log_loss": "log loss"}
    rows = [(name, getattr(calibration.before, key), getattr(calibration.after, key)) for key, name in names.items()]
    columns = (Column("metric, 0 is best", "text"), Column("as given"), Column("after temperature scaling"))
    table = Table("calibration", columns, rows, "Calibration before and after temperature scaling.")
    return Section("calibration", "Calibration", (table, words, Row(charts)))


def _temperature_words(context: ReportContext, calibration: Calibration, fitted: bool) -> Text:
    if not fitted:
        return Text("There are too few different faces to fit a temperature on some and measure it on others.")
    of_folds = ", ".join(decimal(float(each)) for each in np.unique(calibration.fold_temperatures.round(3)))
    unknown = "Without the data, copies may be in different folds."
    together = unknown if context.faces is None else "Near-copies are in the same fold."
    together += " Samples of a group are in the same fold." if context.groups is not None else ""
    return Text(
        f"Temperature fitted on all samples: {decimal(calibration.temperature)}. The metrics after temperature scaling "
        f"are cross-fitted: each fifth of the samples is scaled by the temperature of the other four ({of_folds}). "
        f"{together}",
        soft=True,
    )
