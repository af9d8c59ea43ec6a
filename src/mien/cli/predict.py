"""``mien predict``: detect faces in images and classify the expression of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import DataError
from mien.base.images import UNREAD_ADVICE, missing_file
from mien.base.progress import track
from mien.cli.detection import DetectionOptions, note_photos_as_crops
from mien.cli.options import (
    IMAGES,
    ClassesOption,
    CropsOption,
    EngineOption,
    JsonOption,
    ModelOption,
    OutputOption,
    OverwriteOption,
    ProviderOption,
)
from mien.cli.output import notice, show_json
from mien.cli.predict_view import Tally, show_answers
from mien.cli.usage import leave_out
from mien.inference.annotate import Annotator
from mien.inference.bulk import predict_files, predict_on_ray, settings_of
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import count_unread, walk_sources
from mien.inference.output_files import Columns, write_csv
from mien.inference.predictor import load
from mien.inference.resumable_output import ResumableOutput


def predict(
    images: Annotated[list[str], IMAGES],
    model: ModelOption = "default",
    crops: CropsOption = False,
    annotate: Annotated[
        Path | None, typer.Option(help="Write each image with boxes and predictions to this folder.", metavar="DIR")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the predictions to this .jsonl, .csv or .parquet file. To resume after an interruption, run "
            "the same command again.",
            metavar="FILE",
        ),
    ] = None,
    provider: ProviderOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Process N images at the same time. The default is 1, and one for each core with --engine ray.",
            metavar="N",
        ),
    ] = None,
    engine: EngineOption = "local",
    output: OutputOption = None,
    classes: ClassesOption = None,
    *,
    detection: DetectionOptions,
    json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Skip images that cannot be read, and list them."),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Detect the faces in images, and classify the expression of each."""
    given = {"--annotate": annotate is not None, "--json": json, "--csv": as_csv, "--overwrite": overwrite}
    _check(images, out, given, detection, crops=crops, ray=engine == "ray")
    threads = None if engine == "local" and workers in {None, 1} else 1

    def make_reader(threads: int | None = 1) -> FaceReader:
        predictor = load(model, threads=threads, output=output, provider=provider)
        detector = None if crops else detection.detector()
        return FaceReader(predictor, detector, classes=classes)

    # Check all arguments before anything is read or written.
    reader = make_reader(threads)
    sources = tuple(str(Path(name)) for name in images)
    annotator = None if annotate is None else Annotator(annotate, [Path(name) for name in sources])
    settings = {} if out is None else settings_of(sources, model, reader, crops=crops, annotator=annotator)
    tally, columns = Tally(None if crops else reader.detector), Columns(reader.classes, crops, reader.fields)
    on_ray = partial(predict_on_ray, make_reader, crops=crops, skip_bad=skip_bad, workers=workers)
    job = _Job(sources, reader, crops, annotator, skip_bad, workers or 1, on_ray if engine == "ray" else None)
    total = job.count()
    if out is None:
        # Compute all results before printing, so that a bad image late in the list leaves no partial output.
        answers = list(job.results(job.files(), total))
        for each in answers:
            tally.add(each)
    else:
        _write(job, total, ResumableOutput(out, settings, columns, overwrite=overwrite), tally)
    tally.check_any(out)
    if json:
        show_json(answers)
    elif as_csv:
        write_csv(sys.stdout, answers, columns)
    elif out is None:
        show_answers(answers, "" if crops else str(tally))
    tally.note()
    if annotator is not None:
        notice(f"annotated images: {annotator.folder}")


def _check(
    images: list[str], out: Path | None, given: dict[str, bool], detection: DetectionOptions, *, crops: bool, ray: bool
) -> None:
    """Check that the options are compatible. Raises :class:`DataError`."""
    address = next((name for name in images if "://" in name), None)
    if address is not None:
        raise missing_file(address)
    if crops:
        limits = {"--annotate": given["--annotate"], **detection.given()}
        leave_out("--crops treats images as face crops and detects no faces", limits)
    if ray:
        leave_out("--engine ray writes a table", {"--annotate": given["--annotate"]})
        if out is None:
            raise DataError("--engine ray writes into a file; give --out FILE.", code="options")
    if out is not None:
        leave_out("The suffix of --out sets the format already", {name: given[name] for name in ("--json", "--csv")})
    else:
        leave_out("--overwrite is for --out", {"--overwrite": given["--overwrite"]})
    if given["--json"]:
        leave_out("--json is already an output format", {"--csv": given["--csv"]})


@dataclass(frozen=True)
class _Job:
    """The images to predict in this process, and the settings."""

    sources: tuple[str, ...]
    reader: FaceReader
    crops: bool
    annotator: Annotator | None
    skip_bad: bool
    workers: int
    on_ray: Callable[[Iterator[Path]], Iterator[dict[str, Any]]] | None

    def files(self) -> Iterator[Path]:
        return walk_sources(self.sources, missing_too=self.skip_bad)

    def count(self) -> int:
        """Return the number of images. Print notices about unsupported formats, and photos given as face crops."""
        count = sum(1 for _ in self.files())
        for folder in filter(os.path.isdir, dict.fromkeys(self.sources)):
            if unread := count_unread(folder):
                notice(f"{folder}: {unread:,} files of other formats left out; {UNREAD_ADVICE}", "images-left-out")
        if self.crops:
            note_photos_as_crops(self.files())
        return count

    def results(self, files: Iterator[Path], count: int) -> Iterator[dict[str, Any]]:
        """Yield results with a progress bar, and list skipped images."""
        if self.on_ray is None:
            results = predict_files(
                self.reader, files, crops=self.crops, annotator=self.annotator, skip_bad=self.skip_bad,
                workers=self.workers,
            )  # fmt: skip
        else:
            results = self.on_ray(files)
        for each in track(results, count, "predicting", "faces" if self.crops else "images"):
            if "error" in each:
                notice(f"skipped: {each['error']}")
            yield each


def _write(job: _Job, total: int, output: ResumableOutput, tally: Tally) -> None:
    """Write the results to a file; after an interruption, the same call resumes."""
    with output as journal:
        if done := journal.found:
            notice(f"{done:,} of {total:,} images are done already; resuming.")
        left = (file for file in job.files() if str(file) not in journal)
        try:
            for result in job.results(left, max(total - done, 0)):
                journal.add(result)
        except KeyboardInterrupt:
            notice("Stopped. Finished images are kept; run the same command to resume.")
            raise
        journal.finish(map(str, job.files()), tally.add)
    typer.echo(f"{journal.out}: {tally}" + (f"; {done:,} done before" if done else ""))
