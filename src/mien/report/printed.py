"""A page's table in a terminal: whole at any width from 80 columns up."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from mien.report.blocks import Table


@dataclass(frozen=True)
class ByWidth:
    """A table where the terminal holds it, else another that is less wide: a figure that is cut is none."""

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = _printed(self.wide, on_lines=True, what_width=_LEAST_WHAT)
        fits = Measurement.get(console, options.update(max_width=10_000), least).maximum <= options.max_width
        yield _printed(self.wide, on_lines=True) if fits else _printed(self.narrow, on_lines=False)


_LEAST_WHAT = 13
"""Columns of the terminal without which the words on what a variant is are no words any more."""


def titled(title: str, renderable: RenderableType) -> Group:
    """Something rich can print, under a line of its own."""
    return Group(Text(f"\n{title}", style="bold"), renderable)


def _printed(table: Table, *, on_lines: bool, what_width: int | None = None) -> RichTable:
    """A table for the terminal; ``on_lines`` breaks headers and cells where they have parts."""
    printed = RichTable(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True, pad_edge=False)
    with_interval = [any(column.interval(row[at]) for row in table.rows) for at, column in enumerate(table.columns)]
    for column, wide in zip(table.columns, with_interval, strict=True):
        is_what = column.name == "what"
        left = is_what or column.name in {"variant", "figure"}
        printed.add_column(
            Text(column.name.replace(" ", "\n") if on_lines else column.name),
            justify="left" if left else "right",
            width=what_width if is_what else None,
            min_width=_LEAST_WHAT if is_what else None,
            overflow="fold",
        )
        if wide:
            printed.add_column(Text("95 % interval"), justify="right", no_wrap=True)
    for row in table.rows:
        cells: list[Text] = []
        for column, wide, value in zip(table.columns, with_interval, row, strict=True):
            words = "" if value is None else column.show(value)
            cells.append(Text(_on_lines(words) if on_lines and column.name != "what" else words))
            cells += [Text(column.interval(value))] if wide else []
        printed.add_row(*cells)
    return printed


def _on_lines(words: str) -> str:
    """What stands in brackets goes below, and so does a spread."""
    return words.replace(" (", "\n(").replace(" ±", "\n±").replace(", ", ",\n")


def without(table: Table, *names: str) -> Table:
    """The table without the columns of these names."""
    kept = [at for at, column in enumerate(table.columns) if column.name not in names]
    rows = [tuple(row[at] for at in kept) for row in table.rows]
    return Table(table.name, tuple(table.columns[at] for at in kept), rows)
