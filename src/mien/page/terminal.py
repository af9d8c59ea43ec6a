"""Tables for a terminal, and an evaluation as such tables, readable at 80 columns."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from mien.evaluation.estimates import MIN_COMPARED
from mien.evaluation.results import AnswerEvaluation, Evaluation, GroupGap, VoteEvaluation
from mien.page import sections as shared
from mien.page.blocks import Column, Table, columns_of
from mien.page.wording import counted, interval, shown

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
    # The first column names the rows, so it keeps 12 characters where a table is too wide.
    first = min(12, max((len(shown(row[0], table.columns[0].format)) for row in table.rows), default=0))
    for column, wide in zip(table.columns, with_interval, strict=True):
        # Use Text, because rich treats square brackets in a str as markup.
        justify: Literal["left", "right"] = "left" if column.format == "text" else "right"
        result.add_column(
            Text(column.heading),
            justify=justify,
            no_wrap=column.format not in {"text", "number"} and not column.head,
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


def evaluation_text(evaluation: Evaluation) -> RenderableType:
    """Return all tables of an evaluation, printable by rich.

    The tables are answers, headline metrics with intervals, metrics per class and the confusion matrix. Metrics without
    copies, by votes and by a column follow, if available.
    """
    classes = rich_table(shared.classification_report(evaluation))
    classes.rows[len(evaluation.classes) - 1].end_section = True
    answer = evaluation.answer
    # If the answer is the most probable class, this table would repeat the headline metrics.
    parts = [_answers(answer)] if answer is not None and answer.output else []
    headline = rich_table(shared.metrics_table(evaluation))
    headline.columns[1].style = "bold"
    parts.append(titled(f"By the label, {evaluation.split}: {counted(evaluation.samples, 'sample')}", headline))
    parts += [titled("Per class", classes), _confusion(evaluation)]
    if evaluation.subsets:
        parts.append(titled("Without copies", rich_table(shared.subsets_table(evaluation.subsets))))
    if evaluation.votes is not None:
        parts += _votes(evaluation.votes)
    if (by := evaluation.by) is not None:
        parts.append(group_text(shared.subsets_table(by.parts, by.column), by.column, by.gaps))
    return Group(*parts)


def _answers(answer: AnswerEvaluation) -> RenderableType:
    rows = [cells[:2] for cells in shared.answer_cells(answer)]
    table = rich_table(Table("answers", columns_of({"answers": "text", "share": "number"}), rows))
    table.columns[1].style = "bold"
    return Group(
        titled("What users get", Text(shared.answer_words(answer))),
        table,
        Text(),
        rich_table(shared.answer_table(answer)),
    )


def group_text(table: Table, column: str, gaps: Sequence[GroupGap] | None) -> RenderableType:
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


def _votes(votes: VoteEvaluation) -> Iterator[RenderableType]:
    """Yield accuracy by FER+'s protocol, and distances between distributions."""
    yield titled("Votes", Text(shared.majority_words(votes)))
    for each in votes.majority:
        yield titled(
            f"On the majority of the votes: output '{each.output}'", rich_table(shared.subsets_table(each.parts))
        )
    if votes.distribution is not None:
        yield titled("Distribution of votes", rich_table(shared.distribution_table(votes.distribution)))


def _confusion(evaluation: Evaluation) -> RenderableType:
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


def as_text(renderable: Any) -> str:
    """Return the plain text that rich would print, in at most 100 columns."""
    stream = io.StringIO()
    # In a notebook, rich would also display the text.
    Console(file=stream, width=100, color_system=None, force_jupyter=False).print(renderable)
    return stream.getvalue()


def as_html(renderable: Any) -> str:
    """Return the output of rich as HTML for a notebook."""
    console = Console(record=True, width=100, file=io.StringIO(), force_jupyter=False)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format="<pre style='font-family: monospace'>{code}</pre>")
