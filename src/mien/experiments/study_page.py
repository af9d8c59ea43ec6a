"""A study's page and its table for the terminal, from what :mod:`mien.experiments.study_table` puts together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text as RichText

from mien.experiments.study_table import Compared, Row, StudyTable
from mien.report import wording
from mien.report.blocks import Block, Column, Plot, Section, Table, Text
from mien.report.full_page import Written, write_files
from mien.report.plots_study import spreads_plot
from mien.report.printed import ByWidth, titled, without
from mien.report.rendering import render
from mien.report.study_wording import duration, figure_name, figure_text, in_percent, spread_text
from mien.report.wording import UNDEFINED, p_text, rows_text


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
        rows=0,
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
    """The same for a terminal, from 80 columns up: something rich can print."""
    parts: list[RenderableType] = [titled(table.study.title, ByWidth(_summary(table), _long_summary(table)))]
    for number, compared in enumerate(table.comparisons, 1):
        if compared.entries:
            title, whole = f"{compared.comparison.title}: {_about(compared)}", _compared_table(table, number, compared)
            parts.append(titled(title, ByWidth(whole, without(whole, "baseline", "value"))))
    parts += [RichText(f"note: {words}") for words in _left_out(table)]
    if any(each.entries for each in table.comparisons):
        parts.append(RichText("note: with one seed an interval knows the faces' chance alone; no p is corrected."))
    return Group(*parts)


def _rows_section(table: StudyTable) -> Section:
    blocks: list[Block] = []
    if table.study.question:
        blocks.append(Text(table.study.question))
    blocks += [
        _summary(table),
        _figures_table(table),
        Text(
            "± is the standard deviation over runs that differ in their seed alone; figures without it are of one run. "
            "Each run is measured on validation at the epoch that validation chose, which flatters every figure a "
            "little, the more the more epochs there were to choose from. Figures of different classes or rows do not "
            "compare. Times are by the clock, beside whatever else the machine did; those of a GPU stand apart, "
            "and so do those of other counts of threads.",
            soft=True,
        ),
    ]
    blocks += [Text(f"{each.name}: {each.note}", soft=True) for each in table.study.variants if each.note]
    for figure in table.study.figures:
        rows = [row for row in table.rows if figure in row.figures and not math.isnan(row.figures[figure].mean)]
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
    crosses = " Crosses: as published." if any(theirs) else ""
    return Plot(
        drawing, f"{figure_name(figure)} of each variant; bars are 95 % intervals of the faces' chance.{crosses}"
    )


def _summary(table: StudyTable) -> Table:
    figures = table.study.figures
    columns = (
        Column("variant", "text"),
        Column("what", "text"),
        *(Column(_with_published(table, name), "text") for name in figures),
        Column("faces", "text"),
        Column("runs", "text"),
        Column("training", "text"),
    )
    rows = []
    for row in table.rows:
        cells = [_cell(row, name) for name in figures]
        rows.append((row.variant.name, row.variant.title, *cells, _faces(row), _runs(row), _times(row)))
    if not any(row.variant.title for row in table.rows):
        columns, rows = (columns[0], *columns[2:]), [(row[0], *row[2:]) for row in rows]
    return Table("variants", columns, rows)


def _long_summary(table: StudyTable) -> Table:
    """The same with a line a figure."""
    columns = (
        Column("variant", "text"), Column("what", "text"), Column("figure", "text"), Column("ours", "text"),
        Column("theirs", "text"),
    )  # fmt: skip
    rows = []
    for row in table.rows:
        published = row.variant.published
        lines = [
            (figure_name(name), spread_text(name, row.figures[name]) if name in row.figures else UNDEFINED,
             figure_text(name, published[name]) if name in published else "")
            for name in table.study.figures
        ]  # fmt: skip
        lines += [("faces", _faces(row), ""), ("runs", _runs(row), ""), ("training", _times(row), "")]
        who = [(row.variant.name, row.variant.title), *[("", "")] * len(lines)]
        said = [line for line in lines if line[1] not in {"", UNDEFINED} or line[2]]
        rows += [(*first, *line) for first, line in zip(who, said, strict=False)]
    return Table("variants", columns, rows)


def _faces(row: Row) -> str:
    return f"{row.rows:,} ({row.classes} classes)" if row.rows else ""


def _times(row: Row) -> str:
    return ", ".join(f"{duration(each.seconds)} ({each.on})" for each in row.training)


def _with_published(table: StudyTable, figure: str) -> str:
    published = any(figure in row.variant.published for row in table.rows)
    return f"{figure_name(figure)} (theirs)" if published else figure_name(figure)


def _cell(row: Row, figure: str) -> str:
    ours = spread_text(figure, row.figures[figure]) if figure in row.figures else UNDEFINED
    theirs = row.variant.published.get(figure)
    return ours if theirs is None else f"{ours} ({figure_text(figure, theirs)})"


def _figures_table(table: StudyTable) -> Table:
    """The same as numbers, for the files."""
    columns = (
        Column("variant", "text"), Column("figure", "text"), Column("mean"), Column("deviation"),
        Column("runs", "count"), Column("published"),
    )  # fmt: skip
    rows = [
        (row.variant.name, name, found.interval, found.deviation, found.runs, row.variant.published.get(name))
        for row in table.rows
        for name, found in row.figures.items()
    ]
    return Table("figures", columns, rows, shown=0)


def _runs(row: Row) -> str:
    done = next(iter(row.figures.values())).runs if row.figures else 0
    parts = [
        str(done),
        *([f"{row.failed} failed"] if row.failed else []),
        *([f"{row.missing} to do"] if row.missing else []),
    ]
    return ", ".join(parts)


def _compared_table(table: StudyTable, number: int, compared: Compared) -> Table:
    """One line a figure: wide enough for numbers, narrow enough for a terminal and a telephone."""
    columns = (
        Column("variant", "text"), Column("seeds", "text"), Column("figure", "text"), Column("baseline"),
        Column("value"), Column("difference", "signed"), Column("p", "text"),
    )  # fmt: skip
    rows = [
        (
            entry.name, str(found.seeds), figure_name(figure), found.baseline, found.value, found.difference,
            p_text(found.p_value),
        )
        for entry in compared.entries
        for figure, found in entry.differences.items()
        if not math.isnan(found.difference.value)
    ]  # fmt: skip
    return Table(f"comparison-{number}", columns, rows, _about(compared))


def _about(compared: Compared) -> str:
    baseline = compared.comparison.baseline
    merged = f", scores merged by '{compared.comparison.classes}'" if compared.comparison.classes else ""
    return f"{rows_text(compared.rows)} that all of them have{merged}; the baseline is {baseline}, on the same seeds."


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
    count = len(_compared_table(table, number, compared).rows)
    words += (
        f" No p is corrected for the {count} that stand here: of 20 without anything behind them, one is below .05."
    )
    return Section(f"comparison-{number}", title, (_compared_table(table, number, compared), Text(words, soft=True)))


def _runs_section(table: StudyTable) -> Section:
    columns = (
        Column("variant", "text"), Column("seed", "count"), Column("epochs", "count"), Column("best epoch", "count"),
        Column("training", "text"), Column("on", "text"), Column("failed", "text"), Column("kept in", "text"),
    )  # fmt: skip
    rows = [
        (
            run.variant, run.recipe.seed, each.record.epochs, each.record.best_epoch, duration(each.record.seconds),
            each.record.trained_on, each.record.failed, each.folder.name,
        )
        for run, each in table.runs
    ]  # fmt: skip
    words = "Each run is kept with its recipe, its history and its scores, so that every figure here can be made again."
    return Section("runs", "Every run", (Table("runs", columns, rows), Text(words, soft=True)))


def _left_out(table: StudyTable) -> list[str]:
    words = [f"{name} is left out: {reason}" for name, reason in table.left_out.items()]
    words += [f"Not finished: {row.missing} of the runs of {row.variant.name}." for row in table.rows if row.missing]
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
