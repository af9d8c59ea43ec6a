"""Tables and words that pages and the terminal share: metrics, answers, votes; and learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mien.base.labels import FERPLUS_CLASSES, NO_EXPRESSION
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import AnswerEvaluation, DistributionMetrics, Evaluation, SubsetMetrics, VoteEvaluation
from mien.page.blocks import Block, CaptionedChart, Column, FaceTile, Row, Table, columns_of
from mien.page.plots import runs_chart
from mien.page.rendering import data_address
from mien.page.wording import Cell, Format, counted, decimal, initial, metric_format, percent

COPIES_WORDS = (
    "Leaked: an identical image or a near-copy (mirrored, shifted, cropped, recompressed, lighter) is in train, or, "
    "for a test sample, in validation. Conflicting copies: an identical image has another label."
)
MAX_UNSCROLLED_CLASSES = 7
"""A narrow screen shows at most so many classes without scrolling."""


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
    return f"Answers by {output}; the truth is {truth}: {counted(answer.samples, 'sample')}."


def answer_cells(answer: AnswerEvaluation) -> list[tuple[str, Cell, str]]:
    """Return name, value and meaning of each headline metric and of the largest class."""
    kinds: dict[str, Format] = {key: "decimal" if key == "calibration_error" else "percent" for key in ANSWER_METRICS}
    cells = [(name, Cell(getattr(answer, key), kinds[key]), text) for key, (name, text) in ANSWER_METRICS.items()]
    always = f"right if the answer were always {answer.largest_class}"
    return [*cells, (f"Largest class: {answer.largest_class}", Cell(answer.largest_share, "percent"), always)]


def answer_table(answer: AnswerEvaluation) -> Table:
    """Return a table of recall and unsure answers for each true class."""
    columns = columns_of({"true class": "text", "samples": "count", "recall": "percent", "unsure": "percent"})
    rows = [(each.name, each.samples, each.recall, each.unsure) for each in answer.per_class]
    return Table("answers", columns, rows, "Right and unsure answers for each true class.")


def metrics_table(evaluation: Evaluation) -> Table:
    """Return a table of headline metrics with intervals, and the accuracy of always answering the largest class."""
    rows = [
        (initial(metric.name), Cell(estimate, metric_format(metric)))
        for metric, estimate in zip(evaluation.metrics, evaluation.headline.values(), strict=True)
    ]
    rows.insert(2, (f"Always '{evaluation.largest_class}'", Cell(evaluation.largest_share, "percent")))
    caption = f"Metrics on {counted(evaluation.samples, 'sample')} with 95% intervals."
    return Table("metrics", columns_of({"metric": "text", "value": "number"}), rows, caption)


def classification_report(evaluation: Evaluation) -> Table:
    """Return a table of precision, recall, F1 and ROC AUC of each class, and their averages."""
    shares = columns_of({"class": "text", "precision": "percent", "recall": "percent", "F1": "percent"})
    columns = (*shares, Column("AUC"), Column("samples", "count"))
    metrics = (*evaluation.per_class, evaluation.macro, evaluation.weighted)
    rows = [(each.name, each.precision, each.recall, each.f1, each.auc, each.support) for each in metrics]
    return Table("classification-report", columns, rows, "Precision, recall, F1 and AUC of each class.")


def subsets_table(parts: Sequence[SubsetMetrics], header: str = "measured on", caption: str = "") -> Table:
    """Return a table of accuracy and macro-F1 on subsets, such as all samples and those without copies."""
    measured = columns_of({"samples": "count", "accuracy": "percent", "macro-F1": "percent"})
    rows = [(each.value, each.count, each.accuracy, each.macro_f1) for each in parts]
    return Table("without-copies", (Column("measured on", "text", header), *measured), rows, caption)


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


def sample_tile(predictions: Predictions, at: int, faces: Dataset, index: int, caption: str) -> FaceTile:
    """Show a predicted sample: its face in a data set; on click its probabilities, the largest first, votes and file.

    ``at`` is its place in the predictions, ``index`` that in the data.
    """
    classes, probabilities = predictions.classes, predictions.probabilities[at]
    likeliest = [(classes[of], float(probabilities[of])) for of in np.argsort(-probabilities, kind="stable")]
    facts = {"votes": faces.votes_on(index), "sample": f"{predictions.sample_ids[at]}, {faces.split[index]}"}
    facts["file"] = str(faces.source[index])
    bars = ((name, percent(share, 0), share) for name, share in likeliest)
    detail = (*bars, *((name, text, None) for name, text in facts.items() if text))
    return FaceTile(data_address(faces.images[index]), caption, detail)


def majority_words(votes: VoteEvaluation) -> str:
    """Describe how many samples have a majority, and how many have no votes."""
    without = f" Not counted: {counted(votes.without_votes, 'sample')} without votes." if votes.without_votes else ""
    if not votes.majority:
        return f"None of {counted(votes.samples, 'sample')} has a majority that is an expression.{without}"
    classes = votes.majority[0].evaluation.classes
    of_ferplus = set(classes) == set(FERPLUS_CLASSES) - set(NO_EXPRESSION)
    return (
        f"{'FER+ majority' if of_ferplus else 'Majority of the votes, by the protocol of FER+,'} of {len(classes)} "
        f"classes: {votes.with_majority:,} of {counted(votes.samples, 'sample')} have a majority.{without}"
    )


def majority_table(votes: VoteEvaluation) -> Table:
    """Return a table of each output's accuracy and macro-F1, on all samples with a majority and without copies."""
    tables = [(each.output, subsets_table(each.parts)) for each in votes.majority]
    columns = (Column("output", "text"), *tables[0][1].columns)
    rows = [(output, *row) for output, table in tables for row in table.rows]
    return Table("ferplus-majority", columns, rows, "Accuracy and macro-F1 on the majority of the annotators.")


def distribution_table(metrics: DistributionMetrics) -> Table:
    """Return a table of distances between the predicted distributions and those of the votes."""
    rows = [
        (f"cross-entropy, nats; best {decimal(metrics.vote_entropy)}", metrics.cross_entropy),
        ("calibration error against annotators; 0 is best", metrics.calibration_error),
    ]
    caption = "Distance between the predicted probabilities and the votes of the annotators."
    return Table("vote-distribution", columns_of({"metric": "text", "value": "decimal"}), rows, caption)
