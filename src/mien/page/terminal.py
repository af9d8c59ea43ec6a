"""An evaluation as tables and words, for pages and the terminal; and tables for a terminal, readable at 80 columns."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Column as RichColumn
from rich.table import Table as RichTable
from rich.text import Text

from mien.base.labels import FERPLUS_CLASSES, NO_EXPRESSION
from mien.data.dataset import Dataset
from mien.evaluation import results
from mien.evaluation.estimates import MIN_COMPARED
from mien.evaluation.predictions import Predictions
from mien.page.page import Block, CaptionedChart, Column, FaceTile, Row, Table, columns_of
from mien.page.plots import runs_chart
from mien.page.wording import Cell, counted, data_address, initial, interval, metric_format, percent, shown

COPIES_WORDS = (
    "Leaked: an identical image or a near-copy (mirrored, shifted, cropped, recompressed, lighter) is in train, or, "
    "for a test sample, in validation. Conflicting copies: an identical image has another label."
)
MAX_UNSCROLLED_CLASSES = 7
"""A narrow screen shows at most so many classes without scrolling."""


def answer_words(answer: results.AnswerEvaluation) -> str:
    """Describe which output gives the answer, and which truth it is compared with."""
    output = f"the output '{answer.output}'" if answer.output else "the most probable class"
    truth = "the label" if answer.truth == "label" else "the majority of the annotators, of the samples that have one"
    return f"Answers by {output}; the truth is {truth}: {counted(answer.samples, 'sample')}."


def answer_cells(answer: results.AnswerEvaluation) -> list[tuple[str, Cell, str]]:
    """Return name, value and meaning of each headline metric and of the largest class."""
    gap = "gap between the shown probability and the fraction of right answers"
    always = f"right if the answer were always {answer.largest_class}"
    return [
        ("Right", Cell(answer.right, "percent"), "answers that are the true class"),
        ("Wrong", Cell(answer.wrong, "percent"), "other answers"),
        ("Unsure", Cell(answer.unsure, "percent"), "no answer: the probability is below the model's limit"),
        ("Balanced accuracy", Cell(answer.balanced_accuracy, "percent"), "mean recall over classes"),
        ("Calibration error", Cell(answer.calibration_error, "decimal"), gap),
        (f"Largest class: {answer.largest_class}", Cell(answer.largest_share, "percent"), always),
    ]


def answer_table(answer: results.AnswerEvaluation) -> Table:
    """Return a table of recall and unsure answers for each true class."""
    columns = columns_of({"true class": "text", "samples": "count", "recall": "percent", "unsure": "percent"})
    rows = [(each.name, each.samples, each.recall, each.unsure) for each in answer.per_class]
    return Table("answers", columns, rows, "Right and unsure answers for each true class.")


def metrics_table(evaluation: results.Evaluation) -> Table:
    """Return a table of headline metrics with intervals, and the accuracy of always answering the largest class."""
    rows = [
        (initial(metric.name), Cell(estimate, metric_format(metric)))
        for metric, estimate in zip(evaluation.metrics, evaluation.headline.values(), strict=True)
    ]
    rows.insert(2, (f"Always '{evaluation.largest_class}'", Cell(evaluation.largest_share, "percent")))
    caption = f"Metrics on {counted(evaluation.samples, 'sample')} with 95% intervals."
    return Table("metrics", columns_of({"metric": "text", "value": "number"}), rows, caption)


def classification_report(evaluation: results.Evaluation) -> Table:
    """Return a table of precision, recall, F1 and ROC AUC of each class, and their averages."""
    shares = columns_of({"class": "text", "precision": "percent", "recall": "percent", "F1": "percent"})
    columns = (*shares, Column("AUC"), Column("samples", "count"))
    metrics = (*evaluation.per_class, evaluation.macro, evaluation.weighted)
    rows = [(each.name, each.precision, each.recall, each.f1, each.auc, each.support) for each in metrics]
    return Table("classification-report", columns, rows, "Precision, recall, F1 and AUC of each class.")


def subsets_table(parts: Sequence[results.SubsetMetrics], header: str = "measured on", caption: str = "") -> Table:
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
    """Show a predicted sample, ``at`` in predictions, ``index`` in the data; a click shows probabilities and file."""
    classes, probabilities = predictions.classes, predictions.probabilities[at]
    likeliest = [(classes[of], float(probabilities[of])) for of in np.argsort(-probabilities, kind="stable")]
    facts = {"votes": faces.votes_on(index), "sample": f"{predictions.sample_ids[at]}, {faces.split[index]}"}
    facts["file"] = str(faces.source[index])
    bars = ((name, percent(share, 0), share) for name, share in likeliest)
    detail = (*bars, *((name, text, None) for name, text in facts.items() if text))
    return FaceTile(data_address(faces.images[index]), caption, detail)


def majority_words(votes: results.VoteEvaluation) -> str:
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


def majority_table(votes: results.VoteEvaluation) -> Table:
    """Return a table of each output's accuracy and macro-F1, on all samples with a majority and without copies."""
    tables = [(each.output, subsets_table(each.parts)) for each in votes.majority]
    columns = (Column("output", "text"), *tables[0][1].columns)
    rows = [(output, *row) for output, table in tables for row in table.rows]
    return Table("ferplus-majority", columns, rows, "Accuracy and macro-F1 on the majority of the annotators.")


