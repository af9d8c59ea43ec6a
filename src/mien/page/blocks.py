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
from dataclasses import dataclass, field, replace
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
"""Rows of a table that a page holds, unless it shows more at once."""


@dataclass(frozen=True)
class Text:
    """A paragraph; ``soft`` marks an explanation, in a lighter colour. Words that are a Notice keep its code."""

    words: str
    soft: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Metric:
    """One headline metric.

    Attributes:
        name: such as ``"Accuracy"``.
        value: as text, such as ``"71.5%"``.
        interval: 95% interval as text; a dash where there is none.
        meaning: what the metric says, in a few words.
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
class Column:
    """A column of a table.

    Attributes:
        name: key in the files, and header.
        head: header on the page and in a terminal, where it is not the name.
        format: how values are written. ``"points"`` is a signed difference in percentage points, ``"signed"`` a signed
            decimal, ``"p"`` a p-value, ``"number"`` a number of any size, or text. An :class:`Estimate` shows its
            interval as well.
    """

    name: str
    format: Format = "decimal"
    head: str = ""

    def show(self, value: Any) -> str:
        """The value as text."""
        if value is None:
            return UNDEFINED
        if isinstance(value, Estimate):
            return self.show(value.value)
        return FORMATTERS[self.format](value)

    def interval(self, value: Any) -> str:
        """The interval of an estimate, ``""`` where there is none."""
        if not isinstance(value, Estimate) or np.isnan(value.low) or np.isnan(value.high):
            return ""
        low, high = self.show(value.low).removesuffix("%"), self.show(value.high)
        return f"{low} to {high}" if self.format in {"points", "signed"} else f"{low}–{high}"


@dataclass(frozen=True)
class Table:
    """A table. The page shows its first ``shown`` rows (None: all); the files hold all. Column names are unique.

    In a page with scripts, a table of which a part is shown can be sorted, filtered and opened as far as
    :data:`MOST_ROWS`. With ``slider``, its label, a slider shows one row at a time; without scripts every tenth is
    there. ``best``: cells, by row and name of column, that LaTeX has in bold.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Any, ...]]
    caption: str = ""
    shown: int | None = None
    slider: str = ""
    best: frozenset[tuple[int, str]] = frozenset()
    kind: ClassVar[str] = "table"

    @property
    def page_rows(self) -> Sequence[tuple[Any, ...]]:
        """The rows that are in the page: none if none is shown."""
        if self.shown is None:
            return self.rows
        return self.rows[: max(self.shown, MOST_ROWS)] if self.shown else ()

    @staticmethod
    def sort_key(value: Any) -> str:
        """The number by which a script sorts a cell; ``""`` where the cell's text decides."""
        number = value.value if isinstance(value, Estimate) else value
        is_number = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        return repr(float(number)) if is_number and np.isfinite(number) else ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        assert len(set(names)) == len(names), f"table {self.name} has duplicate column names: {names}"

    def __str__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"{self.name}: {len(self.rows):,} rows of {names}; .save(path) and .to_pandas() have them all"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all rows into a ``.csv``, ``.json``, ``.md`` (Markdown) or ``.tex`` (LaTeX) file, whole or not at all.

        Raises:
            DataError: another suffix.
            RunError: the file system refused.
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
        """All rows as a data frame; an estimate has three columns. Raises MissingExtraError without pandas."""
        with needs_extra("pandas", "A data frame"):
            import pandas as pd
        return pd.read_csv(io.BytesIO(self.to_csv()), keep_default_na=False, na_values=[""])

    def to_markdown(self) -> str:
        """As GitHub's Markdown, with numbers as the page shows them; an interval in brackets."""
        head = [column.head or column.name for column in self.columns]
        rules = [":---" if column.format == "text" else "---:" for column in self.columns]
        rows = [[cell.replace("|", "\\|") for cell in row] for row in self._texts()]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rules, *rows))

    def to_latex(self) -> str:
        """As a LaTeX ``tabular`` for the package booktabs, with numbers as the page shows them, the best ones bold.

        With a caption it is in a ``table``, whose label is ``tab:NAME``.
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
        if not self.caption:
            return tabular
        about = f"\\caption{{{_latex(self.caption)}}}\n\\label{{tab:{self.name}}}\n"
        return f"\\begin{{table}}\n\\centering\n{about}{tabular}\\end{{table}}\n"

    def _texts(self) -> Iterator[list[str]]:
        """The cells of each row as text."""
        for row in self.rows:
            pairs = [
                (column.show(value), column.interval(value)) for column, value in zip(self.columns, row, strict=True)
            ]
            yield [f"{text} [{interval}]" if interval else text for text, interval in pairs]

    def _repr_html_(self) -> str:
        """Return all rows as HTML for a notebook."""
        return render("notebook_table.html.j2", block=replace(self, shown=None, slider=""), colours={})

    def to_csv(self) -> bytes:
        """UTF-8 with a header; an estimate has three columns, an undefined value is empty."""
        wide = [any(isinstance(row[index], Estimate) for row in self.rows) for index in range(len(self.columns))]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        header: list[str] = []
        for column, is_wide in zip(self.columns, wide, strict=True):
            header += [column.name, f"{column.name} low", f"{column.name} high"] if is_wide else [column.name]
        writer.writerow(header)
        for row in self.rows:
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
        """A list with one object for each row; an estimate is an object with value, low and high."""
        names = [column.name for column in self.columns]
        rows = [dict(zip(names, json_ready(list(row)), strict=True)) for row in self.rows]
        return (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


@dataclass(frozen=True)
class CaptionedChart:
    """A chart with its caption.

    Attributes:
        chart: the chart.
        caption: what the chart shows.
        scrolls: whether a narrow screen scrolls the chart instead of shrinking it.
    """

    chart: Chart
    caption: str
    scrolls: bool = False
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Player:
    """A video beside the page, by its file name. A click on a chart of time, or on a time in a table, jumps there."""

    file: str
    kind: ClassVar[str] = "player"


@dataclass(frozen=True)
class FaceTile:
    """An image of a face. It is in the page only, never in a file.

    Attributes:
        image: a ``data:`` address.
        caption: text below the image.
        detail: lines that a click shows, as (name, value, probability to draw as a bar or None).
    """

    image: str
    caption: str
    detail: tuple[tuple[str, str, float | None], ...] = ()


@dataclass(frozen=True)
class FaceRow:
    """A row of faces under a title; ``large`` for what small faces do not show."""

    title: str
    faces: tuple[FaceTile, ...]
    large: bool = False
    kind: ClassVar[str] = "face-row"


@dataclass(frozen=True)
class CellFaces:
    """The faces behind the cells of a chart. A cell is a link to ``#CHART-KEY``, which shows its faces.

    Attributes:
        cells: the key of each cell, such as ``"cell-0-3"``, with its faces.
        chart: the chart's name.
    """

    cells: tuple[tuple[str, FaceRow], ...]
    chart: str
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
        key: its anchor in the page; unique within a page.
        title: its heading.
        blocks: its content, in order.
        beside: its two blocks, faces and a chart, stand side by side on a wide screen.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = field(default=())
    beside: bool = False

    def parts(self) -> Iterator[Part]:
        """The content in order, those of rows one by one."""
        for block in self.blocks:
            yield from block.parts if isinstance(block, Row) else (block,)

    def tables(self) -> Iterator[Table]:
        """All tables."""
        return (each for each in self.parts() if isinstance(each, Table))

    def charts(self) -> Iterator[Chart]:
        """All charts."""
        return (each.chart for each in self.parts() if isinstance(each, CaptionedChart))


_LATEX = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
    | {each: f"${each}$" for each in "<>|"}
)
"""Characters that LaTeX would read otherwise."""


def _latex(text: str) -> str:
    """A text for LaTeX, with a minus sign before a number."""
    return re.sub(r"(?<![\w\-])-(?=\.?\d)", "$-$", text.translate(_LATEX))


def _csv_cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and not np.isfinite(value)) else value
