"""A study's page and its table for the terminal, from what :mod:`mien.experiments.study_table` puts together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text as RichText

from mien.evaluation.repeats import Spread
from mien.experiments.study_table import Compared, Row, StudyTable
from mien.report import wording
from mien.report.blocks import Block, Column, Plot, Section, Table, Text
from mien.report.full_page import Written, write_files
from mien.report.plots_study import spreads_plot
from mien.report.rendering import render
from mien.report.study_wording import difference_text, duration, figure_name, figure_text, in_percent, spread_text
from mien.report.wording import UNDEFINED, rows_text


def write_study(out: Path, table: StudyTable, facts: Mapping[str, str]) -> Written:
    """Write ``report.html`` with its figures and tables into a folder.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    sections = [_rows_section(table), *(_comparison_section(table, n, e) for n, e in enumerate(table.comparisons, 1))]
    sections.append(_runs_section(table))
    page = render(
        "full.html.j2",
        title=table.study.title,
        split="validation",
        rows=max((row.rows for row in table.rows), default=0),
        class_count=0,
        evaluation=None,
        absent=[],
        sections=sections,
        left_out=_left_out(table),
        facts=dict(facts),
        wording=wording,
    )
    return write_files(out, page, sections)


def study_tables(table: StudyTable) -> RenderableType:
    """The same for a terminal: something rich can print."""
    parts: list[RenderableType] = []
    for each in (_summary(table), *(_compared_table(table, n, e) for n, e in enumerate(table.comparisons, 1))):
        if not each.rows:
            continue
        printed = RichTable(box=box.SIMPLE_HEAD, show_edge=False)
        for index, column in enumerate(each.columns):
            printed.add_column(RichText(column.name), justify="left" if index < 2 else "right", no_wrap=index != 1)
        for row in each.rows:
            cells = zip(each.columns, row, strict=True)
            printed.add_row(*(RichText(column.show(value)) for column, value in cells))
        parts.append(Group(RichText(f"\n{each.caption}", style="bold"), printed))
    parts += [RichText(f"note: {words}") for words in _left_out(table)]
    return Group(*parts)


def _rows_section(table: StudyTable) -> Section:
    blocks: list[Block] = []
    if table.study.question:
        blocks.append(Text(table.study.question))
    blocks += [
        _summary(table),
        Text(
            "± is the standard deviation over runs that differ in their seed alone; figures without it are of one run. "
            "Each run is measured on validation at the epoch that validation chose, so all figures flatter a little, "
            "and alike.",
            soft=True,
        ),
    ]
    for figure in table.study.figures:
        rows = [row for row in table.rows if figure in row.figures]
        if rows:
            blocks.append(_plot(figure, rows))
    return Section("variants", "What came out", tuple(blocks))


def _plot(figure: str, rows: Sequence[Row]) -> Plot:
    theirs = [row.variant.published.get(figure) for row in rows]
    drawing = spreads_plot(
        f"variants-{figure.replace('.', '-')}",
        [row.variant.name for row in rows],
        [row.figures[figure] for row in rows],
        theirs,
        f"{figure_name(figure)}, %" if in_percent(figure) else figure_name(figure),
        100 if in_percent(figure) else 1,
    )
    crosses = " Crosses: as published, on other splits and without a fixed seed." if any(theirs) else ""
    return Plot(
        drawing, f"{figure_name(figure)} of each variant; bars are 95 % intervals of the faces' chance.{crosses}"
    )


def _summary(table: StudyTable) -> Table:
    figures = table.study.figures
    published = [name for name in figures if any(name in row.variant.published for row in table.rows)]
    columns = (
        Column("variant", "text"),
        Column("what", "text"),
        *(Column(f"{figure_name(name)}, theirs", "text") for name in published),
        *(Column(figure_name(name), "text") for name in figures),
        Column("runs", "text"),
        Column("training", "text"),
    )
    rows = []
    for row in table.rows:
        theirs = [
            figure_text(name, row.variant.published[name]) if name in row.variant.published else ""
            for name in published
        ]
        ours = [spread_text(name, row.figures[name]) if name in row.figures else UNDEFINED for name in figures]
        took = "" if row.seconds is None else f"{duration(row.seconds)}, {_threads(row)}"
        rows.append((row.variant.name, row.variant.title, *theirs, *ours, _runs(row), took))
    return Table("variants", columns, rows, caption=table.study.title)


