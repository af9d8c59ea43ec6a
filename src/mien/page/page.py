"""A page as one HTML file that loads nothing from the network.

Without scripts the page is complete, with all charts and tables. A script (``templates/page.js``) adds
values at the pointer, sorting and filtering.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mien.base.errors import Notice, RunError
from mien.base.files import plain, write_bytes, write_text
from mien.base.labels import class_colours
from mien.page.blocks import CaptionedChart, CellFaces, FaceRow, Section, Table
from mien.page.chart import svg_element
from mien.page.rendering import figure_environment, render, slug


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
