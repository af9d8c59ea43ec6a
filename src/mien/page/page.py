"""A page as one HTML file that loads nothing from the network, and its parts: text, metrics, tables, charts and faces.

Without scripts the page is complete, with all charts and tables. A script (``templates/page.js``) adds values at the
pointer, sorting and filtering. Each chart and each table is also saved as files under its name.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mien.base.errors import DataError, Notice, RunError, needs_extra
from mien.base.files import plain, write_bytes, write_text
from mien.base.labels import class_colours
from mien.evaluation.paired_tests import Spread
from mien.evaluation.results import Estimate, json_ready
from mien.page import wording
from mien.page.chart import Chart, svg_element
from mien.page.wording import Cell, Format, escape, figure_environment, render, slug, table_environment, with_interval

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
        format: how to write values: ``"points"`` is a signed difference in percentage points, ``"signed"`` a signed
            decimal, ``"fixed"`` one of two digits, ``"p"`` a p-value, ``"number"`` any number or text. An
            :class:`Estimate` also shows its interval.
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

    def to_pandas(self) -> "DataFrame":
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

        In long rows, intervals are below their values.
        With a caption (the table's) it is a ``table`` with label ``tab:NAME``; only there, wide ones get narrow gaps.
        """
        texts, formats = [*self._texts()], [column.format for column in self.columns]
        letters = sum(3 + max(map(len, cells)) for cells in zip(*texts, strict=True))
        rows = [[[*map(escape, cells)]] for cells in texts]
        if letters > wording.MAX_LETTERS:
            heads = [each.heading.rpartition(" ") for each in self.columns]
            pairs = [[(escape(first), escape(last)) for first, _, last in heads]]
            pairs += [[wording.two_lines(*each) for each in zip(row, formats, strict=True)] for row in self.rows]
            rows = [[[*line] for at, line in enumerate(zip(*row, strict=True)) if not at or any(line)] for row in pairs]
        for place, name in self.best:
            cells, at = rows[place + 1][0], [column.name for column in self.columns].index(name)
            cells[at] = f"\\textbf{{{cells[at]}}}"
        first, *others = ("".join(" & ".join(cells) + " \\\\\n" for cells in row) for row in rows)
        columns = "".join("l" if column.format == "text" else "r" for column in self.columns)
        between = "\\addlinespace\n" if max(map(len, rows[1:]), default=1) > 1 else ""
        body = f"\\toprule\n{first}\\midrule\n{between.join(others)}\\bottomrule\n"
        tabular = f"\\begin{{tabular}}{{{columns}}}\n{body}\\end{{tabular}}\n"
        if not (caption := caption or self.caption) and not label:
            return tabular
        return table_environment(tabular, caption, label or f"tab:{self.name}", letters)

    def _texts(self) -> Iterator[list[str]]:
        yield [column.heading for column in self.columns]
        for row in self.rows:
            yield [with_interval(value, column.format) for column, value in zip(self.columns, row, strict=True)]

    def _repr_html_(self) -> str:
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
    """A chart with its caption; one that ``scrolls`` does not shrink on a narrow screen."""

    chart: Chart
    caption: str
    scrolls: bool = False


@dataclass(frozen=True)
class Player:
    """A video beside the page, by file name. Clicking a time chart, or a time in a table, jumps to that time."""

    file: str


@dataclass(frozen=True)
class FaceTile:
    """An image of a face as a ``data:`` address, only in the page. ``detail``: lines for a click, maybe with a bar."""

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
    """A part of a page: its anchor, unique in the page, its heading, and its content in order."""

    key: str
    title: str
    blocks: tuple[Block, ...] = ()

    def parts(self, *kinds: type[Part]) -> list[Any]:
        """Return the parts in order, including those inside rows; only those of given kinds, if any is given."""
        parts = [part for block in self.blocks for part in (block.parts if isinstance(block, Row) else (block,))]
        return [part for part in parts if isinstance(part, kinds)] if kinds else parts