def distribution_table(metrics: results.DistributionMetrics) -> Table:
    """Return a table of distances between the predicted distributions and those of the votes."""
    rows = [
        (f"cross-entropy, nats; best {shown(metrics.vote_entropy)}", metrics.cross_entropy),
        ("calibration error against annotators; 0 is best", metrics.calibration_error),
    ]
    caption = "Distance between the predicted probabilities and the votes of the annotators."
    return Table("vote-distribution", columns_of({"metric": "text", "value": "decimal"}), rows, caption)


_MIN_NUMBER = 7
"""Minimum width of a column, so that its numbers never wrap, although its header may."""


def titled(title: str, renderable: RenderableType) -> Group:
    """Print a title line above something that rich can print."""
    return Group(Text(f"\n{title}", style="bold"), renderable)


def rich_table(table: Table) -> RichTable:
    """Convert a table for rich: text is left-aligned, the rest right-aligned. Numbers never wrap; headers may."""
    result = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    # Intervals get their own column; more than two are below their values.
    with_interval = [any(interval(row[at], of.format) for row in table.rows) for at, of in enumerate(table.columns)]
    below = sum(with_interval) > 2
    # The first column names the rows, so it keeps 8 or 12 characters where a table is too wide.
    first = min(8 if below else 12, max((len(shown(row[0], table.columns[0].format)) for row in table.rows), default=0))
    for column, wide in zip(table.columns, with_interval, strict=True):
        # Use Text, because rich treats square brackets in a str as markup.
        justify: Literal["left", "right"] = "left" if column.format == "text" else "right"
        result.add_column(
            Text(column.heading.replace(" ", "\n") if below else column.heading),
            justify=justify,
            no_wrap=column.format not in ({"text"} if below else {"text", "number"}) and not column.head,
            min_width=_MIN_NUMBER if column.head else None if result.columns else first,
            overflow="fold",
        )
        if wide and not below:
            result.add_column(Text("95% interval"), justify="right", no_wrap=True)
    for number, row in enumerate(table.rows):
        cells: list[Text] = []
        for column, wide, value in zip(table.columns, with_interval, row, strict=True):
            style = "bold" if (number, column.name) in table.best else ""
            parts = [Text(shown(value, column.format), style), *[Text(interval(value, column.format))] * wide]
            cells += [Text("\n").join(parts)] if below else parts
        result.add_row(*cells)
    return result


_WIDTH = 80


def evaluation_text(evaluation: results.Evaluation) -> RenderableType:
    """Return all tables of an evaluation, printable by rich; those by copies, votes and a column are optional."""
    classes = rich_table(classification_report(evaluation))
    classes.rows[len(evaluation.classes) - 1].end_section = True
    answer = evaluation.answer
    # If the answer is the most probable class, this table would repeat the headline metrics.
    parts = [_answers(answer)] if answer is not None and answer.output else []
    headline = rich_table(metrics_table(evaluation))
    headline.columns[1].style = "bold"
    parts.append(titled(f"By the label, {evaluation.split}: {counted(evaluation.samples, 'sample')}", headline))
    parts += [titled("Per class", classes), _confusion(evaluation)]
    if evaluation.subsets:
        parts.append(titled("Without copies", rich_table(subsets_table(evaluation.subsets))))
    if evaluation.votes is not None:
        parts += _votes(evaluation.votes)
    if (by := evaluation.by) is not None:
        parts.append(group_text(subsets_table(by.parts, by.column), by.column, by.gaps))
    return Group(*parts)


