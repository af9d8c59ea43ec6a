"""Sections and tables shared by several pages: metrics, confusion matrix, votes, training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mien.base.errors import Notice
from mien.base.labels import FERPLUS_CLASSES, NO_EXPRESSION
from mien.evaluation.results import (
    AnswerEvaluation,
    DistributionMetrics,
    Estimate,
    Evaluation,
    SubsetMetrics,
    VoteEvaluation,
)
from mien.page.blocks import (
    Block,
    CaptionedChart,
    CellFaces,
    Column,
    FaceRow,
    Metric,
    MetricCards,
    Row,
    Section,
    Table,
    Text,
)
from mien.page.charts.curves import vote_reliability_chart
from mien.page.charts.overview import class_chart, confusion_chart, runs_chart, training_chart
from mien.page.wording import (
    UNDEFINED,
    decimal,
    headline,
    interval_text,
    percent,
    samples_text,
    value_text,
)

COPIES_WORDS = (
    "Leaked: an identical image or a near-copy (mirrored, shifted, cropped, recompressed, lighter) is in train, or, "
    "for a test sample, in validation. Conflicting copies: an identical image has another label."
)
_TRAINED_WORDS = " Samples that the model was trained on also count as leaked, if its run folder lists them."

_INTERVAL_WORDS = (
    "The 95% intervals show how much a metric varies with the choice of {units} ({resamples:,} bootstrap resamples). "
    "They do not include the variation between training runs. A dash: there is no value, or no interval."
)

_METRIC_WORDS = (
    "Precision: TP / (TP + FP). Recall: TP / (TP + FN). F1: their harmonic mean. AUC: probability that a sample of "
    "the class ranks above a sample of another class."
)

WIDEST_CONFUSION = 7
"""A narrow screen shows at most so many classes without scrolling."""


def evaluation_lead(evaluation: Evaluation) -> str:
    """Describe the evaluated samples, and classes without samples."""
    counts = f"{samples_text(evaluation.samples)}, {len(evaluation.classes)} classes"
    lead = f"Metrics on the {evaluation.split} split: {counts}."
    absent = [metrics.name for metrics in evaluation.per_class if not metrics.support]
    return f"{lead} Without samples, and excluded from averages: {', '.join(absent)}." if absent else lead


ANSWER_METRICS: dict[str, tuple[str, str]] = {
    "right": ("Right", "answers that are the true class"),
    "wrong": ("Wrong", "other answers"),
    "unsure": ("Unsure", "no answer: the probability is below the model's limit"),
    "balanced_accuracy": ("Balanced accuracy", "mean recall over classes"),
    "calibration_error": ("Calibration error", "gap between the shown probability and the fraction of right answers"),
}
"""Name and meaning of the headline metrics of :class:`AnswerEvaluation`."""


def answer_words(answer: AnswerEvaluation) -> str:
    """Describe which output gives the answer, and which truth it is compared with."""
    output = f"the output '{answer.output}'" if answer.output else "the most probable class"
    truth = "the label" if answer.truth == "label" else "the majority of the annotators, of the samples that have one"
    return f"Answers by {output}; the truth is {truth}: {samples_text(answer.samples)}."


def answer_cells(answer: AnswerEvaluation) -> list[tuple[str, str, str, str]]:
    """Return name, value, interval and meaning of each headline metric and of the largest class, as text."""
    cells = []
    for key, (name, meaning) in ANSWER_METRICS.items():
        kind = "calibration_error" if key == "calibration_error" else "accuracy"
        estimate: Estimate = getattr(answer, key)
        cells.append((name, value_text(kind, estimate.value), interval_text(kind, estimate), meaning))
    share = value_text("accuracy", answer.largest_share)
    always = f"right if the answer were always {answer.largest_class}"
    return [*cells, (f"Largest class: {answer.largest_class}", share, UNDEFINED, always)]


def answer_table(answer: AnswerEvaluation) -> Table:
    """Return a table of recall and unsure answers for each true class."""
    columns = (
        Column("true class", "text"), Column("samples", "count"), Column("recall", "percent"),
        Column("unsure", "percent"),
    )  # fmt: skip
    rows = [(each.name, each.samples, each.recall, each.unsure) for each in answer.per_class]
    return Table("answers", columns, rows)


def answers_section(answer: AnswerEvaluation) -> Section:
    """Build the section about the answers that users get: right, wrong and unsure, and recall per class."""
    cards = MetricCards(tuple(Metric(*each) for each in answer_cells(answer)))
    return Section("answers", "What users get", (Text(answer_words(answer), soft=True), cards, answer_table(answer)))


def metrics_table(evaluation: Evaluation) -> Table:
    """Return a table of headline metrics with intervals."""
    columns = (Column("metric", "text"), Column("value", "number"), Column("95% interval", "number"))
    rows = [
        (headline(key).name, value_text(key, estimate.value), interval_text(key, estimate))
        for key, estimate in evaluation.headline.items()
    ]
    rows.insert(2, (f"Always '{evaluation.largest_class}'", percent(evaluation.largest_share), ""))
    return Table("metrics", columns, rows)


def classification_report(evaluation: Evaluation) -> Table:
    """Return a table of precision, recall, F1 and ROC AUC of each class, and their averages."""
    columns = (
        Column("class", "text"), Column("precision"), Column("recall"), Column("F1"), Column("AUC"),
        Column("samples", "count"),
    )  # fmt: skip
    metrics = (*evaluation.per_class, evaluation.macro, evaluation.weighted)
    rows = [(each.name, each.precision, each.recall, each.f1, each.auc, each.support) for each in metrics]
    return Table("classification-report", columns, rows)


def subsets_table(parts: Sequence[SubsetMetrics], header: str = "measured on") -> Table:
    """Return a table of accuracy and macro-F1 on subsets, such as all samples and those without copies."""
    columns = (
        Column(header, "text"), Column("samples", "count"), Column("accuracy", "percent"), Column("macro-F1"),
    )  # fmt: skip
    return Table("without-copies", columns, [(each.value, each.count, each.accuracy, each.macro_f1) for each in parts])


def metrics_section(evaluation: Evaluation) -> Section:
    """Build the section of headline metrics with explanations, and metrics without copies, if known."""
    notice = evaluation.trained_on_notice
    units = "samples" if evaluation.groups is None else f"the {evaluation.groups:,} groups"
    meanings = [headline(key).meaning for key in evaluation.headline]
    meanings.insert(2, "accuracy of always answering the largest class")
    cards = tuple(
        Metric(name, value, interval or UNDEFINED, meaning)
        for (name, value, interval), meaning in zip(metrics_table(evaluation).rows, meanings, strict=True)
    )
    blocks: list[Block] = [
        MetricCards(cards),
        *(() if notice is None else (Text(notice),)),
        Text(_INTERVAL_WORDS.format(resamples=evaluation.resamples, units=units), soft=True),
    ]
    if evaluation.subsets:
        blocks += [subsets_table(evaluation.subsets), Text(COPIES_WORDS + _TRAINED_WORDS, soft=True)]
    return Section("metrics", "Metrics", tuple(blocks))


def confusion_section(evaluation: Evaluation, faces: Mapping[tuple[int, int], FaceRow] | None = None) -> Section:
    """Build the section of the confusion matrix and metrics per class, with counts and percentages as files.

    ``faces`` are those that a click on a cell (true class, predicted class) shows; some cells only.
    """
    keys = {cell: f"cell-{cell[0]}-{cell[1]}" for cell in faces or {}}
    cells = tuple((keys[cell], row) for cell, row in (faces or {}).items())
    classes = evaluation.classes
    # If a class has no samples, it has no percentages.
    totals = evaluation.confusion.sum(axis=1, keepdims=True)
    percentages = np.divide(
        evaluation.confusion, totals, out=np.full(evaluation.confusion.shape, np.nan), where=totals > 0
    )
    header = "true class" if "true class" not in classes else "true class of the sample"
    counts = [(name, *line) for name, line in zip(classes, evaluation.confusion.tolist(), strict=True)]
    rows = [(name, *line) for name, line in zip(classes, percentages.tolist(), strict=True)]
    chart = CaptionedChart(
        confusion_chart(evaluation.confusion, classes, keys),
        "Each row is a true class, each column a predicted class. A cell shows the percentage of the row and the "
        "count. The diagonal is correct.",
        scrolls=len(classes) > WIDEST_CONFUSION,
    )
    names = Column(header, "text")
    of_classes = (chart, classification_report(evaluation))
    blocks = (
        *(of_classes if chart.scrolls else (Row(of_classes),)),
        *([CellFaces(cells, "confusion")] if cells else []),
        Text(_METRIC_WORDS, soft=True),
        Table("confusion-counts", (names, *(Column(name, "count") for name in classes)), counts, shown=0),
        Table("confusion-percent", (names, *(Column(name, "percent") for name in classes)), rows, shown=0),
    )
    return Section("confusion", "Confusion matrix", blocks)


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Block]:
    """Return charts of validation accuracy and loss of several runs by name; empty without two histories."""
    known = {name: history for name, history in histories.items() if history}
    if len(known) < 2:
        return []
    charts = (
        CaptionedChart(runs_chart(known, metric), f"{words} after each epoch.")
        for metric, words in (("validation_accuracy", "Validation accuracy"), ("validation_loss", "Validation loss"))
        if any(metric in history[0] for history in known.values())
    )
    return [Row(tuple(charts))]


def training_section(
    history: Sequence[Mapping[str, Any]],
    best_epoch: int | None,
    class_counts: Mapping[str, Sequence[int]],
    classes: Sequence[str],
) -> Section:
    """Build the section of loss and accuracy by epoch, and the class balance of each split; both may be empty."""
    blocks: list[Block] = []
    if history:
        words = {"learning_rate": "Learning rate at the end of each epoch.", "macro_f1": "Macro-F1 after each epoch."}
        charts = [
            CaptionedChart(
                training_chart(history, metric, best_epoch),
                words.get(metric, f"{metric.capitalize()} after each epoch."),
            )
            for metric in ("accuracy", "loss", "macro_f1", "learning_rate")
            if {metric, f"validation_{metric}"} & history[0].keys()
        ]
        blocks.append(Row(tuple(charts)))
        if best_epoch is not None:
            blocks.append(
                Text(f"The dotted line marks the epoch whose weights were kept: {best_epoch} of {len(history)}.", True)
            )
        names = tuple(history[0])
        rows = [tuple(line.get(name) for name in names) for line in history]
        blocks.append(Table("history", tuple(Column(name, "number") for name in names), rows, shown=0))
    else:
        blocks.append(
            Text(Notice("The training history is unknown: only the predictions were given.", code="history-unknown"))
        )
    if class_counts:
        chart = CaptionedChart(class_chart(class_counts, classes), "Class balance of each split.")
        splits = tuple(class_counts)
        rows = [(name, *(int(class_counts[split][at]) for split in splits)) for at, name in enumerate(classes)]
        columns = (Column("class", "text"), *(Column(split, "count") for split in splits))
        blocks.append(Row((chart, Table("class-counts", columns, rows))))
    else:
        blocks.append(Text(Notice("The class balance of the data is unknown.", code="class-balance-unknown")))
    return Section("training", "Training", tuple(blocks))


_PROTOCOL_WORDS = (
    "FER+'s protocol: a class that only one of several people chose loses this vote. The majority is the class with "
    "more than half of the remaining votes. Samples without a majority, or whose majority is unknown or not a face, "
    "are left out. The prediction is the most probable expression."
)


def majority_words(votes: VoteEvaluation) -> str:
    """Describe how many samples have a majority, and how many have no votes."""
    without = f" Without votes, and not counted: {samples_text(votes.without_votes)}." if votes.without_votes else ""
    if not votes.majority:
        return f"No majority: of {samples_text(votes.samples)}, none has a majority that is an expression.{without}"
    classes = votes.majority[0].evaluation.classes
    of_ferplus = set(classes) == set(FERPLUS_CLASSES) - set(NO_EXPRESSION)
    return (
        f"{'FER+ majority' if of_ferplus else 'Majority of the votes, by the protocol of FER+,'} of {len(classes)} "
        f"classes: {votes.with_majority:,} of {samples_text(votes.samples)} have a majority."
        f"{without}"
    )


def majority_table(votes: VoteEvaluation) -> Table:
    """Return a table of each output's accuracy and macro-F1, on all samples with a majority and without copies."""
    columns = (
        Column("output", "text"), Column("measured on", "text"), Column("samples", "count"),
        Column("accuracy", "percent"), Column("macro-F1"),
    )  # fmt: skip
    rows = [
        (each.output, part.value, part.count, part.accuracy, part.macro_f1)
        for each in votes.majority
        for part in each.parts
    ]
    return Table("ferplus-majority", columns, rows)


def distribution_table(metrics: DistributionMetrics) -> Table:
    """Return a table of distances between the predicted distributions and those of the votes."""
    rows = [
        (f"cross-entropy, nats; best {decimal(metrics.vote_entropy)}", metrics.cross_entropy),
        ("calibration error against annotators; 0 is best", metrics.calibration_error),
    ]
    return Table("vote-distribution", (Column("metric", "text"), Column("value")), rows)


def votes_section(votes: VoteEvaluation) -> Section:
    """Build the section about accuracy on the annotators' majority, and about the distribution of votes."""
    blocks: list[Block] = [Text(majority_words(votes))]
    if votes.majority:
        blocks += [majority_table(votes), Text(_PROTOCOL_WORDS, soft=True)]
    if votes.distribution is not None:
        chart = CaptionedChart(
            vote_reliability_chart(votes.distribution.reliability),
            "Fraction of annotators who chose the predicted class, by its probability, with 95% intervals. Below the "
            "dotted line the model is overconfident.",
        )
        blocks.append(Row((chart, distribution_table(votes.distribution))))
    return Section("votes", "Votes of annotators", tuple(blocks))
