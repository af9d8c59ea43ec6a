"""``mien predict``: the faces in images, and the predicted expression of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import DataError, without_password
from mien.base.images import UNREAD_ADVICE, missing_file
from mien.base.progress import track
from mien.cli.detection import DetectionOptions, note_photos_as_crops
from mien.cli.options import (
    ClassesOption,
    CropsOption,
    EngineOption,
    JsonOption,
    ModelOption,
    OutputOption,
    ProviderOption,
    QuietOption,
    ThresholdOption,
)
from mien.cli.output import notice, show_json
from mien.cli.predict_view import Tally, show_answers
from mien.cli.usage import leave_out
from mien.faces.find import limit_opencv_threads
from mien.inference.annotate import Annotator
from mien.inference.bulk import predict_files, settings_of
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import count_unread, is_address, walk_sources
from mien.inference.output_files import WRITERS, Columns, write_csv
from mien.inference.parts import PartsJob, count_finished, open_parts, write_parts
from mien.inference.predictor import load
from mien.inference.resumable_output import ResumableOutput
from mien.page.wording import counted


def predict(
    # As text: a path would make one slash of the two in s3://bucket.
    images: Annotated[list[str], typer.Argument(help="Images, or folders of images.", metavar="IMAGE")],
    model: ModelOption = "default",
    crops: CropsOption = False,
    annotate: Annotated[
        Path | None, typer.Option(help="Write each image with boxes and predictions to this folder.", metavar="DIR")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the predictions to this .jsonl, .csv or .parquet file. With --engine ray: write tables to this "
            "folder. To resume after an interruption, run the same command again.",
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
    threshold: ThresholdOption = None,
    *,
    detection: DetectionOptions,
    json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Skip images that cannot be read, and list them. With --engine ray they always are."
        ),
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Detect the faces in images, and classify the expression of each.

    With --engine ray, images are files, folders, or addresses such as s3://bucket/folder.
    """
    given = {"--annotate": annotate is not None, "--json": json, "--csv": as_csv}
    _check(images, out, given, detection, crops=crops, ray=engine == "ray")
    detector = None if crops else detection.detector()
    threads = None if engine == "local" and workers in {None, 1} else 1
    predictor = load(model, threads=threads, output=output, provider=provider)
    # Whatever can be refused is refused here, before anything is read or written.
    reader = FaceReader(predictor, detector, classes=classes, threshold=threshold)
    sources = tuple(name if is_address(name) else str(Path(name)) for name in images)
    annotator = None if annotate is None else Annotator(annotate, [Path(name) for name in sources])
    settings = {} if out is None else settings_of(sources, model, reader, crops=crops, annotator=annotator)
    tally, columns = Tally(detector), Columns(reader.classes, crops, reader.fields)
    if engine == "ray" and out is not None:
        parts = PartsJob(out, sources, Path.cwd(), model, crops, detection.limits, output, classes, threshold, provider)
        _predict_parts(parts, settings, workers)
        return
    job = _Job(sources, reader, crops, annotator, skip_bad, workers or 1)
    total = job.count()
    if out is None:
        # All of them before any is printed: a bad image late in the list leaves nothing half-written.
        answers = list(job.results(job.files(), total))
        for each in answers:
            tally.add(each)
    else:
        _write(job, total, ResumableOutput(out, settings, columns), tally)
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
    """Refuse what does not go together. Raises :class:`DataError`."""
    address = next(filter(is_address, images), "")
    if address.startswith(("http://", "https://")):
        raise missing_file(address)
    if crops:
        limits = {"--annotate": given["--annotate"], **detection.given()}
        leave_out("--crops takes images as faces and detects none", limits)
    if ray:
        leave_out("--engine ray writes tables into the folder --out", given)
        if out is None or out.suffix.lower() in WRITERS:
            raise DataError("--engine ray writes into a folder; give --out DIR.", code="options")
    elif address:
        words = f"{without_password(address)} is an address. To read it, give --engine ray and --out DIR."
        raise DataError(words, code="options")
    if out is not None:
        leave_out("The suffix of --out decides the format", {name: given[name] for name in ("--json", "--csv")})
    if given["--json"]:
        leave_out("--json is one form of output", {"--csv": given["--csv"]})


@dataclass(frozen=True)
class _Job:
    """Which images to predict in this process, and how."""

    sources: tuple[str, ...]
    reader: FaceReader
    crops: bool
    annotator: Annotator | None
    skip_bad: bool
    workers: int

    def files(self) -> Iterator[Path]:
        return map(Path, walk_sources(self.sources, Path(), missing_too=self.skip_bad))

    def count(self) -> int:
        """How many there are. Names photos of formats that are not read, and photos that are no face crops."""
        count = sum(1 for _ in self.files())
        for folder in filter(os.path.isdir, dict.fromkeys(self.sources)):
            if unread := count_unread(folder):
                notice(f"{folder}: {unread:,} of other formats left out; {UNREAD_ADVICE}", "images-left-out")
        if self.crops:
            note_photos_as_crops(self.files())
        return count

    def results(self, files: Iterator[Path], count: int) -> Iterator[dict[str, Any]]:
        """Results with progress; skipped images are listed."""
        if self.workers > 1:
            limit_opencv_threads(1)  # each worker is a thread
        found = predict_files(
            self.reader, files, crops=self.crops, annotator=self.annotator, skip_bad=self.skip_bad, workers=self.workers
        )
        for each in track(found, count, "predicting", "faces" if self.crops else "images"):
            if "error" in each:
                notice(f"skipped: {each['error']}")
            yield each


@contextmanager
def _resumable() -> Iterator[None]:
    """Say what is left of what is stopped here."""
    try:
        yield
    except KeyboardInterrupt:
        notice("Stopped. What is finished is kept; run the same command to resume.")
        raise


def _write(job: _Job, total: int, output: ResumableOutput, tally: Tally) -> None:
    """Write the results to a file that a killed command can resume."""
    with output as journal:
        if done := journal.found:
            notice(f"{done:,} of {total:,} images are done already; resuming.")
        left = (file for file in job.files() if str(file) not in journal)
        with _resumable():
            for each in job.results(left, max(total - done, 0)):
                journal.add(each)
        journal.finish(map(str, job.files()), tally.add)
    typer.echo(f"{journal.out}: {tally}" + (f"; {done:,} done before" if done else ""))


def _predict_parts(job: PartsJob, settings: dict[str, Any], workers: int | None) -> None:
    """Predict what is pending of a job, and say what all of it came to."""
    with open_parts(job, settings) as (count, pending):
        if len(pending) < count:
            notice(f"Resuming: {count - len(pending):,} of {counted(count, 'part')} done already.")
        if pending:
            with _resumable():
                for _ in track(write_parts(job, pending, workers), len(pending), "predicting", "parts"):
                    pass
        images, faces, bad = count_finished(job.folder)
    rest = f"; {bad:,} skipped, listed in {job.folder / 'images'}" if bad else ""
    # As without --engine ray: skipped images are not counted among the others.
    typer.echo(f"{job.folder}: {counted(faces, 'face')} in {counted(images - bad, 'image')}{rest}")
    if images and bad == images:
        raise DataError(f"None of {images:,} images could be read; {job.folder} lists the reasons.", code="no-images")