def _runs(row: Row) -> str:
    done = next(iter(row.figures.values())).runs if row.figures else 0
    parts = [
        str(done),
        *([f"{row.failed} failed"] if row.failed else []),
        *([f"{row.missing} to do"] if row.missing else []),
    ]
    return ", ".join(parts)


def _threads(row: Row) -> str:
    return f"{' or '.join(map(str, row.threads))} {'thread' if row.threads == (1,) else 'threads'}"


def _compared_table(table: StudyTable, number: int, compared: Compared) -> Table:
    figures = table.study.figures
    baseline = compared.comparison.baseline
    columns = (
        Column("variant", "text"),
        Column("seeds", "text"),
        *(column for name in figures for column in _pair_of_columns(figure_name(name), baseline)),
    )
    rows = []
    for entry in compared.entries:
        cells: list[Any] = []
        for name in figures:
            cells.append(spread_text(name, entry.figures[name]))
            cells.append(difference_text(name, entry.differences[name]) if name in entry.differences else "")
        seeds = next(iter(entry.differences.values())).seeds if entry.differences else _count(entry.figures)
        rows.append((entry.name, str(seeds), *cells))
    caption = f"{compared.comparison.title}: {rows_text(compared.rows)} that all of them have, against {baseline}"
    return Table(f"comparison-{number}", columns, rows, caption)


def _pair_of_columns(name: str, baseline: str) -> tuple[Column, Column]:
    return Column(name, "text"), Column(f"{name} - {baseline} [95 %]", "text")


def _count(figures: Mapping[str, Spread]) -> int:
    return next(iter(figures.values())).runs


def _comparison_section(table: StudyTable, number: int, compared: Compared) -> Section:
    title = compared.comparison.title
    if not compared.entries:
        return Section(f"comparison-{number}", title, (Text("There are not yet two variants with a finished run."),))
    several = any(each.seeds > 1 for entry in compared.entries for each in entry.differences.values())
    words = (
        "Differences are seed by seed on the same rows. With several seeds the interval knows both chances, of the "
        "faces and of training (t, Satterthwaite's degrees of freedom)"
        if several
        else "Differences are on the same rows (paired bootstrap)"
    )
    words += "; with one seed it knows the faces' chance alone: another seed might well turn a small difference around."
    return Section(f"comparison-{number}", title, (_compared_table(table, number, compared), Text(words, soft=True)))


def _runs_section(table: StudyTable) -> Section:
    columns = (
        Column("variant", "text"), Column("seed", "count"), Column("epochs", "count"), Column("best epoch", "count"),
        Column("training", "text"), Column("threads", "count"), Column("failed", "text"), Column("kept in", "text"),
    )  # fmt: skip
    rows = [
        (
            run.variant, run.recipe.seed, each.record.epochs, each.record.best_epoch, duration(each.record.seconds),
            each.record.threads, each.record.failed, each.folder.name,
        )
        for run, each in table.runs
    ]  # fmt: skip
    words = "Each run is kept with its recipe, its history and its scores, so that every figure here can be made again."
    return Section("runs", "Every run", (Table("runs", columns, rows), Text(words, soft=True)))


def _left_out(table: StudyTable) -> list[str]:
    words = [f"Not finished: {row.missing} of the runs of {row.variant.name}." for row in table.rows if row.missing]
    words += [
        f"{row.failed} of the runs of {row.variant.name} could not be trained to the end and are in no figure."
        for row in table.rows
        if row.failed
    ]
    words += [
        f"'{each.comparison.title}' is without {', '.join(each.absent)}, of which no run is finished."
        for each in table.comparisons
        if each.absent
    ]
    return words
