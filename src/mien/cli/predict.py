"""``mien predict``: detect faces in images and classify the expression of each."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import typer

from mien.base.errors import DataError, RunError
from mien.base.images import UNREAD_ADVICE, missing_file
from mien.base.progress import track
from mien.cli.detection import DetectionOptions
from mien.cli.options import Positive, stdin_as_file
from mien.cli.output import note_left_out, notice, show_json, show_notices
from mien.cli.predict_view import Tally, show_answers, tables_by
from mien.cli.usage import leave_out
from mien.inference.annotate import Annotator
from mien.inference.bulk import predict_files, predict_on_ray, settings_of
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import find_images
from mien.inference.output_files import Columns, write_csv
from mien.inference.predictor import load, photos_as_crops
from mien.inference.resumable_output import ResumableOutput


def predict(
    images: list[str],
    *,
    model: str = "default",
    crops: bool = False,
    annotate: Path | None = None,
    out: Path | None = None,
    provider: str | None = None,
    workers: Positive | None = None,
    engine: Literal["local", "ray"] = "local",
    output: str | None = None,
    classes: str | None = None,
    by: Path | None = None,
    detection: DetectionOptions,
    json: bool = False,
    csv: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> None:
    """Detect the faces in images, and classify the expression of each.

    Options:
        annotate (DIR): Write each image with boxes and predictions to this folder.
        out (FILE): Write the predictions to this .jsonl, .csv or .parquet file. If interrupted, the same command
            resumes.
        workers (N): Process N images at the same time. The default is 1, and one for each core with --engine ray.
        by (FILE): Compare groups of people by this CSV: a column of files, and columns such as age.
        csv: Print CSV instead of a table.
        skip_bad: Skip images that cannot be read, and list them.
    """
    given = {"--annotate": annotate, "--json": json, "--csv": csv, "--overwrite": overwrite, "--by": by}
    given |= {f"--{name.replace('_', '-')}": value is not None for name, value in vars(detection).items()}
    _check(images, out, given, crops=crops, ray=engine == "ray")
    threads = None if engine == "local" and workers in {None, 1} else 1

    def make_reader(threads: int | None = 1) -> FaceReader:
        predictor = load(model, threads=threads, output=output, provider=provider)
        return FaceReader(predictor, None if crops else detection.detector(), classes=classes)

    # Check all arguments before anything is read or written.
    reader = make_reader(threads)
    sources = tuple(str(Path(name)) for name in stdin_as_file(images))
    annotator = None if annotate is None else Annotator(annotate, [Path(name) for name in sources])
    settings = {} if out is None else settings_of(sources, model, reader, crops=crops, annotator=annotator)
    tally = Tally(None if crops else reader.detector, by is not None)
    columns = Columns(reader.classes, crops, reader.fields)
    if engine == "ray":
        work = partial(predict_on_ray, make_reader, crops=crops, skip_bad=skip_bad, workers=workers)
    else:
        work = partial(predict_files, reader, crops=crops, annotator=annotator, skip_bad=skip_bad, workers=workers or 1)

    def results(names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield results with a progress bar, and list skipped images."""
        for each in track(work(map(Path, names)), len(names), "predicting", "faces" if crops else "images"):
            if "error" in each:
                notice(f"skipped: {each['error']}")
            yield each

    files, unread = find_images(sources, missing_too=skip_bad)
    show_groups = None if by is None else tables_by(by, files)
    for folder in filter(unread.get, unread):
        notice(f"{folder}: files of other formats left out: {unread[folder]:,}; {UNREAD_ADVICE}", "images-left-out")
    if crops:
        show_notices(photos_as_crops(map(Path, files), "--crops"))
    if out is None:
        # Compute all results before printing, so that a bad image late in the list leaves no partial output.
        answers = list(results(files))
        for each in answers:
            tally.add(each)
    else:
        with ResumableOutput(out, settings, columns, overwrite=overwrite) as journal:
            unnamed = journal.done.difference(files)
            if left_out := sorted(filter(os.path.exists, unnamed)):
                words = f"{journal.part} has results of other images, such as {left_out[0]}. Add them or remove it."
                raise RunError(words, code="journal-settings")
            if done := len(journal.done) - len(unnamed):
                notice(f"{done:,} of {len(files):,} images are done already; resuming.")
            try:
                for each in results([file for file in files if file not in journal.done]):
                    journal.add(each)
            except KeyboardInterrupt:
                notice("Stopped. Finished images are kept; run the same command to resume.")
                raise
            journal.finish(files, tally.add)
        typer.echo(f"{out}: {tally}" + (f"; {done:,} done before" if done else ""))
    tally.check_any(out)
    if show_groups is not None:
        show_groups(tally.faces, json)
    elif json:
        show_json(answers)
    elif csv:
        write_csv(sys.stdout, answers, columns)
    elif out is None:
        show_answers(answers, "" if crops else str(tally))
    tally.note()
    note_left_out(reader.left_out)
    if annotator is not None:
        notice(f"annotated images: {annotator.folder}")


def _check(images: list[str], out: Path | None, given: Mapping[str, object], *, crops: bool, ray: bool) -> None:
    """Check that the options are compatible. Raises :class:`DataError`."""
    address = next((name for name in images if "://" in name), None)
    if address is not None:
        raise missing_file(address)
    limits = ("--annotate", "--min-score", "--min-size", "--max-faces")
    for applies, why, names in (
        (crops, "--crops treats images as face crops and detects no faces", limits),
        (ray, "--engine ray writes a table", ("--annotate",)),
        (out is not None, "The suffix of --out sets the format already", ("--json", "--csv")),
        (out is None, "--overwrite is for --out", ("--overwrite",)),
        (given["--json"], "--json is already an output format", ("--csv",)),
        (given["--by"], "--by prints tables of groups", ("--csv",)),
    ):
        if applies:
            leave_out(why, {name: given[name] for name in names})
    if ray and out is None:
        raise DataError("--engine ray writes into a file; give --out FILE.", code="options")
