"""What a full report is made of: sections of paragraphs, tables, figures and faces, before they become a page.

Whatever stands in a :class:`Plot` or a :class:`Table` is also written as files, under its name.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from mien.evaluation.results import Estimate, json_ready
from mien.report.rendering import render
from mien.report.svg import Drawing
from mien.report.wording import UNDEFINED, decimal, p_figure, percent


@dataclass(frozen=True)
class Text:
    """A paragraph; ``soft`` is for explanations beside what matters."""

    words: str
    soft: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: header in the page, and key in the files.
        how: ``"text"``, ``"count"``, ``"percent"``, ``"points"`` (a signed difference of shares),
            ``"decimal"``, ``"signed"``, ``"p"`` (a p-value) or ``"number"`` (of any size, or text);
            an :class:`Estimate` shows its interval as well.
    """

    name: str
    how: str = "decimal"

    def show(self, value: Any) -> str:
        """The value in words."""
        if value is None:
            return UNDEFINED
        if isinstance(value, Estimate):
            return self.show(value.value)
        written: Callable[[Any], str] = _WRITTEN[self.how]
        return written(value)

    def interval(self, value: Any) -> str:
        """The interval of an estimate, ``""`` where there is none."""
        if not isinstance(value, Estimate) or np.isnan(value.low) or np.isnan(value.high):
            return ""
        low, high = self.show(value.low), self.show(value.high)
        return (
            f"{low.removesuffix(' %')} to {high}"
            if self.how in {"points", "signed"}
            else f"{low.removesuffix(' %')}–{high}"
        )


@dataclass(frozen=True)
class Table:
    """A table; ``shown`` rows of it stand in the page (None: all), all of them in the files. No column twice."""

    name: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Any, ...]]
    caption: str = ""
    shown: int | None = None
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        assert len(set(names)) == len(names), f"table {self.name} has two columns of one name: {names}"

    def _repr_html_(self) -> str:
        """What a notebook shows: all rows, for there are no files beside it."""
        return render("notebook_table.html.j2", block=replace(self, shown=None))

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
        """A list with an object a row; an estimate is an object of value, low and high."""
        names = [column.name for column in self.columns]
        rows = [dict(zip(names, json_ready(list(row)), strict=True)) for row in self.rows]
        return (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


@dataclass(frozen=True)
class Plot:
    """A figure and what is to be seen in it."""

    drawing: Drawing
    caption: str
    kind: ClassVar[str] = "plot"


@dataclass(frozen=True)
class Pair:
    """Figures side by side where there is room."""

    plots: tuple[Plot, ...]
    kind: ClassVar[str] = "pair"


@dataclass(frozen=True)
class Face:
    """A picture of a face in the page alone, never in a file.

    Attributes:
        picture: a ``data:`` address.
        words: what stands below it.
        detail: lines that a click shows, as (name, value, share 0..1 to draw as a bar or None).
        like: small faces that a click shows, such as its nearest in training.
    """

    picture: str
    words: str
    detail: tuple[tuple[str, str, float | None], ...] = ()
    like: tuple[Face, ...] = ()
    like_title: str = ""


@dataclass(frozen=True)
class Faces:
    """A row of faces under a title."""

    title: str
    faces: tuple[Face, ...]
    kind: ClassVar[str] = "faces"


@dataclass(frozen=True)
class Columns:
    """Rows of faces under one title: side by side where there is room, or, with larger faces, one below the other."""

    title: str
    parts: tuple[Faces, ...]
    stacked: bool = False
    kind: ClassVar[str] = "columns"


Block: TypeAlias = Text | Table | Plot | Pair | Faces | Columns


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: its address in the page.
        title: what it answers.
        blocks: what it says, in order.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = field(default=())

    def tables(self) -> Iterator[Table]:
        """All tables."""
        for block in self.blocks:
            if isinstance(block, Table):
                yield block

    def drawings(self) -> Iterator[Drawing]:
        """All figures."""
        for block in self.blocks:
            if isinstance(block, Plot):
                yield block.drawing
            elif isinstance(block, Pair):
                yield from (plot.drawing for plot in block.plots)


def points(value: float) -> str:
    """A difference of shares in points: 0.012 -> ``"+1.2"``; NaN -> a dash."""
    return UNDEFINED if np.isnan(value) else f"{100 * value:+.1f}"


def signed(value: float) -> str:
    """0.0123 -> ``"+0.012"``; NaN -> a dash."""
    return UNDEFINED if np.isnan(value) else f"{value:+.3f}"


def number(value: Any) -> str:
    """0.000123456 -> ``"0.0001235"``; what is no fraction stays as it is; NaN -> a dash."""
    if not isinstance(value, float):
        return str(value)
    return UNDEFINED if np.isnan(value) else f"{value:.4g}"


_WRITTEN: dict[str, Callable[[Any], str]] = {
    "text": str,
    "count": lambda value: f"{value:,}",
    "percent": percent,
    "points": points,
    "decimal": decimal,
    "signed": signed,
    "p": p_figure,
    "number": number,
}


def _csv_cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and not np.isfinite(value)) else value
