"""Parts of a page: sections of text, metrics, tables, charts and faces.

A page written with :meth:`mien.page.page.Page.write` also saves each chart and each table as files under its name.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from mien.base.errors import DataError, needs_extra
from mien.base.files import write_bytes
from mien.evaluation.results import Estimate, json_ready
from mien.page.charts.svg import Chart
from mien.page.rendering import render
from mien.page.wording import FORMATTERS, UNDEFINED, Format

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_ROWS = 500
"""Largest number of rows in a page's table, unless ``shown`` is larger."""


@dataclass(frozen=True)
class Text:
    """A paragraph. ``soft`` marks an explanation, in a lighter colour. If ``words`` is a Notice, its code is kept."""

    words: str
    soft: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Metric:
    """A headline metric, shown as a card.

    Attributes:
        name: name, such as ``"Accuracy"``.
        value: value as text, such as ``"71.5%"``.
        interval: 95% interval as text; a dash if there is none.
        meaning: short explanation of the metric.
    """

    name: str
    value: str
    interval: str
    meaning: str


@dataclass(frozen=True)
class MetricCards:
    """Headline metrics, shown as cards."""

    metrics: tuple[Metric, ...]
    kind: ClassVar[str] = "metrics"


@dataclass(frozen=True)
class Cell:
    """A value in a format other than its column's, such as an accuracy in a column of metrics."""

    value: Any
    format: Format


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: header in files, and on the page unless ``head`` is set.
        head: header on the page and in a terminal, if it is not the name.
        format: how to write values: ``"points"`` is a signed difference in percentage points, ``"signed"`` a signed
            decimal, ``"p"`` a p-value, ``"number"`` any number or text. An :class:`Estimate` also shows its interval.
    """

    name: str
    format: Format = "decimal"
    head: str = ""

    def show(self, value: Any) -> str:
        """Format a value as text."""
        if value is None:
            return UNDEFINED
        if isinstance(value, Cell):
            return Column(self.name, value.format).show(value.value)
        return self.show(value.value) if isinstance(value, Estimate) else FORMATTERS[self.format](value)

    def interval(self, value: Any) -> str:
        """Format the interval of an estimate; ``""`` if there is none."""
        if isinstance(value, Cell):
            return Column(self.name, value.format).interval(value.value)
        if not isinstance(value, Estimate) or np.isnan(value.low) or np.isnan(value.high):
            return ""
        low, high = self.show(value.low).removesuffix("%"), self.show(value.high)
        return f"{low} to {high}" if self.format in {"points", "signed"} else f"{low}–{high}"


@dataclass(frozen=True)
class Table:
    """A table. The page shows the first ``shown`` rows (None: all); files contain all rows. Column names are unique.

    With scripts, a partly shown table can be sorted, filtered and expanded to :data:`MOST_ROWS`. ``best`` lists cells,
    by row and column name, that are bold in LaTeX.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Any, ...]]
    caption: str = ""
    shown: int | None = None
    best: frozenset[tuple[int, str]] = frozenset()
    kind: ClassVar[str] = "table"

    @property
    def page_rows(self) -> Sequence[tuple[Any, ...]]:
        """Rows in the page's HTML; empty if no row is shown."""
        if self.shown is None:
            return self.rows
        return self.rows[: max(self.shown, MOST_ROWS)] if self.shown else ()

    @staticmethod
    def sort_key(value: Any) -> str:
        """Return the number that a script sorts a cell by; ``""`` if it is sorted by text."""
        number = _plain(value)
        number = number.value if isinstance(number, Estimate) else number
        is_number = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        return repr(float(number)) if is_number and np.isfinite(number) else ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        assert len(set(names)) == len(names), f"table {self.name} has duplicate column names: {names}"

    def __str__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"{self.name}: {len(self.rows):,} rows of {names}; .save(path) and .to_pandas() give all"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all rows into a ``.csv``, ``.json``, ``.md`` (Markdown) or ``.tex`` (LaTeX) file, whole or not at all.

        Raises DataError for another suffix, RunError if the file cannot be written.
        """
        file = Path(path)
        forms: dict[str, Callable[[], str | bytes]] = {
            ".csv": self.to_csv,
            ".json": self.to_json,
            ".md": self.to_markdown,
            ".tex": self.to_latex,
        }
        if file.suffix.lower() not in forms:
            raise DataError(f"A table is saved as {', '.join(forms)}; found {file.name}.", code="table-suffix")
        content: str | bytes = forms[file.suffix.lower()]()
        write_bytes(file, content.encode("utf-8") if isinstance(content, str) else content)

    def to_pandas(self) -> DataFrame:
        """Return all rows as a data frame; an estimate has three columns. Raises MissingExtraError without pandas."""
        with needs_extra("pandas", "A data frame"):
            import pandas as pd
        return pd.read_csv(io.BytesIO(self.to_csv()), keep_default_na=False, na_values=[""])

    def to_markdown(self) -> str:
        """Return GitHub Markdown with numbers as on the page; intervals in brackets."""
        head = [column.head or column.name for column in self.columns]
        rules = [":---" if column.format == "text" else "---:" for column in self.columns]
        head, *rows = [[cell.replace("|", "\\|") for cell in row] for row in (head, *self._texts())]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rules, *rows))

    def to_latex(self, title: str = "") -> str:
        """Return a LaTeX ``tabular`` for the package booktabs, with numbers as on the page and the best in bold.

        With a caption it is wrapped in a ``table`` with the label ``tab:NAME``.
        """
        columns = "".join("l" if column.format == "text" else "r" for column in self.columns)
        head, *rows = (
            [_latex(cell) for cell in cells]
            for cells in ([column.head or column.name for column in self.columns], *self._texts())
        )
        for place, name in self.best:
            at = [column.name for column in self.columns].index(name)
            rows[place][at] = f"\\textbf{{{rows[place][at]}}}"
        first, *others = (" & ".join(cells) + " \\\\\n" for cells in (head, *rows))
        body = f"\\toprule\n{first}\\midrule\n{''.join(others)}\\bottomrule\n"
        tabular = f"\\begin{{tabular}}{{{columns}}}\n{body}\\end{{tabular}}\n"
        if not (caption := self.caption or title):
            return tabular
        about = f"\\caption{{{_latex(caption)}}}\n\\label{{tab:{self.name}}}\n"
        return f"\\begin{{table}}\n\\centering\n{about}{tabular}\\end{{table}}\n"

    def _texts(self) -> Iterator[list[str]]:
        """Yield the cells of each row as text."""
        for row in self.rows:
            pairs = [
                (column.show(value), column.interval(value)) for column, value in zip(self.columns, row, strict=True)
            ]
            yield [f"{text} [{interval}]" if interval else text for text, interval in pairs]

    def _repr_html_(self) -> str:
        """Return all rows as HTML for a notebook."""
        return render("notebook_table.html.j2", block=replace(self, shown=None), colours={})

    def to_csv(self) -> bytes:
        """Return UTF-8 CSV with a header; an estimate has three columns, undefined values are empty."""
        rows = [[_plain(value) for value in row] for row in self.rows]
        wide = [any(isinstance(row[index], Estimate) for row in rows) for index in range(len(self.columns))]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        header: list[str] = []
        for column, is_wide in zip(self.columns, wide, strict=True):
            header += [column.name, f"{column.name} low", f"{column.name} high"] if is_wide else [column.name]
        writer.writerow(header)
        for row in rows:
            cells: list[Any] = []
            for value, is_wide in zip(row, wide, strict=True):
                estimate = isinstance(value, Estimate)
                parts = (
                    [value.value, value.low, value.high] if estimate else [value, None, None] if is_wide else [value]
                )
                cells += [_csv_cell(part) for part in parts]
            writer.writerow(cells)
        return stream.getvalue().encode("utf-8")

    def to_json(self) -> bytes:
        """Return a JSON list with one object per row; an estimate is an object with value, low and high."""
        return (json.dumps(self.records(), indent=2, ensure_ascii=False) + "\n").encode("utf-8")

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`to_json`."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, json_ready([_plain(value) for value in row]), strict=True)) for row in self.rows]


@dataclass(frozen=True)
class CaptionedChart:
    """A chart with its caption.

    Attributes:
        chart: the chart.
        caption: what the chart shows.
        scrolls: True scrolls the chart on a narrow screen instead of shrinking it.
    """

    chart: Chart
    caption: str
    scrolls: bool = False
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Player:
    """A video beside the page, by file name. Clicking a time chart, or a time in a table, jumps to that time."""

    file: str
    kind: ClassVar[str] = "player"


@dataclass(frozen=True)
class FaceTile:
    """An image of a face. The image is only in the page, never in a file.

    Attributes:
        image: image as a ``data:`` address.
        caption: text below the image.
        detail: lines shown on click: (name, value, probability for a bar or None).
    """

    image: str
    caption: str
    detail: tuple[tuple[str, str, float | None], ...] = ()


@dataclass(frozen=True)
class FaceRow:
    """A row of faces with a title; ``large`` enlarges them to show details."""

    title: str
    faces: tuple[FaceTile, ...]
    large: bool = False
    kind: ClassVar[str] = "face-row"


@dataclass(frozen=True)
class CellFaces:
    """The faces behind the cells of the confusion chart. Clicking a cell follows a link to ``#confusion-KEY``.

    Attributes:
        cells: pairs of a cell's key, such as ``"cell-0-3"``, and its faces.
    """

    cells: tuple[tuple[str, FaceRow], ...]
    kind: ClassVar[str] = "cell-faces"


Part: TypeAlias = Text | MetricCards | Table | CaptionedChart | FaceRow | CellFaces | Player


@dataclass(frozen=True)
class Row:
    """Parts side by side on a wide screen."""

    parts: tuple[Part, ...]
    kind: ClassVar[str] = "row"


Block: TypeAlias = Part | Row


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        key: anchor in the page; unique within a page.
        title: heading.
        blocks: content in order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = ()

    def parts(self) -> Iterator[Part]:
        """Yield the parts in order, including those inside rows."""
        for block in self.blocks:
            yield from block.parts if isinstance(block, Row) else (block,)

    def tables(self) -> Iterator[Table]:
        """Yield all tables."""
        return (each for each in self.parts() if isinstance(each, Table))

    def charts(self) -> Iterator[Chart]:
        """Yield all charts."""
        return (each.chart for each in self.parts() if isinstance(each, CaptionedChart))


_LATEX = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
    | {each: f"${each}$" for each in "<>|"}
)
"""Replacements of characters with a special meaning in LaTeX."""


def _latex(text: str) -> str:
    """Escape a text for LaTeX, with a proper minus sign before numbers."""
    return re.sub(r"(?<![\w\-])-(?=\.?\d)", "$-$", text.translate(_LATEX))


def _plain(value: Any) -> Any:
    """Return the value of a :class:`Cell`, or the value itself."""
    return value.value if isinstance(value, Cell) else value


def _csv_cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and not np.isfinite(value)) else value
