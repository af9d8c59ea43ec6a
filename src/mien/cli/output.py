"""Printing of results, and checks of the folder given as ``--out``."""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from mien.base.errors import DataError, Notice, RunError, printable, without_password
from mien.base.files import check_replaceable
from mien.base.images import StandardInput
from mien.base.progress import is_terminal
from mien.base.progress import notice as notice
from mien.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType


def show(renderable: "RenderableType", pipe_width: int = 120) -> None:
    """Print a result on stdout. For a pipe, which has no width, ``pipe_width`` columns are used."""
    from rich.console import Console

    from mien.page.terminal import least_width

    console = Console(width=None if is_terminal(sys.stdout) else pipe_width, markup=False, emoji=False, highlight=False)
    # A narrower terminal wraps lines; rich would cut columns off.
    console.width = least_width(renderable, max(console.width, 80))
    console.print(renderable)


def show_notices(notices: Iterable[Notice]) -> None:
    """Print notices on stderr, unless ``--quiet``."""
    for each in notices:
        notice(each.line)


def note_left_out(expressions: Sequence[str]) -> None:
    """Print which expressions ``--classes`` leaves out."""
    if expressions:
        words = f"--classes leaves out {', '.join(expressions)}; such a face gets one of the other answers."
        notice(words, "classes-left-out")


def show_json(value: Any) -> None:
    """Print JSON on stdout."""
    # Outside UTF encodings, Python's own escapes would not be valid JSON, so escape as JSON does.
    knows_all = "utf" in (sys.stdout.encoding or "utf-8").lower()
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not knows_all) + "\n")


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool = False, pipe_width: int = 120) -> None:
    """Print rows with equal keys as a table with one line per list item, or as JSON."""
    if as_json:
        show_json(rows)
    elif rows:
        head = [key.replace("_", " ") for key in rows[0]]
        cells = [[_cell(each) for each in row.values()] for row in rows]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *cells)
        ]
        room = get_terminal_size().columns if is_terminal(sys.stdout) else pipe_width
        text = "".join(lines)
        if len(lines[0]) <= room and text.isascii() and text.isprintable():
            # Print plain text that looks like rich's: loading rich takes a tenth of `mien predict photo.jpg`.
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            return
        from rich.table import Table

        table = Table(*head, box=None, pad_edge=False, header_style="")
        for row in cells:
            table.add_row(*row)
        show(table, pipe_width)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_cell, value))
    return printable("yes" * value if isinstance(value, bool) else str(value))


def show_facts(facts: Mapping[str, str], title: str = "") -> None:
    """Print names and values in two columns, with a title."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for fact in facts.items():
        table.add_row(*fact)
    show(table)


def read_stdin(images: Iterable[Any]) -> StandardInput | None:
    """Return the image on standard input if ``-`` is one of the images."""
    if not any(str(name) == "-" for name in images):
        return None
    if sys.stdin.isatty():
        raise DataError("- is an image from standard input: cat photo.jpg | mien predict -", code="options")
    return StandardInput(sys.stdin.buffer.read())


def leave_out(why: str, options: Mapping[str, object]) -> None:
    """Raise an error that names the given options."""
    given = [name for name, value in options.items() if value]
    if given:
        raise DataError(f"{why}. Leave out {' and '.join(given)}.", code="options")


def check_overwrite(out: Path | None, names: Iterable[str], overwrite: bool) -> None:
    """Refuse to replace files in ``--out`` without ``--overwrite``, and to use ``--overwrite`` without ``--out``."""
    if out is not None:
        if out.is_file():
            raise RunError(f"{out} is a file; --out must name a folder.", code="out-path")
        check_replaceable([out / name for name in names], overwrite)
    elif overwrite:
        raise DataError("--overwrite needs --out.", code="options")


def environment(data: Path | str) -> dict[str, str]:
    """Return metadata of this machine and command, for environment.json and pages."""
    return {
        "data": str(data),
        "command": without_password(shlex.join(["mien", *sys.argv[1:]])),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "mien version": __version__,
        **({"commit": commit} if (commit := _commit()) else {}),
    }


def _commit() -> str:
    with suppress(OSError):
        command = ["git", "rev-parse", "--verify", "-q", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""
