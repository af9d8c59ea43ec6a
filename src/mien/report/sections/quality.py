"""How good: the classification report, the confusion matrix, ROC and precision-recall curves, training and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.evaluation.curves import precision_recall_curves, roc_curves
from mien.evaluation.results import Evaluation, Part
from mien.report.blocks import Block, Column, Pair, Plot, Section, Table, Text
from mien.report.figures import class_bars, confusion_heat_map, training_curve
from mien.report.material import Material
from mien.report.plots import precision_recall_plot, roc_averages_plot, roc_plot


def classification_report(evaluation: Evaluation) -> Table:
    """Precision, recall, F1 and area under the ROC curve of each class, then their averages."""
    columns = (
        Column("class", "text"), Column("precision"), Column("recall"), Column("F1"), Column("AUC"),
        Column("rows", "count"),
    )  # fmt: skip
    figures = (*evaluation.per_class, evaluation.macro, evaluation.weighted)
    rows = [(each.name, each.precision, each.recall, each.f1, each.auc, each.support) for each in figures]
    return Table("classification-report", columns, rows)


def classes_section(material: Material) -> Section:
    """Figures of each class, and what is taken for what."""
    evaluation = material.evaluation
    # Shares by true class; a class without rows has none.
    totals = evaluation.confusion.sum(axis=1, keepdims=True)
    shares = np.divide(evaluation.confusion, totals, out=np.full(totals.shape[:1] * 2, np.nan), where=totals > 0)
    truth = "true class" if "true class" not in material.classes else "the true class of the row"
    counts_columns = (Column(truth, "text"), *(Column(name, "count") for name in material.classes))
    shares_columns = (Column(truth, "text"), *(Column(name, "percent") for name in material.classes))
    counts = [(name, *line) for name, line in zip(material.classes, evaluation.confusion.tolist(), strict=True)]
    parts = [(name, *line) for name, line in zip(material.classes, shares.tolist(), strict=True)]
    caption = (
        "Each line is a true class: percent of its rows, and below their number, that were taken for each class. The "
        "diagonal is right."
    )
    return Section(
        "classes",
        "Each class",
        (
            classification_report(evaluation),
            Text(
                "Precision: of the rows called so, the share that is. Recall: of the rows that are, the share called "
                "so. F1: their harmonic mean. AUC: how often a row of the class is ranked above a row of any other.",
                soft=True,
            ),
            Plot(confusion_heat_map(evaluation.confusion, evaluation.classes), caption),
            Table("confusion-counts", counts_columns, counts, shown=0),
            Table("confusion-shares", shares_columns, parts, shown=0),
            *_without_copies(material),
        ),
    )


COPIES_WORDS = (
    "Seen before: an identical picture is in train (for test: or in validation). Copies that disagree: an identical "
    "picture has another label. Near-copies are not looked for here: mien audit finds them."
)


def parts_table(parts: Sequence[Part]) -> Table:
    """A score on all rows, and without those that copies spoil."""
    columns = (
        Column("score on", "text"), Column("rows", "count"), Column("accuracy", "percent"), Column("macro-F1"),
    )  # fmt: skip
    return Table("without-copies", columns, [(each.value, each.count, each.accuracy, each.macro_f1) for each in parts])


def _without_copies(material: Material) -> list[Block]:
    if not material.subsets:
        return []
    return [
        parts_table(material.subsets),
        Text(COPIES_WORDS, soft=True),
    ]


def curves_section(material: Material) -> Section:
    """One-vs-rest ROC and precision-recall curves."""
    labels, probabilities = material.scores.labels, material.scores.probabilities
    roc = roc_curves(labels, probabilities, material.resamples)
    recall = precision_recall_curves(labels, probabilities, material.resamples)
    rows: list[tuple[Any, ...]] = [
        (name, curve.area, of_recall.average_precision, of_recall.prevalence)
        for name, curve, of_recall in zip(material.classes, roc.per_class, recall, strict=True)
    ]
    rows += [("macro average", roc.macro.area, None, None), ("micro average", roc.micro.area, None, None)]
    columns = (
        Column("class", "text"), Column("AUC"), Column("average precision"), Column("share of the rows", "percent"),
    )  # fmt: skip
    plots = [
        Plot(
            roc_averages_plot(roc),
            "Macro: mean over classes. Micro: all decisions pooled. Bands: 95 %, point by point.",
        ),
        Plot(
            precision_recall_plot(recall, material.classes),
            "Precision against recall of each class, with its average precision and 95 % band; chance is its share of "
            "the rows.",
        ),
    ]
    blocks: list[Block] = []
    if any(len(curve.false_positive_rate) for curve in roc.per_class):
        caption = "ROC: each class against the rest, with its area and 95 % band. Dotted: chance."
        plots.insert(0, Plot(roc_plot(roc, material.classes), caption))
    else:
        blocks.append(Text("All rows are of one class: there is no rest to tell it from, so it has no ROC curve."))
    return Section(
        "curves", "Telling each class from the rest", (*blocks, Pair(tuple(plots)), Table("areas", columns, rows))
    )


def training_section(material: Material) -> Section:
    """Loss and accuracy over the epochs, and class sizes."""
    blocks: list[Block] = []
    history, best = material.history, material.best_epoch
    if history:
        plots = [
            Plot(training_curve(history, what, best), f"{what.capitalize()} after each epoch.")
            for what in ("accuracy", "loss")
        ]
        blocks.append(Pair(tuple(plots)))
        if best is not None:
            blocks.append(
                Text(
                    f"The dotted line marks the epoch whose weights were kept and measured, {best} of {len(history)}.",
                    soft=True,
                )
            )
        names = tuple(history[0])
        rows = [tuple(line.get(name) for name in names) for line in history]
        blocks.append(Table("history", tuple(Column(name) for name in names), rows, shown=0))
    else:
        blocks.append(Text("There is no training history: only the model's answers are known, not how it was trained."))
    if material.class_counts:
        blocks.append(
            Plot(
                class_bars(material.class_counts, material.classes),
                "Share of each class in each split; the number of faces stands at the end of its bar.",
            )
        )
        splits = tuple(material.class_counts)
        table = [
            (name, *(int(material.class_counts[split][index]) for split in splits))
            for index, name in enumerate(material.classes)
        ]
        columns = (Column("class", "text"), *(Column(split, "count") for split in splits))
        blocks.append(Table("class-sizes", columns, table, shown=0))
    return Section("training", "Training and data", tuple(blocks))
