"""An evaluation as tables in a terminal, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mien.evaluation.results import ClassFigures, Evaluation, Part
from mien.evaluation.threshold import ThresholdResult
from mien.report.wording import (
    HEADLINES,
    decimal,
    interval_text,
    rows_text,
    threshold_lines,
    threshold_values,
    threshold_words,
    value_text,
)

_WIDTH = 80


def evaluation_table(evaluation: Evaluation) -> RenderableType:
    """Headline figures with intervals, figures per class, and the confusion matrix: something rich can print."""
    return Group(_headline_table(evaluation), _class_table(evaluation), _confusion_table(evaluation))


def break_down_table(parts: Sequence[Part], column: str) -> RenderableType:
    """Accuracy and macro-F1 for each value of ``column``: something rich can print."""
    return _titled(f"By {column}", _parts(parts, column))


def subsets_table(subsets: Sequence[Part]) -> RenderableType:
    """Accuracy and macro-F1 on all rows, and without those that identical pictures spoil."""
    return _titled("Without copies", _parts(subsets, "score on"))


def _parts(parts: Sequence[Part], column: str) -> Table:
    table = _table(column, "rows", "accuracy", "95 % interval", "macro-F1", "95 % interval")
    for part in parts:
        table.add_row(
            Text(part.value),
            f"{part.count:,}",
            value_text("accuracy", part.accuracy.value),
            interval_text("accuracy", part.accuracy),
            value_text("macro_f1", part.macro_f1.value),
            interval_text("macro_f1", part.macro_f1),
        )
    return table


def threshold_table(result: ThresholdResult) -> RenderableType:
    """A threshold and the best one of validation, measured on the rows: something rich can print."""
    table = _table("", "at", "accuracy", "precision", "TPR", "FPR", "F1", "J")
    for name, point in threshold_lines(result):
        table.add_row(Text(name), *threshold_values(point))
    return Group(_titled(f"Threshold for {result.positive}", table), Text(threshold_words(result)))


def _table(first_column: str, *number_columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    # Text, here and for every name, because rich reads square brackets in a str as markup.
    table.add_column(Text(first_column), overflow="fold")
    for header in number_columns:
        table.add_column(Text(header), justify="right", no_wrap=True)
    return table


def _titled(title: str, table: Table) -> Group:
    # rich would wrap a table's own title at the table's width.
    return Group(Text(f"\n{title}", style="bold"), table)


def _headline_table(evaluation: Evaluation) -> RenderableType:
    table = _table("figure", "value", "95 % interval")
    table.columns[1].style = "bold"
    for key, estimate in evaluation.headline.items():
        table.add_row(HEADLINES[key].name, value_text(key, estimate.value), interval_text(key, estimate))
    return _titled(f"{evaluation.split}: {rows_text(evaluation.rows)}", table)


def _class_table(evaluation: Evaluation) -> RenderableType:
    table = _table("class", "precision", "recall", "F1", "AUC", "rows")
    for figures in evaluation.per_class:
        table.add_row(*_class_row(figures))
    table.add_section()
    for average in (evaluation.macro, evaluation.weighted):
        table.add_row(*_class_row(average))
    return _titled("Per class", table)


def _class_row(figures: ClassFigures) -> tuple[Text | str, ...]:
    numbers = (figures.precision, figures.recall, figures.f1, figures.auc)
    return (Text(figures.name), *map(decimal, numbers), f"{figures.support:,}")


def _confusion_table(evaluation: Evaluation) -> RenderableType:
    """Percent of each true class's rows, because counts of classes of different size do not compare."""
    headers = list(evaluation.classes)
    names = list(evaluation.classes)
    if _needed_width(names, headers) > _WIDTH:
        headers = [str(number) for number in range(1, len(headers) + 1)]
        names = [f"{number} {name}" for number, name in zip(headers, names, strict=True)]
    if _needed_width(names, headers) > _WIDTH:
        return Text(f"\nThe confusion matrix of {len(names)} classes is too wide for a terminal; the files hold it.")
    table = _table("true class", *headers, "rows")
    for index, (name, counts) in enumerate(zip(names, evaluation.confusion, strict=True)):
        shares = 100 * counts / max(int(counts.sum()), 1)
        cells = [Text(f"{share:.0f}" if count else "·") for share, count in zip(shares, counts, strict=True)]
        cells[index].stylize("bold")
        table.add_row(Text(name), *cells, f"{int(np.sum(counts)):,}")
    return _titled("Confusion: of the rows of each true class, % predicted as", table)


def _needed_width(names: Sequence[str], headers: Sequence[str]) -> int:
    rows_column = len("28,709")
    first = max(len("true class"), *map(len, names))
    # A cell holds up to "100"; every column has a space on either side.
    return first + sum(max(len(header), 3) for header in headers) + rows_column + 2 * (len(headers) + 2)
