"""How well each class is separated from the rest: ROC and precision-recall curves."""

from __future__ import annotations

from typing import Any

from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.page.blocks import Block, CaptionedChart, ChartRow, Column, Section, Table, Text
from mien.page.charts.curves import precision_recall_chart, roc_averages_chart, roc_chart
from mien.report.context import ReportContext


def curves_section(context: ReportContext) -> Section:
    """One-vs-rest ROC and precision-recall curves."""
    labels, probabilities = context.predictions.labels, context.predictions.probabilities
    roc = roc_curves(labels, probabilities, context.resamples, groups=context.groups)
    recall = precision_recall_curves(labels, probabilities, context.resamples, groups=context.groups)
    rows: list[tuple[Any, ...]] = [
        (name, curve.area, of_recall.average_precision, of_recall.prevalence)
        for name, curve, of_recall in zip(context.classes, roc.per_class, recall, strict=True)
    ]
    rows += [("macro average", roc.macro.area, None, None), ("micro average", roc.micro.area, None, None)]
    columns = (
        Column("class", "text"), Column("AUC"), Column("average precision"), Column("prevalence", "percent"),
    )  # fmt: skip
    charts = [
        CaptionedChart(
            roc_averages_chart(roc),
            "Average ROC curves. Macro: mean over classes. Micro: all decisions pooled. Bands: pointwise 95%.",
        ),
        CaptionedChart(
            precision_recall_chart(recall, context.classes),
            "Precision-recall curve of each class, with its average precision and 95% band. Grey: the other classes. "
            "Chance is the prevalence.",
        ),
    ]
    blocks: list[Block] = []
    if any(len(curve.false_positive_rate) for curve in roc.per_class):
        caption = "ROC curve of each class against the rest, with its AUC and 95% band. Dotted: chance."
        charts.insert(0, CaptionedChart(roc_chart(roc, context.classes), caption))
    else:
        blocks.append(Text("All samples are of one class, so there are no ROC curves."))
    blocks += [ChartRow(tuple(charts)), Table("areas", columns, rows)]
    return Section("curves", "ROC and precision-recall curves", tuple(blocks))