def _answers(answer: results.AnswerEvaluation) -> RenderableType:
    rows = [cells[:2] for cells in answer_cells(answer)]
    table = rich_table(Table("answers", columns_of({"answers": "text", "share": "number"}), rows))
    table.columns[1].style = "bold"
    return Group(
        titled("What users get", Text(answer_words(answer))),
        table,
        Text(),
        rich_table(answer_table(answer)),
    )


def group_text(table: Table, column: str, gaps: Sequence[results.GroupGap] | None) -> RenderableType:
    """Return a table of groups, and the significant differences between them, if compared, printable by rich."""
    parts: list[RenderableType] = [titled(f"By {column}", rich_table(table))]
    rows = [(gap.value, gap.metric, gap.count, gap.rate.value, gap.difference, gap.p_value) for gap in gaps or ()]
    if rows:
        found = [row for row in rows if row[-1] < 0.05]
        words = f"{len(found)} of {len(rows)} differences between one value and all others"
        parts.append(Text(f"\n{words} are significant (Holm, 0.05)."))
        measured = columns_of(
            {"metric": "text", "samples": "count", "value": "percent", "minus others": "points", "p (Holm)": "p"}
        )
        parts += [rich_table(Table("groups", (Column("group", "text", column), *measured), found))] if found else []
    elif gaps is not None:
        parts.append(Text(f"\nNothing was compared: that needs two groups of {MIN_COMPARED} images or more."))
    return Group(*parts)


def _votes(votes: results.VoteEvaluation) -> Iterator[RenderableType]:
    yield titled("Votes", Text(majority_words(votes)))
    for each in votes.majority:
        yield titled(f"On the majority of the votes: output '{each.output}'", rich_table(subsets_table(each.parts)))
    if votes.distribution is not None:
        yield titled("Distribution of votes", rich_table(distribution_table(votes.distribution)))


def _confusion(evaluation: results.Evaluation) -> RenderableType:
    """Return the confusion matrix in percent of each true class, because counts are not comparable between classes."""
    headers, names = list(evaluation.classes), list(evaluation.classes)
    if _needed_width(names, headers) > _WIDTH:
        headers = [str(number) for number in range(1, len(headers) + 1)]
        names = [f"{number} {name}" for number, name in zip(headers, names, strict=True)]
    if _needed_width(names, headers) > _WIDTH:
        return Text(f"\nThe confusion matrix of {len(names)} classes is too wide for a terminal. The files contain it.")
    table = rich_table(Table("confusion", (Column("true class", "text"),), []))
    for header in (*headers, "total"):
        table.add_column(Text(header), justify="right", no_wrap=True)
    for index, (name, counts) in enumerate(zip(names, evaluation.confusion, strict=True)):
        percentages = 100 * counts / max(int(counts.sum()), 1)
        cells = [Text(f"{each:.0f}" if count else "·") for each, count in zip(percentages, counts, strict=True)]
        cells[index].stylize("bold")
        table.add_row(Text(name), *cells, f"{int(np.sum(counts)):,}")
    return titled("Confusion matrix: of the samples of each true class, % predicted as", table)


def _needed_width(names: Sequence[str], headers: Sequence[str]) -> int:
    total_column = len("28,709")
    first = max(len("true class"), *map(len, names))
    # A cell holds up to "100"; every column has a space on either side.
    return first + sum(max(len(header), 3) for header in headers) + total_column + 2 * (len(headers) + 2)


def least_width(renderable: Any, width: int) -> int:
    """Return the width, or a larger one at which rich cuts no column off; first columns may be folded."""
    if not isinstance(renderable, RichTable):
        return max([width, *(least_width(each, width) for each in getattr(renderable, "renderables", ()))])
    console, first = Console(width=1000), next(iter(renderable.columns), RichColumn())
    kept, first.width = first.width, first.min_width
    found = Measurement.get(console, console.options, renderable).minimum
    first.width = kept
    return max(width, found)


def as_text(renderable: Any) -> str:
    """Return the plain text that rich would print, in 100 columns where that is enough."""
    stream = io.StringIO()
    # In a notebook, rich would also display the text.
    Console(file=stream, width=least_width(renderable, 100), color_system=None, force_jupyter=False).print(renderable)
    return stream.getvalue()


def as_html(renderable: Any) -> str:
    """Return the output of rich as HTML for a notebook."""
    console = Console(record=True, width=least_width(renderable, 100), file=io.StringIO(), force_jupyter=False)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format="<pre style='font-family: monospace'>{code}</pre>")