@dataclass(frozen=True)
class WrittenPage:
    """Paths of a written page and the charts and tables beside it, and the page's size in bytes."""

    page: Path
    page_bytes: int
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the paths and the size, JSON-ready."""
        return {"report": str(self.page), "bytes": self.page_bytes, "files": [str(each) for each in self.files]}

    def __str__(self) -> str:
        return str(self.page)


@dataclass(frozen=True)
class Page:
    """A page made of sections.

    Attributes:
        title: title of the page.
        lead: one or two sentences below the title.
        sections: content in order.
        metadata: facts about the page's origin, such as model, data and command.
        notices: sentences about missing or damaged parts; the page stores their codes as ``data-code``.
        subject: source of the faces on the page.
        classes: classes of the model or the data in order; they determine colours.
        label: prefix of the labels in ``.tex`` files, such as the run's name; default: the title.
        documents: further text files to write beside the page, by name.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    metadata: Mapping[str, str] = field(default_factory=dict)
    notices: Sequence[Notice] = ()
    subject: Literal["data", "video"] = "data"
    classes: Sequence[str] = ()
    label: str = ""
    documents: Mapping[str, str] = field(default_factory=dict)

    @property
    def shows_faces(self) -> bool:
        """Return whether the page shows any faces."""
        return any(section.parts(FaceRow, CellFaces) for section in self.sections)

    def html(self) -> str:
        """Return the page as HTML. Equal pages give equal text. Raises MissingExtraError without jinja2."""
        return self._html(self._svgs())

    def _svgs(self) -> dict[str, bytes]:
        charts = [part.chart for section in self.sections for part in section.parts(CaptionedChart)]
        return {chart.name: chart.file("svg") for chart in charts}

    def _html(self, svgs: Mapping[str, bytes]) -> str:
        elements = {name: svg_element(file) for name, file in svgs.items()}
        return render("page.html.j2", page=self, colours=class_colours(self.classes), svgs=elements)

    def write(
        self, folder: Path, name: str = "report.html", forms: Sequence[str] = ("svg", "png", "pdf")
    ) -> WrittenPage:
        """Write each chart into ``figures/``, each table into ``tables/``, the documents, and at last the page.

        ``forms`` of charts; with ``"pdf"`` a chart also has a ``.tex`` file, as each table. Raises MissingExtraError
        without matplotlib or jinja2, RunError if a file cannot be written.
        """
        if folder.is_file():
            raise RunError(f"{folder} is a file; --out needs a folder.", code="out-path")
        svgs = self._svgs()
        html = self._html(svgs)
        files: dict[Path, bytes] = {folder / key: text.encode("utf-8") for key, text in self.documents.items()}
        run = slug(self.label or self.title)
        for section in self.sections:
            for part in section.parts(CaptionedChart):
                place, chart = folder / "figures", part.chart
                for form in forms:
                    files[place / f"{chart.name}.{form}"] = svgs[chart.name] if form == "svg" else chart.file(form)
                if "pdf" in forms:
                    text = figure_environment(chart.name, part.caption, f"fig:{run}-{chart.name}")
                    files[place / f"{chart.name}.tex"] = text.encode("utf-8")
            for table in section.parts(Table):
                place = folder / "tables"
                text = table.to_latex(table.caption or f"{section.title}.", f"tab:{run}-{table.name}")
                files[place / f"{table.name}.csv"] = table.to_csv()
                files[place / f"{table.name}.json"] = table.to_json()
                files[place / f"{table.name}.tex"] = text.encode("utf-8")
        _remove_earlier_files(folder / name)
        for path, content in files.items():
            write_bytes(path, content)
        # One line per file, because class names and thus file names may contain spaces.
        listed = "\n".join(sorted(path.relative_to(folder).as_posix() for path in files))
        html = f"{html}\n<!-- {_LISTED}\n{listed}\n-->\n"
        write_text(folder / name, html)
        return WrittenPage(folder / name, len(plain(html).encode()), tuple(files))


_LISTED = "Written beside this page:"


def _remove_earlier_files(page: Path) -> None:
    """Delete the charts and tables listed in an earlier page of this name. Other files are kept."""
    if not page.is_file():
        return
    found = re.search(rf"<!-- {_LISTED}\n(.*)\n-->\s*$", page.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    for listed in found[1].splitlines() if found else ():
        file = page.parent / listed
        if re.fullmatch(r"(figures|tables)/[^/]+|\w+\.(tex|bib)", listed) and file.is_file():
            file.unlink()
