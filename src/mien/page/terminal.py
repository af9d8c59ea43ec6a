"""Tables of a page in a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from mien.page.blocks import Table
from mien.page.wording import UNDEFINED


@dataclass(frozen=True)
class ResponsiveTable:
    """The wide table if the terminal is wide enough for it, otherwise the narrow one. Needs 80 columns or more."""

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = _compact(self.wide, on_lines=True, what_width=_LEAST_WHAT)
        fits = Measurement.get(console, options.update(max_width=10_000), least).maximum <= options.max_width
        yield _compact(self.wide, on_lines=True) if fits else _compact(self.narrow, on_lines=False)


_LEAST_WHAT = 13
"""Minimum width of the column that describes a variant, in characters."""
_LEAST_NUMBER = 7
"""Minimum width of a column whose head may wrap: its numbers may not."""


def titled(title: str, renderable: RenderableType) -> Group:
    """Something rich can print, under a line of its own."""
    return Group(Text(f"\n{title}", style="bold"), renderable)


def rich_table(table: Table) -> RichTable:
    """A table: text is aligned left, the rest right. Numbers never wrap; a long head may."""
    result = RichTable(box=box.SIMPLE_HEAD, show_edge=False)
    for column, wide in zip(table.columns, _with_interval(table), strict=True):
        # Text, because rich treats square brackets in a str as markup.
        justify: Literal["left", "right"] = "left" if column.format == "text" else "right"
        result.add_column(
            Text(column.head or column.name),
            justify=justify,
            no_wrap=column.format not in {"text", "number"} and not column.head,
            min_width=_LEAST_NUMBER if column.head else None,
            overflow="fold",
        )
        if wide:
            _add_interval(result)
    _fill(result, table)
    return result


def _compact(table: Table, *, on_lines: bool, what_width: int | None = None) -> RichTable:
    """A table of many columns; ``on_lines`` breaks headers and cells that have several parts into lines."""
    result = RichTable(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True, pad_edge=False)
    for column, wide in zip(table.columns, _with_interval(table), strict=True):
        is_what = column.name == "what"
        left = is_what or column.name in {"variant", "figure", "metric"}
        result.add_column(
            Text(column.name.replace(" ", "\n") if on_lines else column.name),
            justify="left" if left else "right",
            width=what_width if is_what else None,
            min_width=_LEAST_WHAT if is_what else None,
            overflow="fold",
        )
        if wide:
            _add_interval(result)
    # Dashes in many empty cells would hide the others.
    _fill(result, table, on_lines=on_lines, nothing="")
    return result


def _with_interval(table: Table) -> list[bool]:
    """Which columns have intervals; these get a column of their own."""
    return [any(column.interval(row[at]) for row in table.rows) for at, column in enumerate(table.columns)]


def _add_interval(result: RichTable) -> None:
    result.add_column(Text("95% interval"), justify="right", no_wrap=True)


def _fill(result: RichTable, table: Table, *, on_lines: bool = False, nothing: str = UNDEFINED) -> None:
    """Add all rows; ``nothing`` is the text for None."""
    with_interval = _with_interval(table)
    for row in table.rows:
        cells: list[Text] = []
        for column, wide, value in zip(table.columns, with_interval, row, strict=True):
            words = nothing if value is None else column.show(value)
            cells.append(Text(_on_lines(words) if on_lines and column.name != "what" else words))
            cells += [Text(column.interval(value))] if wide else []
        result.add_row(*cells)


def _on_lines(words: str) -> str:
    """Put brackets and spreads on lines of their own."""
    return words.replace(" (", "\n(").replace(" ±", "\n±").replace(", ", ",\n")


def drop_columns(table: Table, *names: str) -> Table:
    """The table without the columns of these names."""
    kept = [at for at, column in enumerate(table.columns) if column.name not in names]
    rows = [tuple(row[at] for at in kept) for row in table.rows]
    return Table(table.name, tuple(table.columns[at] for at in kept), rows)
