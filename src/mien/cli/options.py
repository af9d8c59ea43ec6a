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

    from mien.data.clean import Clean
    from mien.data.read import ReadResult

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


def read(
    data: Path,
    *,
    size_px: int = 48,
    class_map: str | None = None,
    skip_bad: bool = False,
    clean: Path | None = None,
    again: bool = False,
) -> ReadResult:
    """Read data for a command; say which images were left out, and what a list of changes did.

    Data that is read ``again``, at another size, was told of already.
    """
    from mien.data.clean import read_clean
    from mien.data.faceset import FINGERPRINT_PX
    from mien.data.read import read_data
    from mien.labels import parse_map

    changes = None if clean is None else read_clean(clean)
    result = read_data(data, size_px=size_px, class_map=parse_map(class_map) if class_map else None, skip_bad=skip_bad)
    if not again:
        _tell(result)
    if clean is None or changes is None:
        return result
    usual = result
    if size_px != FINGERPRINT_PX:
        usual = read_data(data, class_map=parse_map(class_map) if class_map else None, skip_bad=skip_bad)
    cleaned = _cleaned(result, usual, changes, clean)
    if not again:
        _tell_of_changes(cleaned, changes, clean)
    return cleaned


def check_readable(data: Path, class_map: str | None, clean: Path | None) -> None:
    """Refuse at a glance what :func:`read` will: for commands that load torch first, which takes seconds.

    Raises :class:`DataError`.
    """
    from mien.data.clean import read_clean
    from mien.data.read import describe_source
    from mien.labels import parse_map

    describe_source(data)
    if class_map:
        parse_map(class_map)
    if clean is not None:
        read_clean(clean)


def _tell(result: ReadResult) -> None:
    for note in result.notes:
        remark(f"note: {note}")
    for source, reason in result.skipped:
        remark(f"left out {reason}" if reason.startswith(source) else f"left out {source}: {reason}")


def _cleaned(result: ReadResult, usual: ReadResult, changes: Clean, path: Path) -> ReadResult:
    from dataclasses import replace

    from mien.data.clean import apply_clean, check_made_for

    check_made_for(changes, result.faces, path)
    return replace(result, faces=apply_clean(result.faces, changes, usual.faces), uncleaned=result.faces)


def _tell_of_changes(cleaned: ReadResult, changes: Clean, path: Path) -> None:
    assert cleaned.uncleaned is not None
    dropped = {
        split: gone
        for split, counts in cleaned.uncleaned.counts_by_split().items()
        if (gone := sum(counts) - int((cleaned.faces.split == split).sum()))
    }
    relabelled = sum(each.to is not None for each in changes.changes)
    parts = ", ".join(f"{count:,} of {split}" for split, count in dropped.items()) or "no rows"
    remark(f"{path}: dropped {parts}; relabelled {relabelled:,}")


def check_out(out: Path | None, data: Path | None = None) -> None:
    """Refuse an ``--out`` that is a file, a run folder or a part of the data, before anything is computed.

    ``data`` is given where pictures are written: a later look at that folder would take them for faces. Raises
    :class:`RunError`.
    """
    from mien.errors import RunError
    from mien.run_folder import RunFolder

    if out is not None and RunFolder(out).is_run:
        raise RunError(f"{out} is a run folder and keeps its own measurement; choose another folder for --out.")
    if out is not None and out.is_file():
        raise RunError(f"{out} is a file; --out names a folder.")
    if out is not None and data is not None and data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise RunError(
            f"{out} is in the data, {data}, where what is written would be read as faces. Choose another folder with "
            f"--out."
        )


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


def check_data_options(data: Path | None, class_map: str | None, skip_bad: bool, clean: Path | None) -> None:
    """Refuse options of reading where nothing is read. Raises :class:`DataError`."""
    from mien.errors import DataError

    given = {"--map": class_map is not None, "--skip-bad": skip_bad, "--clean": clean is not None}
    for option, is_given in given.items():
        if data is None and is_given:
            raise DataError(f"{option} is about data; give --data PATH too.")


def clean_facts(clean: Path | None) -> dict[str, str]:
    """Which list of changes a figure was made under, to the byte; nothing without one."""
    from hashlib import sha256

    if clean is None:
        return {}
    return {"clean": str(clean), "clean_sha256": sha256(clean.read_bytes()).hexdigest()}


def page_facts(data: Path | str | None, clean: Path | None = None) -> dict[str, str]:
    """:func:`environment` as a page shows it."""
    facts = environment("not given" if data is None else data, clean_facts(clean))
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
