"""Options that mean the same in every command, and how commands speak."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.progress import is_quiet, set_quiet
from mien.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

DATA_HELP = "Labelled faces: fer2013.csv, a CSV of path,label, a folder of class folders, or parquet."
MODEL_HELP = "A run folder, a .onnx file, or a model that comes with mien: default, fast, default-int8, fast-int8."

DataOption = Annotated[Path, typer.Option("--data", help=DATA_HELP, metavar="PATH")]
ModelOption = Annotated[str, typer.Option("--model", help=MODEL_HELP, metavar="MODEL")]
# Where a command does something without them too.
DataIfAnyOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP, metavar="PATH")]
ModelIfAnyOption = Annotated[str | None, typer.Option("--model", help=MODEL_HELP, metavar="MODEL")]
SplitOfScoresOption = Annotated[
    str | None, typer.Option("--split", help="Which scores of each DIR; validation by default.")
]
MapOption = Annotated[
    str | None, typer.Option("--map", help="Rename classes of the data: 'joy=happy,0=angry'.", metavar="A=B,...")
]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, and list them.")]
CleanOption = Annotated[
    Path | None,
    typer.Option("--clean", help="Drop and relabel rows as this list of mien audit says.", metavar="FILE"),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Label scheme: all, seven, six, five, three, binary, binary-with-disgust, or "
        "'positive=happy+surprise,negative=angry+fear+sad'.",
        metavar="SCHEME",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        help="Of two classes, call a face the positive one (or the second) from this probability up; 0.5 by default.",
        metavar="T",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no remarks.", callback=lambda quiet: set_quiet(quiet) or quiet),
]


def show(renderable: RenderableType) -> None:
    """Print a result on stdout."""
    from rich.console import Console

    # A pipe has no width of its own; 80 columns would cut what a file can hold.
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    console.print(renderable)


def remark(text: str) -> None:
    """Say something beside the result, on stderr, unless ``--quiet``."""
    if not is_quiet():
        sys.stderr.write(text + "\n")


def show_json(value: Any) -> None:
    """Print JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_out(out: Path | None, data: Path | None = None) -> None:
    """Refuse an ``--out`` that is a file, a run folder or a part of the data, before anything is computed.

    ``data`` is given where pictures are written: a later look at that folder would take them for faces. Raises
    :class:`RunError`.
    """
    from mien.errors import RunError
    from mien.run_folder import RunFolder

    if out is not None and RunFolder(out).is_run:
        raise RunError(f"{out} is a run folder, whose files are its own; choose another folder for --out.")
    if out is not None and out.is_file():
        raise RunError(f"{out} is a file; --out names a folder.")
    if out is not None and data is not None and data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise RunError(
            f"{out} is in the data, {data}, where what is written would be read as faces. Choose another folder with "
            f"--out."
        )


def check_page_out(out: Path | None, data: Path | None = None) -> None:
    """:func:`check_out`, and refuse the folder of an evaluation: its own page would be lost. Raises ``RunError``."""
    from mien.errors import RunError

    check_out(out, data)
    if out is not None and (out / "metrics.json").is_file():
        raise RunError(f"{out} holds an evaluation with a page of its own; choose another folder for --out.")


def check_overwrite(out: Path | None, names: Iterable[str], overwrite: bool) -> None:
    """Refuse to replace files of ``--out`` that nobody said may go, and ``--overwrite`` where nothing is written.

    Raises :class:`RunError` and :class:`DataError`.
    """
    from mien.errors import DataError
    from mien.files import check_replaceable

    if out is not None:
        check_replaceable([out / name for name in names], overwrite)
    elif overwrite:
        raise DataError("--overwrite goes with --out.")


def page_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """What :func:`environment` gives, as a page shows it."""
    return {name: str(fact) for name, fact in facts.items()}


def environment(data: Path | str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Facts about this machine and command, for environment.json."""
    return {
        "data": str(data),
        "command": shlex.join(["mien", *sys.argv[1:]]),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "mien version": __version__,
        **(extra or {}),
    }
