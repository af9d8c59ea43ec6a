"""``mien predict``: what a model reads in images."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    ClassesOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SkipBadOption,
    ThresholdOption,
    remark,
    show,
    show_json,
)
from mien.errors import DataError

if TYPE_CHECKING:
    from mien.inference.readings import Reading


def predict(
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    model: ModelOption = "default",
    crops: Annotated[
        bool, typer.Option("--crops", help="Each image is a face already; this version finds no faces in photos.")
    ] = False,
    classes: ClassesOption = None,
    threshold: ThresholdOption = None,
    json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read the expression in images of faces."""
    from mien.inference.classifier import load
    from mien.labels import parse_scheme
    from mien.progress import track

    if not crops:
        raise DataError(
            "This version does not look for faces in photos yet. Give --crops: each image is a face already."
        )
    if json and as_csv:
        raise DataError("Give --json or --csv, not both.")
    classifier = load(model)
    files = list(_files(images))
    on_bad = (lambda error: remark(f"left out: {error}")) if skip_bad else None
    # Collected before anything is printed: a bad image late in the list must not leave half an answer on stdout.
    stream = classifier.stream(files, on_bad, classes=classes, threshold=threshold)
    readings = list(track(stream, total=len(files), what="reading", unit="faces"))
    if json:
        show_json([reading.to_dict() for reading in readings])
    elif as_csv:
        scheme = parse_scheme("all" if classes is None else classes)
        _write_csv(readings, classifier.classes if scheme is None else scheme.classes)
    else:
        _show_table(readings)


def _files(images: list[Path]) -> Iterator[Path]:
    from mien.inference.classifier import image_files

    for path in images:
        if path.is_dir():
            yield from image_files(path)
        else:
            yield path


def _write_csv(readings: list[Reading], classes: tuple[str, ...]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["source", "top", "confidence", *classes])
    for reading in readings:
        shares = [f"{value:.6f}" for value in reading.probabilities.values()]
        writer.writerow([reading.source, reading.top, f"{reading.confidence:.6f}", *shares])


def _show_table(readings: list[Reading]) -> None:
    from rich.table import Table

    table = Table("image", "expression", "share", "then", box=None, pad_edge=False)
    for reading in readings:
        ranked = sorted(reading.probabilities.items(), key=lambda item: (item[0] != reading.top, -item[1]))
        others = ", ".join(f"{name} {share:.0%}" for name, share in ranked[1:3])
        table.add_row(reading.source, reading.top, f"{reading.confidence:.0%}", others)
    show(table)
