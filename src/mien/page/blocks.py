"""Parts of a page: sections of text, metrics, tables, charts and faces.

A page written with :meth:`mien.page.page.Page.write` also saves each chart and each table as files under its name.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mien.base.errors import DataError, needs_extra
from mien.base.files import write_bytes
from mien.evaluation.paired_tests import Spread
from mien.evaluation.results import Estimate, json_ready
from mien.page.chart import Chart
from mien.page.rendering import escape, render, table_environment
from mien.page.wording import Cell, Format, with_interval

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_ROWS = 500
"""Largest number of rows in a page's table, unless ``shown`` is larger."""


@dataclass(frozen=True)
class Text:
    """A paragraph. ``soft`` marks an explanation, in a lighter colour. If ``words`` is a Notice, its code is kept."""

    words: str
    soft: bool = False


@dataclass(frozen=True)
class MetricCards:
    """Headline metrics, shown as cards: name, value with its format, and a short explanation of each."""

    metrics: Sequence[tuple[str, Cell, str]]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: header in files, and on the page unless ``head`` is set.
        head: header on the page and in a terminal, if it is not the name.
        format: how to write values: ``"points"`` is a signed difference in percentage points, ``"signed"`` a signed
            decimal, ``"p"`` a p-value, ``"number"`` any number or text. An :class:`Estimate` also shows its interval;
            a value in :class:`mien.page.wording.Cell` has its own format.
    """

    name: str
    format: Format = "decimal"
    head: str = ""

    @property
    def heading(self) -> str:
        """Header on the page, in a terminal, in Markdown and in LaTeX."""
        return self.head or self.name


def columns_of(formats: Mapping[str, Format]) -> tuple[Column, ...]:
    """Return columns from the format of each by name."""
    return tuple(Column(name, form) for name, form in formats.items())


@dataclass(frozen=True)
class Table:
    """A table. The page shows the first ``shown`` rows (None: all); files contain all rows. Column names are unique.

    With scripts, a partly shown table can be sorted, filtered and expanded to :data:`MAX_ROWS`. ``best`` lists cells,
    by row and column name, that are bold.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Any, ...]]
    caption: str = ""
    shown: int | None = None
    best: frozenset[tuple[int, str]] = frozenset()

    @property
    def page_rows(self) -> Sequence[tuple[Any, ...]]:
        """Rows in the page's HTML; empty if no row is shown."""
        if self.shown is None:
            return self.rows
        return self.rows[: max(self.shown, MAX_ROWS)] if self.shown else ()

    @staticmethod
    def sort_key(value: Any) -> str:
        """Return the number that a script sorts a cell by; ``""`` if it is sorted by text."""
        number = _numbers(value)[""]
        is_number = isinstance(number, int | float | np.number) and not isinstance(number, bool)
        return repr(float(number)) if is_number and np.isfinite(number) else ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        assert len(set(names)) == len(names), f"table {self.name} has duplicate column names: {names}"

    def __str__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"{self.name}: {len(self.rows):,} rows of {names}; .save(path) and .to_pandas() give all"

    def save(self, path: str | os.PathLike[str], *, caption: str = "", label: str = "") -> None:
        """Write all rows into a ``.csv``, ``.json``, ``.md`` (Markdown) or ``.tex`` (LaTeX) file, whole or not at all.

        ``caption`` and ``label`` are those of :meth:`to_latex`. Raises DataError for another suffix, RunError if the
        file cannot be written.
        """
        file = Path(path)
        forms: dict[str, Callable[[], str | bytes]] = {".csv": self.to_csv, ".json": self.to_json}
        forms |= {".md": self.to_markdown, ".tex": lambda: self.to_latex(caption, label)}
        if file.suffix.lower() not in forms:
            raise DataError(f"A table is saved as {', '.join(forms)}; found {file.name}.", code="out-path")
        content = forms[file.suffix.lower()]()
        write_bytes(file, content.encode("utf-8") if isinstance(content, str) else content)

    def to_pandas(self) -> DataFrame:
        """Return all rows as a data frame; an estimate has three columns. Raises MissingExtraError without pandas."""
        with needs_extra("pandas", "A data frame"):
            import pandas as pd
        return pd.read_csv(io.BytesIO(self.to_csv()), keep_default_na=False, na_values=[""])

    def to_markdown(self) -> str:
        """Return GitHub Markdown with numbers as on the page; intervals in brackets."""
        rules = [":---" if column.format == "text" else "---:" for column in self.columns]
        head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in self._texts())
        return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rules, *rows))

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return a LaTeX ``tabular`` for the package booktabs, with numbers as on the page and the best in bold.

        With a caption, by default the table's, it is in a ``table`` with a label, by default ``tab:NAME``.
        """
        texts = [*self._texts()]
        head, *rows = ([escape(cell) for cell in row] for row in texts)
        for place, name in self.best:
            at = [column.name for column in self.columns].index(name)
            rows[place][at] = f"\\textbf{{{rows[place][at]}}}"
        first, *others = (" & ".join(cells) + " \\\\\n" for cells in (head, *rows))
        columns = "".join("l" if column.format == "text" else "r" for column in self.columns)
        body = f"\\toprule\n{first}\\midrule\n{''.join(others)}\\bottomrule\n"
        tabular = f"\\begin{{tabular}}{{{columns}}}\n{body}\\end{{tabular}}\n"
        caption = caption or self.caption
        if not (caption or label):
            return tabular
        letters = sum(3 + max(map(len, cells)) for cells in zip(*texts, strict=True))
        return table_environment(tabular, caption, label or f"tab:{self.name}", letters)

    def _texts(self) -> Iterator[list[str]]:
        """Yield the headings, and the cells of each row as text."""
        yield [column.heading for column in self.columns]
        for row in self.rows:
            yield [with_interval(value, column.format) for column, value in zip(self.columns, row, strict=True)]

    def _repr_html_(self) -> str:
        """Return all rows as HTML for a notebook."""
        return render("notebook_table.html.j2", block=replace(self, shown=None), colours={})

    def to_csv(self) -> bytes:
        """Return UTF-8 CSV with a header: numbers, not texts. Undefined values are empty.

        An estimate has three columns, the spread of several runs two.
        """
        rows = [[_numbers(value) for value in row] for row in self.rows]
        parts = [dict.fromkeys(["", *(part for row in rows for part in row[at])]) for at in range(len(self.columns))]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.name + part for column, own in zip(self.columns, parts, strict=True) for part in own])
        for row in rows:
            writer.writerow([cell.get(part) for cell, own in zip(row, parts, strict=True) for part in own])
        return stream.getvalue().encode("utf-8")

    def to_json(self) -> bytes:
        """Return a JSON list with one object per row; an estimate is an object with value, low and high."""
        return (json.dumps(self.records(), indent=2, ensure_ascii=False) + "\n").encode("utf-8")

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`to_json`."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, json_ready([_plain(value) for value in row]), strict=True)) for row in self.rows]


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Cell) else value


def _numbers(value: Any) -> dict[str, Any]:
    """Return the numbers of a cell by the endings of their columns' names; an undefined number is None."""
    value = _plain(value)
    named = {"": value}
    if isinstance(value, Estimate):
        named = {"": value.value, " low": value.low, " high": value.high}
    elif isinstance(value, Spread):
        named = {"": value.mean, " deviation": value.deviation}
    return {part: None if isinstance(each, float) and not np.isfinite(each) else each for part, each in named.items()}


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


@dataclass(frozen=True)
class Player:
    """A video beside the page, by file name. Clicking a time chart, or a time in a table, jumps to that time."""

    file: str


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


@dataclass(frozen=True)
class CellFaces:
    """The faces behind the cells of the confusion chart, by the cell's key: a click leads to ``#confusion-KEY``."""

    cells: Mapping[str, FaceRow]


Part: TypeAlias = Text | MetricCards | Table | CaptionedChart | FaceRow | CellFaces | Player


@dataclass(frozen=True)
class Row:
    """Parts side by side on a wide screen."""

    parts: tuple[Part, ...]


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

    def parts(self, *kinds: type[Part]) -> list[Any]:
        """Return the parts in order, including those inside rows; only those of given kinds, if any is given."""
        parts = [part for block in self.blocks for part in (block.parts if isinstance(block, Row) else (block,))]
        return [part for part in parts if isinstance(part, kinds)] if kinds else parts
