"""What commands print, and the checks of the folder that ``--out`` names."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from mien.base.errors import DataError, Notice, RunError, as_options, without_password
from mien.base.files import check_replaceable
from mien.base.progress import is_quiet, is_terminal
from mien.base.run_folder import RunFolder
from mien.version import __version__


def show(renderable: RenderableType, pipe_width: int = 120) -> None:
    """Print a result on stdout, to a pipe in ``pipe_width`` columns: it has no width of its own."""
    console = Console(width=None if is_terminal(sys.stdout) else pipe_width, markup=False, highlight=False)
    console.print(renderable)


def notice(words: str, code: str = "") -> None:
    """Print something beside the result on stderr, unless ``--quiet``; with a code as :class:`Notice`."""
    if not is_quiet():
        sys.stderr.write(as_options(Notice(words, code=code).line if code else words) + "\n")


def show_json(value: Any) -> None:
    """Print JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_out(out: Path | None, data: Path | None = None) -> None:
    """Refuse an ``--out`` that is a file, a run folder or a part of the data, before anything is computed.

    Args:
        out: the folder to write; None passes.
        data: given where images are written. A later read of that folder would take them for samples.

    Raises:
        RunError: ``out-is-run``, ``out-is-file``, ``out-in-data``.
    """
    if out is None:
        return
    if RunFolder(out).is_run:
        raise RunError(f"{out} is a run folder. Choose another folder for --out.", code="out-is-run")
    if out.is_file():
        raise RunError(f"{out} is a file; --out must name a folder.", code="out-is-file")
    if data is not None and data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise RunError(
            f"{out} is inside the data, {data}: images written there would later be read as samples. Choose another "
            f"folder for --out.",
            code="out-in-data",
        )


def check_page_out(out: Path | None, data: Path | None = None) -> None:
    """:func:`check_out`, and refuse the folder of an evaluation, whose own page would be replaced.

    Raises:
        RunError: as :func:`check_out`; ``out-is-evaluation``.
    """
    check_out(out, data)
    if out is not None and (out / "metrics.json").is_file():
        raise RunError(
            f"{out} holds an evaluation with its own page. Choose another folder for --out.", code="out-is-evaluation"
        )


def check_overwrite(out: Path | None, names: Iterable[str], overwrite: bool) -> None:
    """Refuse to replace files of ``--out`` without ``--overwrite``, and ``--overwrite`` without ``--out``.

    Raises:
        RunError: a file exists.
        DataError: ``options``.
    """
    if out is not None:
        check_replaceable([out / name for name in names], overwrite)
    elif overwrite:
        raise DataError("--overwrite needs --out.", code="options")


def page_metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of :func:`environment` as text for a page."""
    return {name: str(fact) for name, fact in metadata.items()}


def environment(data: Path | str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Metadata of this machine and command, for environment.json."""
    return {
        "data": str(data),
        "command": without_password(shlex.join(["mien", *sys.argv[1:]])),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "mien version": __version__,
        **(extra or {}),
    }
