"""The full report: one page from sections, and their figures and tables as files beside it.

Everything is in the page: no script, no font, no picture from elsewhere. A new section is a function in ``sections/``
that makes a :class:`mien.report.blocks.Section`, and a line in ``mien.experiments.full_report``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import RunError
from mien.evaluation.results import Evaluation
from mien.files import write_bytes, write_text
from mien.report import wording
from mien.report.blocks import Section
from mien.report.rendering import render


@dataclass(frozen=True)
class Written:
    """What a report came to: the page, its size, and the files beside it."""

    page: Path
    page_bytes: int
    files: tuple[Path, ...]


def write_pages(
    folder: Path,
    *,
    title: str,
    evaluation: Evaluation,
    sections: Sequence[Section],
    left_out: Sequence[str],
    facts: Mapping[str, str],
) -> Written:
    """Write ``report.html``, ``figures/*.svg`` and ``.png``, ``tables/*.csv`` and ``.json``; the page last.

    Args:
        folder: where to; made where it is missing.
        title: what is reported on.
        evaluation: the headline.
        sections: what follows it, in order.
        left_out: why what is not there is not there, a sentence each.
        facts: what else a reader needs, such as model, data and command.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused, or the folder is a file.
    """
    page = page_html(title, evaluation, sections, left_out, facts)
    return write_files(folder, page, sections)


def write_files(folder: Path, page: str, sections: Sequence[Section], name: str = "report.html") -> Written:
    """Write a page of that name with the figures and tables of its sections. Raises :class:`RunError`."""
    if folder.is_file():
        raise RunError(f"{folder} is a file; --out names a folder.")
    files: dict[Path, bytes] = {}
    for section in sections:
        for drawing in section.drawings():
            files[folder / "figures" / f"{drawing.name}.svg"] = drawing.svg_file()
            files[folder / "figures" / f"{drawing.name}.png"] = drawing.png_file()
        for table in section.tables():
            files[folder / "tables" / f"{table.name}.csv"] = table.to_csv()
            files[folder / "tables" / f"{table.name}.json"] = table.to_json()
    _remove_earlier(folder / name)
    for path, content in files.items():
        write_bytes(path, content)
    # A line each: a name may hold spaces, as a class's may.
    beside = "\n".join(sorted(path.relative_to(folder).as_posix() for path in files))
    page = f"{page}\n<!-- {_BESIDE}\n{beside}\n-->\n"
    write_text(folder / name, page)
    return Written(folder / name, len(page.encode("utf-8")), tuple(files))


_BESIDE = "Written beside this page:"


def _remove_earlier(page: Path) -> None:
    """Take away the figures and tables that an earlier page of the name lists, which would pass for this one's.

    Others stay, whoever made them; so do those of a page from before it listed them.
    """
    if not page.is_file():
        return
    found = re.search(rf"<!-- {_BESIDE}\n(.*)\n-->\s*$", page.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    for listed in found[1].splitlines() if found else ():
        file = page.parent / listed
        if re.fullmatch(r"(figures|tables)/[^/]+", listed) and file.is_file():
            try:
                file.unlink()
            except OSError as error:
                raise RunError(f"{file}, of an earlier report, cannot be removed: {error.strerror}.") from None


def page_html(
    title: str,
    evaluation: Evaluation,
    sections: Sequence[Section],
    left_out: Sequence[str],
    facts: Mapping[str, str],
) -> str:
    """The page that :func:`write_pages` writes."""
    return render(
        "full.html.j2",
        title=title,
        split=evaluation.split,
        rows=evaluation.rows,
        class_count=len(evaluation.classes),
        evaluation=evaluation,
        sections=sections,
        left_out=left_out,
        facts=facts,
        wording=wording,
        absent=[figures.name for figures in evaluation.per_class if not figures.support],
    )
